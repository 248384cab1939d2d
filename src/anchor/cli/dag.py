"""`anchor dag`: run graphs of steps, watch them, look into them, cancel and rerun them."""

import itertools
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, get_args

import typer

from anchor.cli import show, tree
from anchor.cli.doubt import PATIENCE_SECONDS, say_why_a_run_waits
from anchor.cli.exits import Exit, Usage
from anchor.cli.options import LONG_PATIENCE_SECONDS, Format, Token, Url, connect
from anchor.cli.show import Output
from anchor.cli.talk import say, say_reason
from anchor.cli.task import value_of
from anchor.cli.tree import Tree
from anchor.client import Client, dags
from anchor.client.graph_files import read_graph, with_files
from anchor.core.dag import RUN_OVER, RunState
from anchor.core.errors import AnchorError, InvalidRequest
from anchor.wire.dags import Item, ItemState, ItemView, RerunRequest, RunCreated, RunRow, RunView, StepView

WAIT_SECONDS = 20.0
PAUSE_SECONDS = 0.1
STEPS_PER_SECOND = 20_000
"""Between two looks at a run at least so long, and at a large one so much longer: each costs its server something."""
CANCEL_SECONDS = 30.0
STEPS_SHOWN_MAX = 1_000
RESULTS_SHOWN_MAX = 20

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Run graphs of steps, watch them, look into them, cancel and rerun them.",
)

RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, as `anchor dag ls` shows it.")]
Detach = Annotated[bool, typer.Option("--detach", "--no-wait", "-d", help="Print the run's id and leave it running.")]


class Picture(StrEnum):
    """Forms of a graph."""

    JSON = "json"
    DOT = "dot"
    MERMAID = "mermaid"


@app.command("run", epilog="Exit codes: 0 it succeeded, 1 it failed, 9 a step stayed inconclusive, 130 interrupted.")
def run(
    file: Annotated[Path, typer.Argument(help="A graph as YAML or JSON; see docs/graphs.md.")],
    detach: Detach = False,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Run the graph in FILE, show how it goes, and print the results of its last steps."""
    try:
        graph = read_graph(file)
    except InvalidRequest as error:
        raise Usage(error.message, hint=error.hint) from error
    with connect(url, token) as client:
        try:
            created = client.call(dags.schedule(with_files(graph, client.module_text)))
        except AnchorError as error:
            raise graph.blamed(error) from error
    _attend_or_leave(created, url, token, output, detach=detach)


@app.command("ls")
def ls(
    state: Annotated[str | None, typer.Option(help=f"Only runs in this state: {', '.join(RunState)}.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """List runs, newest first."""
    rows: list[RunRow] = []
    with connect(url, token) as client:
        cursor = ""
        while len(rows) < limit:
            page = client.call(dags.runs(state=state or "", limit=min(limit - len(rows), 1000), cursor=cursor))
            rows += page.items
            cursor = page.cursor
            if not cursor:
                break
    if output is Output.JSON:
        return show.as_json(rows)
    if not rows:
        return say("No runs. Start one with `anchor dag run FILE`.")
    columns = ("ID", "NAME", "KIND", "STATE", "STEPS", "AGE", "WHY")
    return show.as_table(
        columns,
        (
            (
                row.id,
                row.name,
                row.kind,
                show.state(row.state),
                f"{row.steps:,}",
                show.age(row.created_at),
                row.reason.message if row.reason else "",
            )
            for row in rows
        ),
    )


@app.command("get")
def get(
    run: RunId,
    state: Annotated[str | None, typer.Option(help="List the steps in this state, however many there are.")] = None,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Show one run with its steps; a large one by levels."""
    with connect(url, token) as client:
        if state is not None:
            steps = list(itertools.islice(_steps(client, run, state), STEPS_SHOWN_MAX))
            return show.as_json(steps) if output is Output.JSON else show.as_lines(tree.tree(steps))
        view = client.call(dags.run(run))
    if output is Output.JSON:
        return show.as_json(view)
    took = (view.finished_at - view.created_at).total_seconds() if view.finished_at else None
    show.as_facts(
        [
            ("Id", view.id),
            ("Name", view.name),
            ("State", show.state(view.state)),
            ("Why", view.reason.message if view.reason else ""),
            ("Hint", view.reason.hint if view.reason else ""),
            ("Owner", view.owner),
            ("Labels", ", ".join(view.labels)),
            ("Created", f"{view.created_at:%Y-%m-%d %H:%M:%S} UTC, {show.age(view.created_at)} ago"),
            ("Took", show.duration(took) if took is not None else ""),
            ("Rerun of", view.rerun_of or ""),
            ("Steps", f"{view.steps:,}, {view.progress:.0%} of them over"),
        ]
    )
    return show.as_lines(tree.fitting(view, tree.TREE_STEPS_MAX))


@app.command("items")
def items(
    run: RunId,
    step: Annotated[str, typer.Argument(help="A parallel step of it.")],
    state: Annotated[
        str | None, typer.Option(help=f"Only items in this state: {', '.join(get_args(ItemState))}.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """List the items of a parallel step: how many are in which state, and each with why it failed."""
    with connect(url, token) as client:
        rows = list(itertools.islice(_items(client, run, step, state or "", limit), limit))
        if output is Output.JSON:
            return show.as_json(rows)
        known = client.call(dags.item_counts(run, step))
    told = ", ".join(f"{many:,} {word}" for word, many in sorted(known.counts.items(), key=lambda one: -one[1]))
    say(f"{known.total:,} items: {told}.")
    if not rows:
        return None
    return show.as_table(
        ("ITEM", "STATE", "TASK", "NODE", "ATTEMPTS", "WHY"),
        (
            (
                str(row.number),
                show.state(row.state),
                row.task_id or "",
                row.node_id or "",
                str(row.attempt),
                row.reason.message if row.reason else "",
            )
            for row in rows
        ),
    )


def _items(client: Client, run: str, step: str, state: str, limit: int) -> Iterator[ItemView]:
    cursor = ""
    while True:
        page = client.call(dags.items(run, step, state=state, limit=min(limit, 1000), cursor=cursor))
        yield from page.items
        cursor = page.cursor
        if not cursor:
            return


@app.command("graph")
def graph(
    run: RunId,
    form: Annotated[Picture, typer.Option("--format", "-f", help="As submitted, or as a drawing.")] = Picture.MERMAID,
    url: Url = None,
    token: Token = None,
) -> None:
    """Print the graph of a run: for Mermaid or Graphviz, in the colours of its steps' states, or as JSON."""
    with connect(url, token) as client:
        found = client.call(dags.graph(run, form.value))
    sys.stdout.write(found.decode())
    sys.stdout.flush()


@app.command("cancel")
def cancel(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs.")],
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Stop runs: no step begins any more, and those under way are stopped."""
    with connect(url, token) as client:
        rows = [client.call(dags.cancel(run)) for run in runs]
    if output is Output.JSON:
        return show.as_json(rows)
    for row in rows:
        say(f"{row.id} is {row.state}.")
    return None


@app.command("rerun")
def rerun(
    run: RunId,
    from_step: Annotated[
        str | None, typer.Option("--from", metavar="STEP", help="Only this step and what hangs off it.")
    ] = None,
    only_failed: Annotated[
        bool, typer.Option("--only-failed", help="Only what did not succeed, and what hangs off that.")
    ] = False,
    item: Annotated[
        str | None,
        typer.Option(metavar="STEP:N", help="Only item N (from 0) of a parallel step, and what hangs off it."),
    ] = None,
    failed_items: Annotated[
        str | None,
        typer.Option(metavar="STEP", help="Only the items of a parallel step that failed, and what hangs off it."),
    ] = None,
    detach: Detach = False,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Run a graph that is over again, as a new run; what need not run again keeps its results."""
    wish = RerunRequest(
        from_step=from_step,
        only_failed=only_failed,
        item=None if item is None else _item(item),
        failed_items=failed_items,
    )
    with connect(url, token) as client:
        created = client.call(dags.rerun(run, wish))
    _attend_or_leave(created, url, token, output, detach=detach)


def _item(text: str) -> Item:
    step, colon, number = text.rpartition(":")
    if not colon or not step or not number.isdecimal():
        raise Usage(f"--item {text!r} names no item.", hint="Write --item STEP:N, with N counted from 0.")
    return Item(step=step, number=int(number))


def _steps(client: Client, run: str, state: str) -> Iterator[StepView]:
    cursor = ""
    while True:
        page = client.call(dags.steps(run, state=state, limit=1000, cursor=cursor))
        yield from page.items
        cursor = page.cursor
        if not cursor:
            return


def _attend_or_leave(created: RunCreated, url: str | None, token: str | None, output: Output, *, detach: bool) -> None:
    if detach:
        return show.as_json(created) if output is Output.JSON else typer.echo(created.id)
    with connect(url, token, patience_seconds=LONG_PATIENCE_SECONDS) as client:
        raise typer.Exit(_attend(client, created, output))


def _attend(client: Client, created: RunCreated, output: Output) -> Exit:
    """Stay with a run to its end; Ctrl-C asks for that end, a second one leaves."""
    try:
        view = _watch(client, created, silent=output is Output.JSON)
        return _report(client, view, output)
    except KeyboardInterrupt:
        return _interrupted(client, created)
    except AnchorError as error:
        error.hint += f" The run goes on: `anchor dag get {created.id}`."
        raise


def _watch(client: Client, created: RunCreated, *, silent: bool = False, seconds: float | None = None) -> RunView:
    """Show a run until it is over, or for so many seconds."""
    drawing = Tree()
    until = None if seconds is None else time.monotonic() + seconds
    steps = tree.TREE_STEPS_MAX if created.steps <= tree.TREE_STEPS_MAX else 0
    version = told = ""
    try:
        while True:
            wait = 0.0 if not version else WAIT_SECONDS if version == told or silent else PATIENCE_SECONDS
            view = client.call(dags.run(created.id, wait_seconds=wait, version=version, steps=steps))
            if not silent:
                drawing.update(view)
                if view.version == version != told:
                    told = version
                    say_why_a_run_waits(client, view)
            version = view.version
            if view.state in RUN_OVER or (until is not None and time.monotonic() > until):
                return view
            time.sleep(max(PAUSE_SECONDS, created.steps / STEPS_PER_SECOND))
    finally:
        drawing.clear()


def _report(client: Client, view: RunView, output: Output) -> Exit:
    if output is Output.JSON:
        show.as_json(client.call(dags.run(view.id)))
    elif view.state == RunState.SUCCEEDED:
        _print_results(client, view)
    else:
        say_reason("Cancelled" if view.state == RunState.CANCELLED else "The run failed", view.reason)
        for step in view.failures if len(view.failures) > 1 else []:
            say(f"  {step.id} {step.state}: {step.reason.message if step.reason else 'no reason was given'}")
        say(f"More: `anchor dag get {view.id}`", style="dim")
    if view.state == RunState.SUCCEEDED:
        return Exit.OK
    reason = view.reason
    inconclusive = reason is not None and reason.code == "step_inconclusive"
    return Exit.INCONCLUSIVE if inconclusive else Exit.TASK_FAILED


def _print_results(client: Client, view: RunView) -> None:
    """What the steps came to that no other waits for: of one its result, of several an object by step."""
    if view.step_list is None:
        return say(f"The run succeeded. Its steps: `anchor dag get {view.id} --state succeeded`")
    waited_for = {name for step in view.step_list for name in (*step.dependencies, *step.soft_dependencies)}
    last = [step for step in view.step_list if step.id not in waited_for and step.task_id is not None]
    if len(last) > RESULTS_SHOWN_MAX:
        return say(f"The run succeeded. The results of its {len(last)} last steps: `anchor task result TASK`")
    results = {step.id: value_of(client, client.result(step.task_id or "")) for step in last}
    return show.as_json(next(iter(results.values())) if len(results) == 1 else results)


def _interrupted(client: Client, created: RunCreated) -> Exit:
    say(f"Cancelling {created.id}… (Ctrl-C again leaves it to the server)")
    try:
        client.call(dags.cancel(created.id))
        view = _watch(client, created, silent=True, seconds=CANCEL_SECONDS)
        say(f"The run is {view.state}.")
    except KeyboardInterrupt:
        say("Left. The server goes on cancelling it.")
    return Exit.INTERRUPTED
