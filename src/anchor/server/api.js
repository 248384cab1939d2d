// Shows the OpenAPI document as a list that can be searched; texts are set as text, never as markup.
const element = (name, text, ...children) => {
  const node = document.createElement(name)
  if (text) node.textContent = text
  node.append(...children)
  return node
}
const shown = value => element('pre', JSON.stringify(value, null, 2))
const fold = (head, ...body) => {
  const details = element('details', '', element('summary', '', ...head), ...body)
  details.dataset.words = details.textContent.toLowerCase()
  return details
}
const operation = (path, method, described) => fold(
  [element('b', method.toUpperCase()), element('code', path), element('span', described.summary)],
  element('p', described['x-roles'].length ? `Least role: ${described['x-roles'].join(' or ')}` : 'Open to anybody'),
  shown({ parameters: described.parameters, requestBody: described.requestBody, responses: described.responses }))

const response = await fetch('/api/openapi.json')
const api = await response.json()
const state = document.getElementById('state')
if (response.ok) {
  const operations = document.getElementById('operations')
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, described] of Object.entries(methods)) operations.append(operation(path, method, described))
  const shapes = document.getElementById('shapes')
  for (const [name, schema] of Object.entries(api.components.schemas))
    shapes.append(fold([element('code', name), element('span', schema.description ?? '')], shown(schema)))
  state.textContent = `${operations.children.length} operations, version ${api.info.version}`
} else {
  state.textContent = `${api.detail} ${api.hint ?? ''}`
}
document.getElementById('find').addEventListener('input', event => {
  const word = event.target.value.trim().toLowerCase()
  for (const details of document.querySelectorAll('details')) details.hidden = !details.dataset.words.includes(word)
})
