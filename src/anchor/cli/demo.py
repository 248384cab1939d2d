"""The tour of `anchor up --demo`: real work, its output as it comes, each result with its time and place."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from anchor.cli.show import duration
from anchor.client import AsyncClient, StateChange
from anchor.core.errors import Unavailable
from anchor.core.spec import Limits, Payload, RetryPolicy, TaskSpec
from anchor.core.task import State
from anchor.wire.rest import LogLine, NodeView, TaskView

BELOW = 1_000_000
PRIMES_BELOW = 78_498
AGENT_SECONDS = 60.0
PART_SECONDS = 300.0
"""For one part, which may have to fetch Node first."""
POLL_SECONDS = 0.1
LABEL = "demo"
_SHORT_BACKOFF = RetryPolicy(attempts=3, backoff_seconds=0.3)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One stop of the tour; `is_right` judges the task once it succeeded."""

    title: str
    runtime: str
    payload: Payload
    is_right: Callable[[TaskView], bool]
    module: bytes = b""
    retry: RetryPolicy = RetryPolicy()


def example(name: str) -> Path:
    """A file of `examples/`: beside the code where Anchor is installed, at the top of a checkout."""
    package = Path(__file__).parents[1]
    for directory in (package / "examples", package.parents[1] / "examples"):
        if (directory / name).is_file():
            return directory / name
    raise Unavailable(f"The example {name} is missing from this installation.", hint="Install Anchor again.")


def parts() -> list[Part]:
    """The stops of the tour."""
    javascript = example("primes.js").read_text("utf-8")
    python = example("primes.py").read_text("utf-8")
    text = example("lighthouse.txt").read_text("utf-8")
    return [
        Part(
            title="Primes below 1,000,000: JavaScript in an isolate",
            runtime="isolate",
            payload=Payload(source_code=javascript, runtime="isolate", input=BELOW),
            is_right=_counts_the_primes,
        ),
        Part(
            title="Primes below 1,000,000: a WASI program",
            runtime="wasm",
            payload=Payload(runtime="wasm", args=[str(BELOW)]),
            is_right=_counts_the_primes,
            module=example("wasi/primes.wasm").read_bytes(),
        ),
        Part(
            title="Primes below 1,000,000: Python in a sandbox",
            runtime="python",
            payload=Payload(source_code=python, runtime="python", input=BELOW),
            is_right=_counts_the_primes,
        ),
        Part(
            title="Primes below 1,000,000: native Python",
            runtime="native",
            payload=Payload(source_code=python, runtime="native", language="python", input=BELOW),
            is_right=_counts_the_primes,
        ),
        Part(
            title="Primes below 1,000,000: native JavaScript in Node",
            runtime="native",
            payload=Payload(source_code=javascript, runtime="native", language="javascript", input=BELOW),
            is_right=_counts_the_primes,
        ),
        Part(
            title="Word count of a short story",
            runtime="isolate",
            payload=Payload(source_code=example("word_count.js").read_text("utf-8"), runtime="isolate", input=text),
            is_right=lambda task: isinstance(task.result, dict) and task.result.get("words", 0) > 500,
        ),
        Part(
            title="A task that fails twice and is tried again",
            runtime="isolate",
            payload=Payload(source_code=example("third_time_lucky.js").read_text("utf-8"), runtime="isolate"),
            is_right=lambda task: task.attempt == 3,
            retry=_SHORT_BACKOFF,
        ),
    ]


def _counts_the_primes(task: TaskView) -> bool:
    return isinstance(task.result, dict) and task.result.get("count") == PRIMES_BELOW


async def tour(client: AsyncClient, console: Console | None = None) -> bool:
    """Show every part that a node here can run; False where one of them failed."""
    console = console or Console(highlight=False)
    node = await _first_node(client)
    console.print(f"\n[bold]A tour of real work[/], on {node.node_id} ({node.specs.cores} cores).\n")
    stops = parts()
    failed: list[str] = []
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=len(stops))
        for number, part in enumerate(stops, start=1):
            progress.update(bar, description=part.title)
            console.print(Text(f"[{number}/{len(stops)}] {part.title}", style="bold"))
            if part.runtime in node.specs.runtimes:
                if not await _show(client, part, console):
                    failed.append(part.title)
            else:
                why = node.specs.missing.get(part.runtime, "the node does not offer it")
                console.print(
                    Text(
                        f"  left out, this machine has no runtime {part.runtime}: {why}\n  `anchor doctor` says more.",
                        style="yellow",
                    ),
                    soft_wrap=True,
                )
            progress.advance(bar)
    if failed:
        console.print(Text(f"\n{len(failed)} of {len(stops)} parts failed: {'; '.join(failed)}.", style="bold red"))
    else:
        console.print(Text("\nThat was the tour: `anchor task ls` lists it.", style="bold green"))
    return not failed


async def _first_node(client: AsyncClient) -> NodeView:
    until = time.monotonic() + AGENT_SECONDS
    while time.monotonic() < until:
        for node in await client.nodes():
            if node.status == "online" and node.specs.runtimes:
                return node
        await asyncio.sleep(POLL_SECONDS)
    raise Unavailable(
        f"The local agent did not come up within {AGENT_SECONDS:.0f} seconds.",
        hint="`anchor doctor` says what is wrong with this machine.",
        code="no_agent",
    )


async def _show(client: AsyncClient, part: Part, console: Console) -> bool:
    payload = part.payload
    if part.module:
        payload = msgspec.structs.replace(payload, module=await client.module_text(part.module))
    spec = TaskSpec(
        name=part.title,
        type="wasm" if part.module else "script",
        payload=payload,
        limits=Limits(timeout_seconds=120),
        retry=part.retry,
        labels=[LABEL],
    )
    created = await client.submit(spec)
    try:
        async with asyncio.timeout(PART_SECONDS):
            await _follow(client, created.id, console)
    except TimeoutError:
        why = (await client.why(created.id))["reason"]["message"]
        console.print(Text(f"  ✘ it did not end within {PART_SECONDS:.0f} s: {why}", style="red"), soft_wrap=True)
        return False
    return _judge(await client.task(created.id), part, console)


async def _follow(client: AsyncClient, task: str, console: Console) -> None:
    async for happening in client.follow(task):
        if isinstance(happening, LogLine) and happening.stream != "progress":
            for line in happening.text.splitlines():
                console.print(Text.assemble(("  │ ", "dim"), line), soft_wrap=True)
        elif isinstance(happening, StateChange) and happening.state == State.BACKOFF:
            console.print(Text("  ↻ it failed; the next attempt comes after a short rest", style="yellow"))


def _judge(task: TaskView, part: Part, console: Console) -> bool:
    where = f"{duration(_seconds(task))} on {task.node_id}" + (f", attempt {task.attempt}" if task.attempt > 1 else "")
    if task.state != State.SUCCEEDED:
        why = task.reason.message if task.reason else "no reason was given"
        console.print(Text(f"  ✘ {task.state}: {why} ({where})", style="red"), soft_wrap=True)
        return False
    answer = msgspec.json.encode(task.result).decode()
    if not part.is_right(task):
        console.print(Text(f"  ✘ a wrong answer: {answer} ({where})", style="red"), soft_wrap=True)
        return False
    console.print(Text.assemble(("  ✔ ", "green"), answer), soft_wrap=True)
    console.print(Text(f"    {where}", style="dim"))
    return True


def _seconds(task: TaskView) -> float:
    if task.usage is not None and task.usage.wall_seconds:
        return task.usage.wall_seconds
    if task.started_at is None or task.finished_at is None:
        return 0.0
    return (task.finished_at - task.started_at).total_seconds()
