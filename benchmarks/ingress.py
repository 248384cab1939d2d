"""Our ingress and nginx's reverse proxy before one and the same Express app, by turns, on this machine.

Needs nginx and node. Prints requests/s with keep-alive, latencies at an equal load, a download, what idle WebSockets
cost, and what a download does to others. The app listens on a port of this machine, for both alike; ours adds the
tunnel: server, WebSocket, agent.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import machine
import psutil

from anchor import wiring

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "src/anchor/server/template"
SERVER_JS = """
const express = require('express')
const { Readable } = require('stream')
const app = express()
const page = '<!doctype html><title>hello</title>' + '<p>hello, hello, hello</p>'.repeat(20)
const chunk = Buffer.alloc(256 * 1024, 120)
app.disable('x-powered-by')
app.get('/', (_, response) => response.type('html').send(page))
app.get('/large', (_, response) => {
  response.set('content-length', String(400 * chunk.length))
  Readable.from(Array(400).fill(chunk)).pipe(response)
})
const server = app.listen(Number(process.env.PORT), '127.0.0.1')
server.keepAliveTimeout = 75_000
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n')
  socket.on('error', () => {})
})
"""
LARGE_BYTES = 400 * 256 * 1024
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 1000000; proxy_max_temp_file_size 0;
  upstream app {{ server 127.0.0.1:{app}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Caller(asyncio.Protocol):
    """One connection that asks again as soon as it is answered, or `pause` seconds after it asked last."""

    def __init__(self, host: bytes, path: bytes, taken: list[float], pause: float = 0.0) -> None:
        self._request = b"GET %b HTTP/1.1\r\nHost: %b\r\nAccept: */*\r\n\r\n" % (path, host)
        self._taken = taken
        self._pause = pause
        self._left = -1
        self._head = b""
        self._asked = 0.0
        self.is_stopped = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask for the first time."""
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._left = -1
        self._head = b""
        if not self._transport.is_closing():
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count, and ask again."""
        if self._left < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            assert self._head.startswith(b"HTTP/1.1 200"), self._head
            lower = self._head[:end].lower()
            at = lower.index(b"content-length:") + 15
            size = int(lower[at:].split(b"\r\n", 1)[0])
            self._left = size + end + 4 - len(self._head)
        else:
            self._left -= len(data)
        if self._left == 0:
            now = time.perf_counter()
            self._taken.append(now - self._asked)
            if self.is_stopped:
                self._transport.close()
            elif self._pause:
                wait = max(0.0, self._asked + self._pause - now)
                asyncio.get_running_loop().call_later(wait, self._ask)
            else:
                self._ask()


async def load(port: int, host: bytes, connections: int, seconds: float, pause: float = 0.0) -> list[float]:
    """How long each request took, in ms."""
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    callers = []
    for _ in range(connections):
        _, caller = await loop.create_connection(lambda: Caller(host, b"/", taken, pause), "127.0.0.1", port)
        callers.append(caller)
        if pause:
            await asyncio.sleep(pause / connections)
    taken.clear()
    await asyncio.sleep(seconds)
    found = [one * 1000 for one in taken]
    for caller in callers:
        caller.is_stopped = True
    await asyncio.sleep(0.1)
    return found


async def download(port: int, host: bytes) -> float:
    """MB/s."""
    begun = time.perf_counter()
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{size_download}", "-H", f"Host: {host.decode()}"]
    process = await asyncio.create_subprocess_exec(
        *command, f"http://127.0.0.1:{port}/large", stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert int(said) == LARGE_BYTES, said
    return LARGE_BYTES / 1e6 / (time.perf_counter() - begun)


async def idle_sockets(port: int, host: bytes, count: int, pid: int) -> float:
    """MB that a server grows by for so many WebSockets that say nothing."""
    server = psutil.Process(pid)
    before = server.memory_info().rss
    request = (
        b"GET /ws HTTP/1.1\r\nHost: %b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n" % host
    )
    writers = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head, head
        writers.append(writer)
    await asyncio.sleep(0.5)
    grown = server.memory_info().rss - before
    for writer in writers:
        writer.close()
    return grown / 1e6


def percentile(taken: list[float], share: float) -> float:
    return sorted(taken)[min(len(taken) - 1, int(len(taken) * share))]


async def measure(ours: int, ours_pid: int, nginx: int, rounds: int, seconds: float) -> dict[str, object]:
    host = b"app.apps.localhost"
    # First: a server that had much to do has memory left that these would fit into.
    result: dict[str, object] = {"idleSocketsMB": await idle_sockets(ours, host, 100, ours_pid)}
    sides = {"nginx": nginx, "ours": ours}
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, port in sides.items():
            taken = await load(port, host, 32, seconds)
            rates[side].append(len(taken) / seconds)
    result["requestsPerSecond"] = rates
    for rate in (200, 500):
        latencies: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side, port in sides.items():
                latencies[side].append(percentile(await load(port, host, 20, seconds, 20 / rate), 0.99))
        result[f"p99MsAt{rate}"] = latencies
    speeds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, port in sides.items():
            speeds[side].append(await download(port, host))
    result["downloadMBPerSecond"] = speeds
    beside: list[float] = []
    for _ in range(rounds):
        asking = asyncio.create_task(load(ours, host, 20, seconds, 20 / 200))
        await asyncio.sleep(0.3)
        while not asking.done():
            await download(ours, host)
        beside.append(percentile(await asking, 0.99))
    result["p99MsBesideDownloads"] = beside
    return result


@contextlib.contextmanager
def running(command: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


async def listening(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


async def answering(port: int) -> None:
    for _ in range(600):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: app.apps.localhost\r\nConnection: close\r\n\r\n")
        said = await reader.read()
        writer.close()
        if said.startswith(b"HTTP/1.1 200"):
            return
        await asyncio.sleep(0.05)
    sys.exit(f"no app answers on port {port}")


@contextlib.asynccontextmanager
async def sides(folder: Path) -> AsyncIterator[tuple[int, int, int]]:
    """The app, and before it nginx and ours: the port and pid of ours, and nginx's port."""
    app, ours, nginx = free_port(), free_port(), free_port()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(TEMPLATE / name, folder / name)
    (folder / "server.js").write_text(SERVER_JS)
    npm = await asyncio.create_subprocess_exec("npm", "ci", "--ignore-scripts", "--silent", cwd=folder)
    if await npm.wait():
        sys.exit("npm could not install the app")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, app=app, port=nginx))
    part = [sys.executable, __file__, "--part"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(["node", str(folder / "server.js")], PORT=str(app)))
        stack.enter_context(running(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]))
        server = stack.enter_context(running([*part, "server", "--port", str(ours)]))
        await listening(ours)
        stack.enter_context(running([*part, "agent", "--port", str(ours), "--app", str(app)]))
        await asyncio.gather(listening(app), listening(nginx))
        await asyncio.gather(answering(ours), answering(nginx))
        yield ours, server.pid, nginx


async def be_server(port: int) -> None:
    from ingress_stand import a_stand  # noqa: PLC0415 - this part's only

    async with a_stand(port) as stand:
        stand.app("app", ("BENCH-1", 1))
        await asyncio.Event().wait()


async def be_agent(port: int, app: int) -> None:
    from ingress_stand import Doors, a_node  # noqa: PLC0415 - this part's only

    doors = Doors()
    doors.ports[1, 1] = app
    async with a_node(f"http://127.0.0.1:{port}", "BENCH-1", doors):
        await asyncio.Event().wait()


async def compare(rounds: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with sides(Path(folder)) as (ours, pid, nginx):
            found = await measure(ours, pid, nginx, rounds, seconds)
    print(json.dumps({"machine": machine.facts(), **found}, indent=1))
    for name in ("requestsPerSecond", "p99MsAt200", "p99MsAt500", "downloadMBPerSecond"):
        both = found[name]
        assert isinstance(both, dict)
        ours_median, nginx_median = (statistics.median(both[side]) for side in ("ours", "nginx"))
        ratio = ours_median / nginx_median
        print(f"{name}: ours {ours_median:,.1f}, nginx {nginx_median:,.1f}, ratio {ratio:.2f}", file=sys.stderr)
    print(f"p99 beside downloads: {found['p99MsBesideDownloads']} ms", file=sys.stderr)
    print(f"100 idle WebSockets: {found['idleSocketsMB']:.1f} MB", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--part", choices=["server", "agent"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--app", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests/server"))
    if options.part == "server":
        wiring.run(be_server(options.port))
    elif options.part == "agent":
        wiring.run(be_agent(options.port, options.app))
    else:
        wiring.run(compare(options.rounds, options.seconds))


if __name__ == "__main__":
    main()
