"""What `anchor bench` measures: how many tasks a second, and how long one takes from submit to result."""

import asyncio
import itertools
import math
import time
from collections.abc import Iterable
from typing import Any, Self

import msgspec

from anchor.cli.bench_http import Wire
from anchor.core.errors import AnchorError

BULK = 100
"""Tasks in one request of the bulk measure."""
BULK_CONNECTIONS = 4
SINGLE_CONNECTIONS = 32
POLL_SECONDS = 0.005
STALL_SECONDS = 30.0
"""A load that makes no progress for this long has failed."""
PROOFS = 200
"""Results of a load that are fetched and compared with what was sent."""
WARM_UP_SAMPLES = 20
BACKGROUND_SECONDS = 0.01
"""The background load is one array at this interval."""
CONNECTIONS_MAX = 300


class Throughput(msgspec.Struct, frozen=True, rename="camel"):
    """From the first byte of the first request until the server's truth said that every task had succeeded."""

    tasks: int
    seconds: float
    tasks_per_second: float


class Latency(msgspec.Struct, frozen=True, rename="camel"):
    """From before the submit until the result was there, in milliseconds, beside the background load reached."""

    samples: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    background_per_second: float = 0.0


class _Counts(msgspec.Struct):
    completed: int
    failed: int
    cancelled: int
    waiting: int
    active: int
    delayed: int


class _Created(msgspec.Struct):
    id: str


class _Ended(msgspec.Struct):
    id: str
    state: str
    result: Any


_stats = msgspec.json.Decoder(dict[str, _Counts]).decode
_created = msgspec.json.Decoder(_Created).decode
_all_created = msgspec.json.Decoder(list[_Created]).decode
_ended = msgspec.json.Decoder(_Ended).decode


class Load:
    """Sends noop tasks to one server, each with an input of its own, which has to come back as its result."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._sent = 0
        self._wires: list[Wire] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for wire in self._wires:
            wire.close()

    async def bulk(self, tasks: int) -> Throughput:
        """Arrays of 100 over a few connections."""
        return await self._measure(tasks, BULK, BULK_CONNECTIONS)

    async def single(self, tasks: int) -> Throughput:
        """One task a request over 32 connections."""
        return await self._measure(tasks, 1, SINGLE_CONNECTIONS)

    async def fill(self, tasks: int) -> None:
        """Arrays of 100 for nobody to work on yet; all are accepted when this returns."""
        wires = await self._open(BULK_CONNECTIONS)
        pending = iter([self._numbers(min(BULK, tasks - first)) for first in range(0, tasks, BULK)])
        await asyncio.gather(*(_send(wire, pending, []) for wire in wires))

    async def latency(self, samples: int) -> Latency:
        """One task after the other, each waited for."""
        [wire] = await self._open(1)
        taken: list[float] = []
        for _ in range(WARM_UP_SAMPLES + samples):
            [number] = self._numbers(1)
            begun = time.perf_counter()
            created = _created(await wire.post("/api/tasks", _task(number)))
            ended = _ended(await wire.get(f"/api/tasks/{created.id}/result?wait=10"))
            taken.append((time.perf_counter() - begun) * 1000)
            _prove(ended, number)
        return summary(taken[WARM_UP_SAMPLES:])

    async def latency_beside(self, samples: int, background_per_second: int) -> Latency:
        """The same beside a background of small arrays that are sent at fixed times."""
        [watch] = await self._open(1)
        begun, before = time.perf_counter(), (await self._counts(watch)).completed
        background = asyncio.create_task(self._keep_busy(round(background_per_second * BACKGROUND_SECONDS)))
        foreground = asyncio.create_task(self.latency(samples))
        try:
            await asyncio.wait({background, foreground}, return_when=asyncio.FIRST_COMPLETED)
            if background.done():
                background.result()
            after = (await self._counts(watch)).completed - WARM_UP_SAMPLES - samples
            reached = (after - before) / (time.perf_counter() - begun)
        finally:
            foreground.cancel()
            background.cancel()
            await asyncio.gather(foreground, background, return_exceptions=True)
        return msgspec.structs.replace(foreground.result(), background_per_second=round(reached, 1))

    async def _measure(self, tasks: int, size: int, connections: int) -> Throughput:
        wires = await self._open(connections)
        [watch] = await self._open(1)
        counts = await self._counts(watch)
        goal = counts.completed + tasks
        pending = iter([self._numbers(min(size, tasks - first)) for first in range(0, tasks, size)])
        answers: list[tuple[range, bytes]] = []
        started = time.perf_counter()
        sending = asyncio.gather(*(_send(wire, pending, answers) for wire in wires))
        try:
            await self._until_completed(watch, goal, sending)
        finally:
            sending.cancel()
        seconds = time.perf_counter() - started
        await self._prove_all(watch, tasks, answers)
        return Throughput(tasks, round(seconds, 4), round(tasks / seconds, 1))

    async def _until_completed(self, watch: Wire, goal: int, sending: "asyncio.Future[Any]") -> None:
        best, progress_at = -1, time.monotonic()
        while True:
            counts = await self._counts(watch)
            if counts.failed or counts.cancelled or counts.completed > goal:
                raise AnchorError(f"A noop task did not simply succeed: {counts}")
            if counts.completed == goal:
                await sending
                return
            if sending.done():
                sending.result()
            if counts.completed > best:
                best, progress_at = counts.completed, time.monotonic()
            elif time.monotonic() - progress_at > STALL_SECONDS:
                raise AnchorError(f"No task finished for {STALL_SECONDS:.0f} s: {counts}")
            await asyncio.sleep(POLL_SECONDS)

    async def _prove_all(self, wire: Wire, tasks: int, answers: Iterable[tuple[range, bytes]]) -> None:
        numbers: dict[str, int] = {}
        for sent, content in answers:
            created = _all_created(content) if content.startswith(b"[") else [_created(content)]
            numbers.update(zip((one.id for one in created), sent, strict=True))
        if len(numbers) != tasks:
            raise AnchorError(f"{tasks} tasks were sent and {len(numbers)} different ones accepted.")
        for id_ in list(numbers)[:: max(1, tasks // PROOFS)]:
            _prove(_ended(await wire.get(f"/api/tasks/{id_}/result")), numbers[id_])

    async def _keep_busy(self, size: int) -> None:
        idle: list[Wire] = []
        begun = time.perf_counter()

        async def post() -> None:
            wire = idle.pop() if idle else (await self._open(1))[0]
            await wire.post("/api/tasks", _tasks(self._numbers(size)))
            idle.append(wire)

        async with asyncio.TaskGroup() as posts:
            for round_ in itertools.count():
                # Sent at its time whether the one before was answered or not: a slow server is not spared.
                await asyncio.sleep(begun + round_ * BACKGROUND_SECONDS - time.perf_counter())
                if len(self._wires) > CONNECTIONS_MAX:
                    raise AnchorError(f"The server does not keep up with {size / BACKGROUND_SECONDS:.0f} tasks/s.")
                posts.create_task(post())

    async def _counts(self, wire: Wire) -> _Counts:
        return _stats(await wire.get("/api/queue/stats"))["tasks"]

    async def _open(self, count: int) -> list[Wire]:
        wires = [await Wire.open(self._url) for _ in range(count)]
        self._wires += wires
        return wires

    def _numbers(self, count: int) -> range:
        first = self._sent
        self._sent += count
        return range(first, first + count)


async def _send(wire: Wire, pending: Iterable[range], answers: list[tuple[range, bytes]]) -> None:
    for numbers in pending:
        body = _task(numbers[0]) if len(numbers) == 1 else _tasks(numbers)
        answers.append((numbers, await wire.post("/api/tasks", body)))


def _task(number: int) -> bytes:
    return b'{"name":"bench","type":"noop","payload":{"input":%d}}' % number


def _tasks(numbers: range) -> bytes:
    return b"[" + b",".join([_task(number) for number in numbers]) + b"]"


def _prove(ended: _Ended, number: int) -> None:
    if ended.state != "succeeded" or ended.result != number:
        raise AnchorError(f"Task {ended.id} should have answered {number} and is {ended.state}: {ended.result!r}")


def summary(taken: list[float]) -> Latency:
    """Percentiles by nearest rank."""
    ordered = sorted(taken)
    p50, p99 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.50, 0.99))
    return Latency(len(ordered), round(p50, 3), round(p99, 3), round(ordered[-1], 3))
