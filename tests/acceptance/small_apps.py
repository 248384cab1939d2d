"""Apps of a few lines with nothing to install, for tests of what happens around them."""

import json

START = {"package.json": json.dumps({"name": "small", "private": True, "scripts": {"start": "node server.js"}})}

ANSWERING = START | {
    "server.js": """
const { createServer } = require('http')
const { ANCHOR_RELEASE: release, ANCHOR_REPLICA: replica, PORT } = process.env
const server = createServer((request, response) => {
  if (request.url !== '/slow') return response.end(JSON.stringify({ release, replica, path: request.url }))
  let left = 20
  const timer = setInterval(() => {
    if (left--) return response.write('.')
    clearInterval(timer)
    response.end('over')
  }, 100)
})
server.keepAliveTimeout = 60_000
server.listen(PORT)
"""
}
"""Says which replica of which release answers; `/slow` takes two seconds over its answer."""

SILENT = START | {"server.js": "console.log('thinking'); setInterval(() => {}, 1000)"}
"""Never listens."""

ELSEWHERE = START | {"server.js": "require('http').createServer((_, response) => response.end()).listen(3333)"}
"""Listens on a port of its own choice, not on that in PORT."""

CRASHING = START | {"server.js": "console.log('about to fall'); throw new Error('the cupboard is bare')"}

FLOODING = START | {
    "server.js": """
const line = 'x'.repeat(1000) + '\\n'
const pour = () => { while (process.stdout.write(line)); process.stdout.once('drain', pour) }
require('http').createServer((_, response) => response.end('here')).listen(process.env.PORT, pour)
"""
}
"""Prints as fast as it can."""

MANY = START | {
    "server.js": """
const { spawn } = require('child_process')
let refused = 0, started = 0
const one = () => {
  if (started + refused >= 1500) return
  try {
    const child = spawn('sleep', ['1000'])
    child.on('error', () => { refused++; setImmediate(one) })
    child.on('spawn', () => { started++; setImmediate(one) })
  } catch { refused++; setImmediate(one) }
}
const answer = response => response.end(JSON.stringify({ started, refused }))
require('http').createServer((_, response) => answer(response)).listen(process.env.PORT)
one()
"""
}
"""Starts 1,500 processes, or as many as it is let."""

HUNGRY = START | {
    "server.js": """
const eaten = []
require('http').createServer((_, response) => response.end('here')).listen(process.env.PORT)
setInterval(() => eaten.push(Buffer.alloc(8 << 20, 1)), 5)
"""
}
"""Eats 1.6 GB of memory a second until it is stopped."""

UNBUILDABLE = {
    "package.json": json.dumps(
        {
            "name": "small",
            "scripts": {"start": "node server.js", "build": "echo one two && echo 'no such thing' >&2 && exit 3"},
        }
    ),
    "server.js": "",
}

CURIOUS = START | {
    "server.js": """
const { connect } = require('net')
const { createServer } = require('http')
const knock = (host, port) => new Promise(done => {
  const socket = connect({ host, port, timeout: 1500 })
  const say = text => { socket.destroy(); done(`${host} ${port}: ${text}`) }
  socket.on('connect', () => say('reached'))
  socket.on('timeout', () => say('nothing'))
  socket.on('error', error => say(error.code))
})
createServer(async (request, response) => {
  const url = new URL(request.url, 'http://app')
  if (url.pathname !== '/knock') {
    return response.end(JSON.stringify({ url: request.url, host: request.headers.host, headers: request.headers }))
  }
  const asked = url.searchParams.getAll('at').map(text => text.split('@'))
  response.end(JSON.stringify(await Promise.all(asked.map(([host, port]) => knock(host, Number(port))))))
}).listen(process.env.PORT)
"""
}
"""Says what it was asked, and tries to reach what `/knock?at=HOST@PORT` names."""
