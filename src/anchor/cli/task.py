"""`anchor task`: list tasks, look into them, read their output, cancel and retry them."""

import itertools
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from anchor.cli import show
from anchor.cli.exits import exit_of_result
from anchor.cli.options import LONG_PATIENCE_SECONDS, Format, Token, Url, connect
from anchor.cli.show import Output
from anchor.cli.talk import say, say_reason
from anchor.cli.votes import show_votes, verdict_of
from anchor.cli.why import why as explained
from anchor.client import StateChange
from anchor.core.task import State
from anchor.wire.rest import LogLine, TaskResult, TaskView, UsageView

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List tasks, look into them, read their output, cancel and retry them.",
)

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="A task's id, as `anchor task ls` shows it.")]


@app.command("ls")
def ls(
    state: Annotated[str | None, typer.Option(help=f"Only tasks in this state: {', '.join(State)}.")] = None,
    label: Annotated[str | None, typer.Option(help="Only tasks with this label.")] = None,
    name: Annotated[str | None, typer.Option(help="Only tasks with this in their name.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only tasks of this owner.")] = None,
    runtime: Annotated[str | None, typer.Option(help="Only tasks for this runtime.")] = None,
    node: Annotated[str | None, typer.Option(help="Only tasks that this node has, or had last.")] = None,
    run: Annotated[str | None, typer.Option(help="Only tasks of this run of a graph.")] = None,
    since: Annotated[str | None, typer.Option(help="Only tasks submitted since, as 2026-01-31T12:00Z.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """List tasks, newest first."""
    with connect(url, token) as client:
        found = client.tasks(
            state=state or "",
            label=label or "",
            name=name or "",
            owner=owner or "",
            runtime=runtime or "",
            node=node or "",
            run=run or "",
            since=since or "",
            page_size=min(limit, 1000),
        )
        rows = list(itertools.islice(found, limit))
    if output is Output.JSON:
        return show.as_json(rows)
    if not rows:
        return say("No tasks. Submit one with `anchor run FILE`.")
    columns = ("ID", "NAME", "STATE", "RUNTIME", "NODE", "ATTEMPT", "AGE", "WHY")
    return show.as_table(
        columns,
        (
            (
                row.id,
                row.name,
                show.state(row.state),
                row.runtime,
                row.node_id or "",
                str(row.attempt),
                show.age(row.created_at),
                row.reason.message if row.reason else "",
            )
            for row in rows
        ),
    )


@app.command("get")
def get(task: TaskId, url: Url = None, token: Token = None, output: Format = Output.TABLE) -> None:
    """Show one task, whole."""
    with connect(url, token) as client:
        view = client.task(task)
    if output is Output.JSON:
        return show.as_json(view)
    return _facts(view)


@app.command("logs")
def logs(
    task: TaskId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the task is over.")] = False,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Print what a task printed, its stdout on stdout and its stderr on stderr."""
    with connect(url, token, patience_seconds=LONG_PATIENCE_SECONDS if follow else 2.0) as client:
        if not follow:
            lines = client.logs(task)
            if output is Output.JSON:
                return show.as_json(lines)
            for line in lines:
                write(line)
            return None
        for happening in client.follow(task):
            if output is Output.JSON and not isinstance(happening, StateChange):
                show.as_line(happening)
            elif isinstance(happening, LogLine):
                write(happening)
    return None


@app.command("result")
def result(
    task: TaskId,
    wait: Annotated[float, typer.Option("--wait", "-w", min=0, help="Wait this many seconds for its end.")] = 0,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Print a task's result as JSON; the exit code says how it ended."""
    with connect(url, token) as client:
        outcome = client.result(task, wait_seconds=wait)
        value = value_of(client, outcome)
    if output is Output.JSON:
        show.as_json(msgspec.structs.replace(outcome, result=value))
    elif outcome.state == State.SUCCEEDED:
        show.as_json(value)
    elif outcome.state in (State.FAILED, State.CANCELLED, State.INCONCLUSIVE):
        say_reason(show.ended(outcome.state), outcome.reason)
    else:
        say(f"The task is {outcome.state}. Wait for it with --wait SECONDS.")
    raise typer.Exit(exit_of_result(outcome))


@app.command("files")
def files(
    task: TaskId,
    save: Annotated[Path | None, typer.Option(help="Write them into this directory.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Files that are there may be overwritten.")] = False,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """List the files a task left behind, or save them."""
    with connect(url, token) as client:
        found = client.task_files(task)
        saved = [] if save is None else client.save_files(task, save, overwrite=overwrite)
    if output is Output.JSON:
        return show.as_json(found)
    if not found:
        return say("It left no files. `anchor run --out 'GLOB'` keeps some.")
    if save is None:
        return show.as_table(
            ("NAME", "SIZE", "SHA256"), ((file.name, show.size(file.size), file.sha256) for file in found)
        )
    for path in saved:
        typer.echo(path)
    return None


@app.command("cancel")
def cancel(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK...", help="Ids of tasks.")],
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Stop tasks: at once where they wait, and as soon as their machine has heard of it where they run."""
    with connect(url, token) as client:
        views = [client.cancel(task) for task in tasks]
    if output is Output.JSON:
        return show.as_json(views)
    for view in views:
        say(f"{view.id} is {view.state}.")
    return None


@app.command("retry")
def retry(task: TaskId, url: Url = None, token: Token = None, output: Format = Output.TABLE) -> None:
    """Submit a task that is over again, as a new one, and print its id."""
    with connect(url, token) as client:
        created = client.retry(task)
    if output is Output.JSON:
        return show.as_json(created)
    return typer.echo(created.id)


app.command("why")(explained)


@app.command("receipt")
def receipt(task: TaskId, url: Url = None, token: Token = None) -> None:
    """Print everything to check a finished task by, as JSON: `anchor verify` does that, without any server."""
    with connect(url, token) as client:
        show.as_json(client.receipt(task))


def write(line: LogLine) -> None:
    """A piece of output, to the stream it was printed on; progress is for those who watch."""
    if line.stream == "progress":
        return
    stream = sys.stderr if line.stream == "stderr" else sys.stdout
    stream.write(line.text)
    stream.flush()


def value_of(client: Any, outcome: TaskResult) -> Any:
    """A task's result, fetched where it is too large to travel with the answer."""
    if outcome.result_blob is None:
        return outcome.result
    return msgspec.json.decode(client.blob(outcome.result_blob.removeprefix("sha256:")))


def _facts(view: TaskView) -> None:
    took = (view.finished_at - view.started_at).total_seconds() if view.finished_at and view.started_at else None
    show.as_facts(
        [
            ("Id", view.id),
            ("Name", view.name),
            ("State", show.state(view.state)),
            ("Why", view.reason.message if view.reason else ""),
            ("Hint", view.reason.hint if view.reason else ""),
            ("Runtime", view.runtime),
            ("Node", view.node_id or ""),
            ("Owner", view.owner),
            ("Labels", ", ".join(view.labels)),
            ("Created", f"{view.created_at:%Y-%m-%d %H:%M:%S} UTC, {show.age(view.created_at)} ago"),
            ("Took", show.duration(took) if took is not None else ""),
            ("Retry of", view.retry_of or ""),
            ("Progress", _progress(view)),
            ("Used", _used(view.usage)),
            ("Result", _short(view)),
            ("Files", ", ".join(f"{file.name} ({show.size(file.size)})" for file in view.files)),
            ("Verified", verdict_of(view.verification)),
            ("Case", view.verification.case_id or "" if view.verification else ""),
        ]
    )
    if view.verification is not None and view.verification.votes:
        show_votes(view.verification.votes)
    if view.attempts:
        show.as_table(
            ("ATTEMPT", "NODE", "OUTCOME", "TOOK", "USED", "WHY"),
            (
                (
                    str(attempt.number),
                    attempt.node_id,
                    show.state(attempt.outcome or "running"),
                    show.duration((attempt.ended_at - attempt.leased_at).total_seconds()) if attempt.ended_at else "",
                    _used(attempt.usage),
                    attempt.reason.message if attempt.reason else "",
                )
                for attempt in view.attempts
            ),
        )


def _progress(view: TaskView) -> str:
    told = view.progress
    if told is None:
        return ""
    share = "" if told.fraction is None else f"{told.fraction:.0%} "
    return f"{share}{told.message} ({show.age(told.at)} ago)"


def _used(usage: UsageView | None) -> str:
    """What is known of it: CPU time, memory, bytes in and out, fuel."""
    if usage is None:
        return ""
    facts = [
        (usage.cpu_seconds, f"{show.duration(usage.cpu_seconds)} CPU"),
        (usage.peak_memory_mb, f"{usage.peak_memory_mb:.0f} MB"),
        (usage.bytes_in, f"{show.size(usage.bytes_in)} in"),
        (usage.bytes_out, f"{show.size(usage.bytes_out)} out"),
        (usage.fuel, f"{usage.fuel:,} fuel"),
    ]
    return ", ".join(text for amount, text in facts if amount)


def _short(view: TaskView) -> str:
    if view.result_blob:
        return f"large; print it with `anchor task result {view.id}`"
    if view.state != State.SUCCEEDED:
        return ""
    text = msgspec.json.encode(view.result).decode()
    return text if len(text) <= 500 else f"{text[:500]}… (whole: `anchor task result {view.id}`)"
