"""Tasks that do nothing, through one server on the shared engines: what each process and each command costs a task."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from engines import Engines, agent, cpu_seconds, machine_busy_seconds, servers
from pymongo import UpdateOne
from pymongo.collection import Collection

from anchor.adapters.mongo.documents import CODES, READ, STATES, changed_task, new_task
from anchor.adapters.mongo.store import MongoStore
from anchor.cli.bench_http import Wire
from anchor.cli.bench_load import Load
from anchor.core.errors import AnchorError
from anchor.core.ids import KeySequence, key_of
from anchor.core.spec import Payload, TaskSpec, need_of, shape_of
from anchor.core.task import TERMINAL, State, lease, queued
from anchor.ports.store import Swap

BULK = 100
BULK_CONNECTIONS = 4
SINGLE_CONNECTIONS = 32
WARM_UP_TASKS = 1_000
SLOTS = (1000, 100)
POLL_SECONDS = 0.05
END_SECONDS = 600.0
PROOFS = 50
LIMIT_ROUNDS = 20
LIVE = (State.QUEUED, State.LEASED)
"""The states that a task which succeeds at the first attempt goes through."""

Document = dict[str, Any]
_sent = itertools.count()
_created = msgspec.json.Decoder(list[dict[str, Any]]).decode


async def limits(engines: Engines) -> Document:
    """What the MongoDB alone does, asked by one plain pymongo: documents a second, in our collection with our indexes.

    The documents are those of no-op tasks; an update is the compare-and-set of a lease, with its mark.
    """
    name = engines.database("limits")
    store = await MongoStore.open(engines.url_of(name))
    await store.close()
    # Apart from this thread, as a server's driver is from the emulator.
    return await asyncio.to_thread(_limits, engines, engines.mongo[name]["tasks"])


def _limits(engines: Engines, tasks: Collection[Document]) -> Document:
    now = time.time_ns() // 1_000_000
    spec = TaskSpec(name="bench", type="noop", payload=Payload(input=1))
    keys = list(KeySequence(0).take((LIMIT_ROUNDS + 1) * BULK, now_ms=now))
    new = [queued(key=key, owner="local", spec=spec, shape=shape_of(need_of(spec)), now=now) for key in keys]
    inserts = [new_task(task, now=datetime.now(UTC)).raw for task in new]
    leased = [lease(task, node="BENCH-000000", session=1, now=now, lease_ms=15_000) for task in new]
    mark = {"$each": [b"twelve bytes"], "$slice": -8}
    updates = [
        UpdateOne({"_id": old.id, "ver": old.ver}, {"$set": changed_task(Swap(old, task)).sets, "$push": {"ops": mark}})
        for old, task in zip(new, leased, strict=True)
    ]
    batches = [slice(at, at + BULK) for at in range(0, LIMIT_ROUNDS * BULK, BULK)]
    last = slice(LIMIT_ROUNDS * BULK, None)

    def update(which: slice) -> None:
        changed = tasks.bulk_write(updates[which], ordered=False).matched_count
        assert changed == len(updates[which]), changed

    def find(which: slice) -> None:
        found = tasks.find({"_id": {"$in": keys[which]}}, READ).to_list()
        assert len(found) == len(keys[which]), len(found)

    return {
        "insert 100 in a command": _rate(
            engines, BULK * len(batches), lambda: [tasks.insert_many(inserts[one], ordered=False) for one in batches]
        ),
        "compare-and-set 100 in a command": _rate(
            engines, BULK * len(batches), lambda: [update(one) for one in batches]
        ),
        "find 100 in a command": _rate(engines, BULK * len(batches), lambda: [find(one) for one in batches]),
        "insert 1 in a command": _rate(engines, BULK, lambda: [tasks.insert_one(one) for one in inserts[last]]),
        "compare-and-set 1 in a command": _rate(
            engines, BULK, lambda: [update(slice(at, at + 1)) for at in range(last.start, len(updates))]
        ),
    }


def _rate(engines: Engines, documents: int, work: Any) -> Document:
    used = cpu_seconds(engines.mongo_pid) if engines.mongo_pid else 0.0
    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    used = cpu_seconds(engines.mongo_pid) - used if engines.mongo_pid else 0.0
    return {"documentsPerSecond": round(documents / seconds), "mongoUs": round(used / documents * 1e6)}


async def measure(engines: Engines, directory: Path, *, tasks: int, samples: int) -> Document:
    """Bulk and single submits with an agent of many and of fewer slots; and the time of one task when idle."""
    found: list[Document] = []
    idle: Document = {}
    for slots in SLOTS:
        database = engines.database(f"{slots}_slots")
        store, queue = engines.url_of(database), engines.valkey_url
        async with (
            servers(directory, store, queue, count=1) as [(url, server)],
            agent(directory, url, slots=slots) as worker,
        ):
            pids = {"server": server.pid, "agent": worker.pid, "valkey": engines.valkey_pid}
            if engines.mongo_pid is not None:
                pids["mongo"] = engines.mongo_pid
            stand = _Stand(engines, database, url, pids)
            await stand.run(min(WARM_UP_TASKS, tasks), size=BULK, connections=BULK_CONNECTIONS)
            bulk = await stand.run(tasks, size=BULK, connections=BULK_CONNECTIONS)
            found.append({"figure": f"arrays of {BULK}, {slots:,} slots", **bulk})
            if slots == SLOTS[-1]:
                single = await stand.run(tasks // 2, size=1, connections=SINGLE_CONNECTIONS)
                found.append({"figure": f"one task a request, {slots:,} slots", **single})
                async with Load(url) as load:
                    idle = msgspec.to_builtins(await load.latency(samples))
    return {"rows": found, "idle": idle}


class _Stand:
    def __init__(self, engines: Engines, database: str, url: str, pids: dict[str, int]) -> None:
        self._engines = engines
        self._database = database
        self._tasks = engines.mongo[database]["tasks"]
        self._url = url
        self._pids = pids

    async def run(self, tasks: int, *, size: int, connections: int) -> Document:
        """From the first request until no task is live in the truth; all have to have succeeded, some are looked at."""
        wires = [await Wire.open(self._url) for _ in range(connections)]
        done_before = await asyncio.to_thread(self._succeeded)
        pending = iter([list(itertools.islice(_sent, min(size, tasks - at))) for at in range(0, tasks, size)])
        accepted: dict[str, int] = {}
        before, top, calls = self._cpu(), self._engines.top(self._database), self._engines.valkey_calls()
        begun = time.perf_counter()
        await asyncio.gather(*(_post(wire, pending, accepted) for wire in wires))
        posted = time.perf_counter() - begun
        polls = await self._until_ended(key_of("task", next(reversed(accepted))), begun)
        seconds = time.perf_counter() - begun
        after, top_after, calls_after = self._cpu(), self._engines.top(self._database), self._engines.valkey_calls()
        done = await asyncio.to_thread(self._succeeded) - done_before
        if not len(accepted) == done == tasks:
            raise AnchorError(f"{tasks} tasks were sent, {len(accepted)} accepted, and {done} have succeeded.")
        await _prove(wires[0], accepted)
        for wire in wires:
            wire.close()
        used = {name: after[name] - before[name] for name in before}
        elsewhere = used.pop("machine") - sum(used.values())
        commands = {
            kind: (top_after[kind][0] - top.get(kind, (0, 0))[0], top_after[kind][1] - top.get(kind, (0, 0))[1])
            for kind in ("insert", "update", "queries", "getmore", "commands")
            if kind in top_after
        }
        asked, spent = commands["queries"]
        commands["queries"] = (asked - polls, spent)
        return {
            "tasks": tasks,
            "seconds": round(seconds, 3),
            "postedSeconds": round(posted, 3),
            "tasksPerSecond": round(tasks / seconds, 1),
            "cpuUs": {name: round(cpu / tasks * 1e6, 1) for name, cpu in used.items()},
            "cores": {name: round(cpu / seconds, 2) for name, cpu in used.items()},
            "elsewhereCores": round(elsewhere / seconds, 2),
            "mongoCommands": {kind: round(count / tasks, 4) for kind, (count, _) in commands.items()},
            "mongoUs": {kind: round(us / tasks, 1) for kind, (_, us) in commands.items()},
            "valkeyCommands": round((calls_after[0] - calls[0]) / tasks, 4),
            "valkeyUs": round((calls_after[1] - calls[1]) / tasks, 1),
        }

    def _cpu(self) -> dict[str, float]:
        of_each = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        return {**of_each, "client": time.process_time(), "machine": machine_busy_seconds()}

    async def _until_ended(self, last: int, begun: float) -> int:
        """Wait until no task is live; how many queries that took. First for the task `last` alone, which is found by
        its id: the emulator reads every live task to say whether there is one."""
        queries = 0
        while True:
            queries += 1
            found = await asyncio.to_thread(self._tasks.find_one, {"_id": last}, {"state": 1})
            if found is not None and STATES[found["state"]] in TERMINAL:
                live = 0
                for state in LIVE:
                    queries += 1
                    query = {"state": CODES[state]}
                    live += await asyncio.to_thread(self._tasks.find_one, query, {"_id": 1}) is not None
                if not live:
                    return queries
            if time.perf_counter() - begun > END_SECONDS:
                raise AnchorError(f"Not all tasks ended within {END_SECONDS:.0f} s.")
            await asyncio.sleep(POLL_SECONDS)

    def _succeeded(self) -> int:
        return self._tasks.count_documents({"state": CODES[State.SUCCEEDED]})


async def _post(wire: Wire, pending: Iterator[list[int]], accepted: dict[str, int]) -> None:
    for numbers in pending:
        tasks = [b'{"name":"bench","type":"noop","payload":{"input":%d}}' % number for number in numbers]
        content = await wire.post("/api/tasks", b"[" + b",".join(tasks) + b"]" if len(tasks) > 1 else tasks[0])
        created = _created(content if content.startswith(b"[") else b"[" + content + b"]")
        accepted.update(zip((one["id"] for one in created), numbers, strict=True))


async def _prove(wire: Wire, accepted: dict[str, int]) -> None:
    for id_ in list(accepted)[:: max(1, len(accepted) // PROOFS)]:
        ended = msgspec.json.decode(await wire.get(f"/api/tasks/{id_}/result"))
        if ended["state"] != "succeeded" or ended["result"] != accepted[id_]:
            raise AnchorError(f"Task {id_} should have answered {accepted[id_]} and is {ended}.")
