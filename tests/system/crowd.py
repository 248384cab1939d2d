"""Many simulated agents in one process: real sockets, signatures and waits, and work that is done at once.

Started with a JSON object on standard input (see `Wish`), it enrols its agents and connects them. What happens to them
is told on standard output, one JSON array [time, node, event, seconds] a line; the times are of the machine's monotonic
clock. At each further line of input all agents lose their connection at once; it ends when its standard input does.
"""

import asyncio
import base64
import json
import random
import ssl
import sys
import time
from typing import Any

import httpx
import msgspec
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from anchor.agent.pauses import Pauses
from anchor.core.attempt import Ending, Outcome, Result
from anchor.core.node import Metrics, Profile
from anchor.wire import link
from anchor.wire.link import Held

JOINS_AT_ONCE = 8


class Wish(msgspec.Struct, frozen=True):
    """What to simulate. `jitter` false: an agent that lost its connection is back at once, as none of ours would be;
    `work_seconds` is how long a task takes; `label` is what the agents offer."""

    url: str
    count: int
    token: str | None = None
    ca: str | None = None
    slots: int = 4
    jitter: bool = True
    work_seconds: float = 0.0
    label: str = "crowd"


class Agent:
    """One of them. `held` are the attempts it has, with their ending once they have one."""

    def __init__(self, wish: Wish, tls: ssl.SSLContext | None) -> None:
        self._wish = wish
        self._tls = tls
        self._key = Ed25519PrivateKey.generate()
        self._pauses = Pauses()
        self._session = 0
        self._reports = 0
        self._beat_at = 0.0
        self._line: ClientConnection | None = None
        self._jobs: set[asyncio.Task[None]] = set()
        self.held: dict[Held, Ending | None] = {}
        self.node = ""

    async def join(self, client: httpx.AsyncClient) -> None:
        """Enrol, as an owner who has an admin's token would."""
        mine = {} if self._wish.token is None else {"Authorization": f"Bearer {self._wish.token}"}
        made = await client.post("/api/nodes/join-tokens", json={}, headers=mine)
        public_key = base64.b64encode(self._key.public_key().public_bytes_raw()).decode()
        joined = await client.post(
            "/api/nodes/join",
            json={"publicKey": public_key, "name": "Crowd"},
            headers={"Authorization": f"Bearer {made.raise_for_status().json()['token']}"},
        )
        self.node = joined.raise_for_status().json()["nodeId"]

    async def run(self) -> None:
        """Stay connected."""
        while True:
            before, opened = self._session, time.monotonic()
            wait: float | None = None
            try:
                address = f"ws{self._wish.url.removeprefix('http')}/agent"
                async with connect(
                    address, compression=None, proxy=None, ssl=self._tls, ping_interval=None, close_timeout=1
                ) as line:
                    self._line = line
                    wait = await self._talk(line)
            except (OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                pass
            if self._session != before:
                self._say("lost")
                wait = self._pauses.after_session(time.monotonic() - opened) if self._wish.jitter else 0.0
            elif wait is None:
                self._say("failed")
                wait = self._pauses.after_failure()
            else:
                self._say("refused", wait)
                wait = self._pauses.after_refusal(wait)
            await asyncio.sleep(wait)

    def drop(self) -> None:
        """Lose the connection, without a word to the server."""
        if self._line is not None:
            self._line.transport.abort()

    async def _talk(self, line: ClientConnection) -> float | None:
        """One session; the seconds the server wants to be left alone for, where it refused."""
        challenge = await _next(line)
        if isinstance(challenge, link.Refused):
            return challenge.retry_after
        now = int(time.time() * 1000)
        hello = link.Hello(
            node=self.node,
            signature=self._key.sign(link.hello_bytes(challenge.nonce, self.node, now)),
            protocol_min=link.PROTOCOL_MIN,
            protocol_max=link.PROTOCOL,
            version="test",
            now=now,
            slots=self._wish.slots,
            profile=Profile(cores=4, ram=8.0, runtimes={"isolate": "1"}, labels=(self._wish.label,)),
            held=list(self.held),
        )
        await line.send(link.encode(hello))
        welcome = await _next(line)
        if isinstance(welcome, link.Refused):
            return welcome.retry_after
        self._session = welcome.session
        self._pauses.lease_seconds = welcome.lease_seconds
        self._pauses.place = welcome.place
        self._say("connected")
        for one in welcome.dropped:
            self.held.pop(one, None)
        beating = asyncio.create_task(self._beat(line, welcome.heartbeat_seconds))
        try:
            await self._report(line, [ending for ending in self.held.values() if ending is not None])
            while True:
                match await _next(line):
                    case link.Assign(items):
                        for item in items:
                            self.held.setdefault(Held(item.task, item.attempt))
                            job = asyncio.create_task(self._work(line, item))
                            self._jobs.add(job)
                            job.add_done_callback(self._jobs.discard)
                        await line.send(link.encode(link.Accepted([Held(item.task, item.attempt) for item in items])))
                    case link.Recorded(recorded, stale):
                        for one in [*recorded, *stale]:
                            self.held.pop(one, None)
                    case link.Renewed():
                        self._say("renewed", time.monotonic() - self._beat_at)
                    case link.Stop():
                        return None
        finally:
            beating.cancel()

    async def _beat(self, line: ClientConnection, seconds: float) -> None:
        await asyncio.sleep(seconds * random.random())
        while True:
            self._beat_at = time.monotonic()
            metrics = Metrics(cpu_usage=12.5, ram_usage=40.0, uptime=int(self._beat_at), free_ram=3.5, free_disk=100.0)
            await line.send(link.encode(link.Heartbeat(self._session, metrics, list(self.held), False)))
            await asyncio.sleep(seconds)

    async def _work(self, line: ClientConnection, item: link.Assignment) -> None:
        await asyncio.sleep(self._wish.work_seconds)
        value = json.dumps(json.loads(item.payload or b"{}").get("input")).encode()
        held = Held(item.task, item.attempt)
        if held in self.held:
            ending = Ending(*held_pair(held), Outcome.SUCCEEDED, Result(json=value, size=len(value)))
            self.held[held] = ending
            try:
                await self._report(line, [ending])
            except ConnectionClosed:
                return  # it is reported again after the next hello

    async def _report(self, line: ClientConnection, endings: list[Ending]) -> None:
        if endings:
            self._reports += 1
            body = msgspec.msgpack.encode(link.ReportBody(self.node, self._session, self._reports, endings))
            await line.send(link.encode(link.Report(body, self._key.sign(link.report_bytes(body)))))

    def _say(self, event: str, seconds: float = 0.0) -> None:
        sys.stdout.write(json.dumps([round(time.monotonic(), 4), self.node, event, round(seconds, 4)]) + "\n")


def held_pair(held: Held) -> tuple[int, int]:
    return held.task, held.attempt


async def _next(line: ClientConnection) -> Any:
    content = await line.recv()
    assert isinstance(content, bytes)
    return link.decode_from_server(content)


async def _main() -> None:
    loop = asyncio.get_running_loop()
    wish = msgspec.json.decode(await loop.run_in_executor(None, sys.stdin.readline), type=Wish)
    tls = ssl.create_default_context(cafile=wish.ca) if wish.url.startswith("https") else None
    agents = [Agent(wish, tls) for _ in range(wish.count)]
    waiting = list(agents)
    async with httpx.AsyncClient(base_url=wish.url, trust_env=False, verify=tls or True, timeout=30) as client:

        async def join_all() -> None:
            while waiting:
                await waiting.pop().join(client)

        await asyncio.gather(*(join_all() for _ in range(JOINS_AT_ONCE)))
    running = [asyncio.create_task(agent.run()) for agent in agents]
    while await loop.run_in_executor(None, sys.stdin.readline):
        for agent in agents:
            agent.drop()
    for task in running:
        if task.done():
            task.result()
        task.cancel()


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    uvloop.run(_main())
