"""`anchor bench`: what this machine does with tasks that do nothing, measured from outside."""

import asyncio
import os
import platform
from collections.abc import Awaitable
from pathlib import Path
from typing import Annotated, TypeVar

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
T = TypeVar("T")


class Cost(msgspec.Struct, frozen=True, rename="camel"):
    """CPU time of the server's and the agent's process, in microseconds for each task."""

    server_us: float
    agent_us: float


class Bulk(Throughput, frozen=True):
    """A throughput with what it cost."""

    cost: Cost


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
    bulk_large_leases: Bulk
    bulk: Bulk
    single: Bulk
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
    say(f"Bulk submit, {LARGE_SLOTS} slots …", style="dim")
    async with stand(directory, slots=LARGE_SLOTS) as there:
        large = await _with(there, lambda load: _bulk(there, load, tasks))
    async with stand(directory, slots=SLOTS) as there:
        say(f"Bulk submit, {SLOTS} slots …", style="dim")
        bulk = await _with(there, lambda load: _bulk(there, load, tasks))
    return Figures(place, large, bulk, single, idle, busy)
