"""`anchor bench`: what this machine does with tasks that do nothing, measured from outside."""

import asyncio
import os
import platform
from collections.abc import Awaitable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from anchor import __version__
from anchor.cli import show
from anchor.cli.bench_load import Latency, Load, Throughput
from anchor.cli.bench_stand import Stand, a_directory_on_disk, filesystem_of, flush_ms, stand
from anchor.cli.exits import Exit, Usage
from anchor.cli.options import Format
from anchor.cli.process import run_until_stopped, until
from anchor.cli.show import Output
from anchor.cli.talk import say

app = typer.Typer(add_completion=False)
LARGE_SLOTS = 1000
SLOTS = 100
WARM_UP_TASKS = 2_000
BACKGROUND_PER_SECOND = 2_000


class Costed(Throughput, frozen=True, rename="camel"):
    """A throughput, with the CPU time that a task took of the server's and the agent's process, in microseconds."""

    server_us: float
    agent_us: float


class Place(msgspec.Struct, frozen=True, rename="camel"):
    """What the figures depend on beside the code."""

    version: str
    cores: int
    system: str
    python: str
    filesystem: str
    flush_ms: float


class Figures(msgspec.Struct, frozen=True, rename="camel"):
    """Everything `anchor bench` measures; see docs/benchmarks.md for what each figure is."""

    place: Place
    bulk_large_leases: Costed
    bulk: Costed
    single: Costed
    idle: Latency
    busy: Latency


@app.command()
def bench(
    tasks: Annotated[int, typer.Option(min=100, help="Tasks of each bulk measure; single POSTs send half.")] = 20_000,
    samples: Annotated[int, typer.Option(min=1, help="Latencies measured each time.")] = 500,
    directory: Annotated[
        Path | None, typer.Option(help="Where the temporary data goes: on a real disk.", show_default="temp directory")
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Start a server and an agent of our own, drive them with tasks that do nothing, print how fast they were.

    Every task travels the whole way, with everything written to disk, and its answer is checked. Takes half a minute.
    """
    where = (directory or a_directory_on_disk()).absolute()
    if not where.is_dir() or not os.access(where, os.W_OK):
        raise Usage(f"{where} is not a directory we may write to.", hint="Name another one with --directory.")
    measured: list[Figures] = []

    async def work() -> None:
        measured.append(await figures(where, tasks, samples))

    run_until_stopped(lambda stop: until(stop, work()))
    if not measured:
        raise typer.Exit(Exit.INTERRUPTED)
    if output is Output.JSON:
        return show.as_json(measured[0])
    return _print(measured[0])


async def figures(directory: Path, tasks: int, samples: int) -> Figures:
    """Measure everything, on two stands one after the other."""
    place = await asyncio.to_thread(_place, directory)
    async with stand(directory, slots=LARGE_SLOTS) as there, Load(there.url) as load:
        await load.bulk(WARM_UP_TASKS)
        say(f"Bulk submit, {LARGE_SLOTS} slots …", style="dim")
        large = await _with_cost(there, load.bulk(tasks))
    async with stand(directory, slots=SLOTS) as there, Load(there.url) as load:
        await load.bulk(WARM_UP_TASKS)
        say(f"Bulk submit, {SLOTS} slots …", style="dim")
        bulk = await _with_cost(there, load.bulk(tasks))
        say("One task a request …", style="dim")
        single = await _with_cost(there, load.single(tasks // 2))
        say("Latency …", style="dim")
        idle = await load.latency(samples)
        say(f"Latency beside {BACKGROUND_PER_SECOND:,} tasks/s …", style="dim")
        busy = await load.latency_beside(samples, BACKGROUND_PER_SECOND)
    return Figures(place, large, bulk, single, idle, busy)


async def _with_cost(there: Stand, measure: Awaitable[Throughput]) -> Costed:
    before = there.server.cpu_seconds(), there.agent.cpu_seconds()
    rate = await measure
    server, agent = (
        round((program.cpu_seconds() - used) / rate.tasks * 1e6, 1)
        for program, used in zip((there.server, there.agent), before, strict=True)
    )
    return Costed(rate.tasks, rate.seconds, rate.tasks_per_second, server_us=server, agent_us=agent)


def _place(directory: Path) -> Place:
    return Place(
        version=__version__,
        cores=os.cpu_count() or 1,
        system=platform.platform(terse=True),
        python=platform.python_version(),
        filesystem=filesystem_of(directory),
        flush_ms=flush_ms(directory),
    )


def _print(figures: Figures) -> None:
    place = figures.place
    rates = (
        (f"bulk, {LARGE_SLOTS:,} slots", figures.bulk_large_leases),
        (f"bulk, {SLOTS} slots", figures.bulk),
        ("one task a request", figures.single),
    )
    times = (("idle", figures.idle), (f"beside {figures.busy.background_per_second:,.0f} tasks/s", figures.busy))
    show.as_facts(
        (
            ("anchor", place.version),
            ("machine", f"{place.cores} cores, {place.system}, Python {place.python}"),
            ("disk", f"{place.filesystem}, {place.flush_ms:.2f} ms a flush"),
        )
    )
    show.as_table(
        ("THROUGHPUT", "TASKS", "SECONDS", "TASKS/S", "SERVER µs/TASK", "AGENT µs/TASK"),
        (
            (name, f"{one.tasks:,}", f"{one.seconds:.2f}", f"{one.tasks_per_second:,.0f}", f"{one.server_us:.0f}",
             f"{one.agent_us:.0f}")
            for name, one in rates
        ),
    )  # fmt: skip
    show.as_table(
        ("SUBMIT TO RESULT", "SAMPLES", "P50 MS", "P99 MS", "MAX MS"),
        (
            (name, f"{one.samples:,}", f"{one.p50_ms:.2f}", f"{one.p99_ms:.2f}", f"{one.max_ms:.2f}")
            for name, one in times
        ),
    )
