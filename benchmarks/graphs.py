"""What a step of a graph costs beside a task that is part of nothing: the same work, on the same server, by turns.

    python benchmarks/graphs.py [--sizes 100,1000,10000] [--rounds 3] [--name NAME]

Every step is a task that does nothing, carried out by one real agent. Fan-outs (with a join), diamonds at random and
plain bulks are submitted whole; a chain is compared with tasks that are each submitted when the one before has ended.
CPU is that of the server's process. With --name the report is kept in benchmarks/results/ as JSON and as a page.
"""

import argparse
import asyncio
import datetime
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from machine import facts

from anchor.cli.bench_stand import Stand, a_directory_on_disk, stand
from anchor.client import AsyncClient, dags
from anchor.core.dag import Drawing, Graph, Step
from anchor.core.graph_check import checked
from anchor.core.plan import Plan

RESULTS = Path(__file__).parent / "results"
SLOTS = 64
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 600.0
RANDOM_SIZE = 2_000
PARENTS_MAX = 4
CHECKED_SIZE = 100_000
STEPS_MEASURED = 2_000


class Cost(msgspec.Struct, rename="camel"):
    """One round, by step."""

    cpu_us: float
    wall_ms: float


class Row(msgspec.Struct, rename="camel"):
    """One shape at one size: medians by step, beside as many tasks that are part of nothing, and the ratios."""

    shape: str
    steps: int
    beside: str
    ours: Cost
    theirs: Cost
    cpu_ratio: float
    wall_ratio: float


class Check(msgspec.Struct, rename="camel"):
    """How long a graph of 100,000 steps takes to be read and to be found sound, and its plan to be made."""

    shape: str
    body_mb: float
    decode_seconds: float
    check_seconds: float
    plan_seconds: float


class Report(msgspec.Struct, rename="camel"):
    """Everything that was measured, and where."""

    machine: dict[str, str]
    command: str
    rows: list[Row]
    checks: list[Check]


def _noop(name: str, parents: list[str]) -> Step:
    return Step(id=name, type="noop", dependencies=parents)


def chain(size: int) -> list[Step]:
    return [_noop(f"s{at}", [f"s{at - 1}"] if at else []) for at in range(size)]


def fan(size: int) -> list[Step]:
    """One, all but two side by side, and one that joins them."""
    middle = [f"s{at}" for at in range(1, size - 1)]
    return [_noop("s0", []), *(_noop(name, ["s0"]) for name in middle), _noop("join", middle)]


def diamonds(size: int) -> list[Step]:
    """Each step waits for up to four of those before it."""
    dice = random.Random(size)
    return [
        _noop(f"s{at}", [f"s{one}" for one in sorted(dice.sample(range(at), min(at, dice.randint(1, PARENTS_MAX))))])
        for at in range(size)
    ]


class Bench:
    """Rounds on one stand."""

    def __init__(self, there: Stand, client: AsyncClient) -> None:
        self._there = there
        self._client = client

    async def beside(self, shape: str, steps: list[Step], rounds: int, *, one_by_one: bool) -> Row:
        """A graph and as many tasks, by turns."""
        size = len(steps)
        graph = Graph(name=shape, steps=steps)
        tasks = self._one_by_one if one_by_one else self._bulk
        ours: list[Cost] = []
        theirs: list[Cost] = []
        for number in range(rounds):
            for graphs_turn in (True, False) if number % 2 == 0 else (False, True):
                if graphs_turn:
                    ours.append(await self._measured(size, lambda: self._graph(graph)))
                else:
                    theirs.append(await self._measured(size, lambda: tasks(size)))
        left, right = _median(ours), _median(theirs)
        return Row(
            shape,
            size,
            "tasks one after the other" if one_by_one else "tasks at once",
            left,
            right,
            round(left.cpu_us / right.cpu_us, 2),
            round(left.wall_ms / right.wall_ms, 2),
        )

    async def _measured(self, size: int, work: Callable[[], Awaitable[None]]) -> Cost:
        # CPU time is counted in hundredths of a second: what is small is done several times.
        times = max(1, STEPS_MEASURED // size)
        cpu, begun = self._there.server.cpu_seconds(), time.perf_counter()
        for _ in range(times):
            await work()
        took = time.perf_counter() - begun
        steps = times * size
        return Cost((self._there.server.cpu_seconds() - cpu) / steps * 1e6, took / steps * 1e3)

    async def _graph(self, graph: Graph) -> None:
        done = (await self._client.queue_stats())["dag"].completed
        await self._client.call(dags.schedule(graph))
        await self._until("dag", done + 1)

    async def _bulk(self, size: int) -> None:
        done = (await self._client.queue_stats())["tasks"].completed
        await self._client.submit_many({"name": "bench", "type": "noop"} for _ in range(size))
        await self._until("tasks", done + size)

    async def _one_by_one(self, size: int) -> None:
        for _ in range(size):
            task = await self._client.submit({"name": "bench", "type": "noop"})
            await self._client.result(task.id, wait_seconds=None)

    async def _until(self, queue: str, completed: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (await self._client.queue_stats())[queue].completed < completed:
            if time.monotonic() > deadline:
                raise SystemExit(f"After {PATIENCE_SECONDS:g} seconds the work is not done.")
            await asyncio.sleep(POLL_SECONDS)


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        round(statistics.median(cost.cpu_us for cost in costs), 1),
        round(statistics.median(cost.wall_ms for cost in costs), 3),
    )


def check(shape: str, steps: list[Step]) -> Check:
    """Once, as the server does it."""
    body = msgspec.json.encode(Graph(name=shape, steps=steps))
    decoder = msgspec.json.Decoder(Graph)
    begun = time.perf_counter()
    graph = decoder.decode(body)
    decoded = time.perf_counter()
    sound, faults = checked(graph)
    found = time.perf_counter()
    assert not faults, faults
    Plan.of(Drawing(sound))
    planned = time.perf_counter()
    return Check(
        shape,
        round(len(body) / 1e6, 1),
        round(decoded - begun, 3),
        round(found - decoded, 3),
        round(planned - found, 3),
    )


async def measure(sizes: list[int], rounds: int) -> list[Row]:
    async with stand(a_directory_on_disk(), slots=SLOTS) as there, AsyncClient(there.url) as client:
        bench = Bench(there, client)
        await bench.beside("warm up", fan(1000), 1, one_by_one=False)
        rows = []
        for size in sizes:
            rows.append(await bench.beside("chain", chain(size), rounds, one_by_one=True))
            rows.append(await bench.beside("fan-out and join", fan(size), rounds, one_by_one=False))
        rows.append(await bench.beside("random", diamonds(min(RANDOM_SIZE, max(sizes))), rounds, one_by_one=False))
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", default="100,1000,10000", help="steps of the chains and fan-outs")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each, graph and tasks by turns")
    parser.add_argument("--name", help="keep the report under this name in benchmarks/results/")
    wish = parser.parse_args()
    checks = [
        check(name, make(CHECKED_SIZE)) for name, make in (("chain", chain), ("fan-out", fan), ("random", diamonds))
    ]
    rows = asyncio.run(measure([int(size) for size in wish.sizes.split(",")], wish.rounds))
    report = Report(facts(), f"python benchmarks/graphs.py --sizes {wish.sizes} --rounds {wish.rounds}", rows, checks)
    page = _page(report)
    print(page)
    if wish.name:
        stem = RESULTS / f"{datetime.datetime.now(datetime.UTC).date()}-{wish.name}"
        stem.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
        stem.with_suffix(".md").write_text(page, "utf-8")


def _page(report: Report) -> str:
    lines = ["# Graphs", "", *(f"* {name}: {value}" for name, value in report.machine.items())]
    lines += [f"* command: `{report.command}`", "", "By step, medians; the server's CPU:", ""]
    lines += ["| graph | steps | CPU µs | wall ms | beside | CPU µs | wall ms | CPU ratio | wall ratio |"]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    lines += [
        f"| {row.shape} | {row.steps:,} | {row.ours.cpu_us:,.0f} | {row.ours.wall_ms:.2f} | {row.beside} "
        f"| {row.theirs.cpu_us:,.0f} | {row.theirs.wall_ms:.2f} | {row.cpu_ratio:.2f} | {row.wall_ratio:.2f} |"
        for row in report.rows
    ]
    lines += ["", f"A graph of {CHECKED_SIZE:,} steps:", ""]
    lines += ["| graph | MB | read, s | checked, s | plan made, s |", "|---|---|---|---|---|"]
    lines += [
        f"| {one.shape} | {one.body_mb:.1f} | {one.decode_seconds:.2f} | {one.check_seconds:.2f} "
        f"| {one.plan_seconds:.2f} |"
        for one in report.checks
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
