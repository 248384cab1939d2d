"""How many tasks a second one server and two servers accept: the same clients, by turns, and what limits them."""

import asyncio
import json
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engines import Engines, cpu_seconds, machine_busy_seconds, servers

from anchor.cli.bench_stand import Program

HERE = Path(__file__).parent
CLIENTS = 2
CONNECTIONS = {"single": 16, "bulk": 2, "refused_single": 16, "refused_bulk": 2}
"""Connections of each client process."""
NOT_WRITTEN = (
    ("single", "answered at once"),
    ("bulk", "answered at once"),
    ("refused_single", "refused"),
    ("refused_bulk", "refused"),
)
ANSWER_SECONDS = 60.0

Document = dict[str, Any]


class Client:
    """A process of clients."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> "Client":
        """A process that waits to be told what to do."""
        pipe = asyncio.subprocess.PIPE
        command = [sys.executable, str(HERE / "intake_client.py")]
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))

    async def post(self, **wish: object) -> Document:
        """One round."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(wish).encode() + b"\n")
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            sys.exit("A client process failed: see above.")
        found: Document = json.loads(line)
        return found

    async def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def measure(engines: Engines, directory: Path, *, rounds: int, seconds: float) -> list[Document]:
    """The intake on the engines as they are; with a store that answers at once; and of requests that are refused."""
    clients = [await Client.start() for _ in range(CLIENTS)]
    found: list[Document] = []
    try:
        store = engines.url_of(engines.database("intake"))
        async with servers(directory, store, engines.valkey_url, count=2) as there:
            stand = _Stand(engines, there, clients, None)
            found += [await stand.rounds(kind, "written", rounds, seconds) for kind in ("single", "bulk")]
        async with _answering(engines) as (relay, port):
            store = engines.url_of(engines.database("answered"), port=port)
            async with servers(directory, store, engines.valkey_url, count=2) as there:
                stand = _Stand(engines, there, clients, relay)
                found += [await stand.rounds(kind, outcome, rounds, seconds) for kind, outcome in NOT_WRITTEN]
    finally:
        for client in clients:
            await client.stop()
    return found


@asynccontextmanager
async def _answering(engines: Engines) -> AsyncIterator[tuple[int, int]]:
    """The relay that acknowledges inserts by itself: its process and its port."""
    parts = urlsplit(engines.mongo_url)
    command = [sys.executable, str(HERE / "answering_store.py"), parts.hostname or "", str(parts.port or 27017)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process.pid, int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


class _Stand:
    def __init__(
        self, engines: Engines, there: Sequence[tuple[str, Program]], clients: Sequence[Client], relay: int | None
    ) -> None:
        self._urls = [url for url, _ in there]
        self._clients = clients
        self._engines = engines
        self._keeps = relay is None
        pids = {"first server": there[0][1].pid, "second server": there[1][1].pid, "valkey": engines.valkey_pid}
        self._pids = {**pids, **({"relay": relay} if relay else {})}
        if engines.mongo_pid is not None:
            self._pids["mongo"] = engines.mongo_pid

    async def rounds(self, kind: str, outcome: str, rounds: int, seconds: float) -> Document:
        """One server and two, by turns; who begins changes from round to round."""
        await self._round(kind, 2, min(1.0, seconds))
        runs: dict[int, list[Document]] = {1: [], 2: []}
        for number in range(rounds):
            for count in (1, 2) if number % 2 == 0 else (2, 1):
                runs[count].append(await self._round(kind, count, seconds))
        ratios = [two["tasksPerSecond"] / one["tasksPerSecond"] for one, two in zip(runs[1], runs[2], strict=True)]
        return {
            "kind": kind,
            "outcome": outcome,
            "one": _median(runs[1]),
            "two": _median(runs[2]),
            "ratio": round(statistics.median(ratios), 2),
            "ratios": [round(ratio, 2) for ratio in ratios],
        }

    async def _round(self, kind: str, count: int, seconds: float) -> Document:
        if not self._keeps:
            # Hints to tasks that are nowhere: nothing files them again, and a full queue would cost less to add to.
            self._engines.valkey.flushall()
        before, machine = {name: cpu_seconds(pid) for name, pid in self._pids.items()}, machine_busy_seconds()
        answers = await asyncio.gather(
            *(
                client.post(url=self._urls[at % count], kind=kind, connections=CONNECTIONS[kind], seconds=seconds)
                for at, client in enumerate(self._clients)
            )
        )
        used = {name: cpu_seconds(pid) - before[name] for name, pid in self._pids.items()}
        took = max(answer["seconds"] for answer in answers)
        tasks = sum(answer["tasks"] for answer in answers)
        used["clients"] = sum(answer["cpu"] for answer in answers)
        elsewhere = machine_busy_seconds() - machine - sum(used.values())
        return {
            "tasksPerSecond": tasks / took,
            "p50Ms": statistics.median(answer["p50"] for answer in answers),
            "p99Ms": max(answer["p99"] for answer in answers),
            "serverUs": (used["first server"] + used["second server"]) / tasks * 1e6,
            "cores": {name: cpu / took for name, cpu in used.items()},
            "elsewhereCores": elsewhere / took,
        }


def _median(runs: Sequence[Document]) -> Document:
    found: Document = {}
    for name, value in runs[0].items():
        if isinstance(value, dict):
            found[name] = _median([run[name] for run in runs])
        else:
            found[name] = round(statistics.median(run[name] for run in runs), 2)
    return found
