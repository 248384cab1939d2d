// A page, a little JSON, and a WebSocket that says back whatever it hears.
import { createServer } from 'node:http'
import express from 'express'
import { WebSocketServer } from 'ws'

const app = express()
app.disable('x-powered-by')

app.get('/', (request, response) => {
  response.type('html').send(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Echo</title>
<h1>Echo</h1>
<form><input name="text" placeholder="Say something" aria-label="Message"><button>Send</button></form>
<ul></ul>
<script src="echo.js"></script></html>`)
})

app.get('/echo.js', (request, response) => {
  response.type('js').send(`
const socket = new WebSocket(new URL('echo', location.href).href.replace(/^http/, 'ws'))
const form = document.querySelector('form')
socket.onmessage = event => {
  const line = document.createElement('li')
  line.textContent = event.data
  document.querySelector('ul').append(line)
}
form.onsubmit = event => { event.preventDefault(); socket.send(form.text.value); form.reset() }
`)
})

app.get('/whoami', (request, response) => {
  const { ANCHOR_APP, ANCHOR_RELEASE, ANCHOR_REPLICA } = process.env
  response.json({ app: ANCHOR_APP, release: ANCHOR_RELEASE, replica: ANCHOR_REPLICA })
})

const server = createServer(app)
const sockets = new WebSocketServer({ server, path: '/echo', maxPayload: 16 << 20 })
sockets.on('connection', socket => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  socket.on('error', error => console.error(error.message))
})

// An app is asked to end before a newer release takes its place.
process.on('SIGTERM', () => {
  for (const socket of sockets.clients) socket.close(1001)
  server.close(() => process.exit(0))
})

const port = Number(process.env.PORT ?? 8080)
server.listen(port, () => console.log(`Listening on port ${port}`))
