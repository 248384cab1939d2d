"""`anchor mapreduce`: run a map and a reduce over many machines, from a file that says how or from two sources."""

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from anchor.cli import show
from anchor.cli.doubt import PATIENCE_SECONDS, say_why_a_run_waits
from anchor.cli.exits import Exit, Usage
from anchor.cli.options import LONG_PATIENCE_SECONDS, Format, Token, Url, connect
from anchor.cli.show import Output
from anchor.cli.talk import say, say_reason
from anchor.cli.task import value_of
from anchor.client import Client, dags, mapreduce
from anchor.client.graph_files import job_with_files, read_job
from anchor.core.dag import RUN_OVER
from anchor.core.errors import AnchorError, InvalidRequest
from anchor.core.mapreduce import REDUCERS
from anchor.wire.dags import RunCreated
from anchor.wire.mapreduce import JobView, Phase

WAIT_SECONDS = 20.0
BAR_WIDTH = 24
_LANGUAGES = {".py": "python", ".js": "javascript", ".mjs": "javascript"}
_JOBS = (".yaml", ".yml", ".json")

app = typer.Typer(add_completion=False)


@app.command(epilog="Exit codes: 0 it succeeded, 1 it failed, 9 a step stayed inconclusive, 130 interrupted.")
def main(
    inputs: Annotated[list[Path], typer.Argument(help="A job as YAML or JSON; or, with --map, the inputs.")],
    map_file: Annotated[Path | None, typer.Option("--map", help="A source that defines map(text).")] = None,
    reduce_file: Annotated[
        Path | None, typer.Option("--reduce", help="A source that defines reduce(key, values). Default: that of --map.")
    ] = None,
    runtime: Annotated[str | None, typer.Option(help="isolate, python or native. Default: by the language.")] = None,
    reducers: Annotated[int, typer.Option(min=1, help="Tasks that reduce.")] = REDUCERS,
    detach: Annotated[
        bool, typer.Option("--detach", "--no-wait", "-d", help="Print the job's id and leave it running.")
    ] = False,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Run a map-reduce job, show how it goes, and print its result: a key and its value a line."""
    with connect(url, token, patience_seconds=LONG_PATIENCE_SECONDS) as client:
        if map_file is None:
            if len(inputs) != 1 or inputs[0].suffix not in _JOBS:
                raise Usage("Without --map there is one file: the job.", hint="See docs/map-reduce.md for both ways.")
            created = _from_file(client, inputs[0])
        else:
            job = {
                "name": map_file.stem,
                "input": _uploaded(client, inputs),
                "map": _payload(map_file, runtime),
                "reduce": _payload(reduce_file or map_file, runtime),
                "reducers": reducers,
            }
            created = client.call(mapreduce.start(job))
        if detach:
            show.as_json(created) if output is Output.JSON else typer.echo(created.id)
            return
        try:
            if output is not Output.JSON:
                say(f"Started {created.id}.")
            view = _watched(client, created.id, silent=output is Output.JSON)
        except KeyboardInterrupt:
            client.call(dags.cancel(created.id))
            say(f"Cancelled {created.id}.")
            raise typer.Exit(Exit.INTERRUPTED) from None
        raise typer.Exit(_report(client, view, output))


def _from_file(client: Client, path: Path) -> RunCreated:
    try:
        file = read_job(path)
    except InvalidRequest as error:
        raise Usage(error.message, hint=error.hint) from error
    try:
        return client.call(
            mapreduce.start(job_with_files(file, client.module_text, lambda one: _reference(client, one)))
        )
    except AnchorError as error:
        raise file.blamed(error) from error


def _payload(file: Path, runtime: str | None) -> dict[str, Any]:
    language = _LANGUAGES.get(file.suffix)
    if language is None:
        raise Usage(f"{file} is neither .py nor .js.", hint="Write the job into a file for other kinds of code.")
    chosen = runtime or ("native" if language == "python" else "isolate")
    return {"sourceCode": _text(file), "language": language, "runtime": chosen}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"{file} cannot be read: {error}.", hint="Name a text file that is there.") from error


def _uploaded(client: Client, inputs: list[Path]) -> dict[str, Any]:
    """One input is cut at line ends; of several each is one map task's."""
    for file in inputs:
        if not file.is_file():
            raise Usage(f"{file} is not a file.", hint="Name the files that are to be mapped.")
    named = [_reference(client, file) for file in inputs]
    return {"blob": named[0]} if len(named) == 1 else {"files": named}


def _reference(client: Client, file: Path) -> str:
    """The uploaded file as it is called in a job."""
    return f"sha256:{client.upload(file)}"


def _watched(client: Client, job: str, *, silent: bool) -> JobView:
    view = client.call(mapreduce.job(job))
    told = ""
    while True:
        if not silent and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K" + "   ".join(_bar(phase) for phase in view.phases))
            sys.stderr.flush()
        if view.state in RUN_OVER:
            break
        before = view.version
        wait = WAIT_SECONDS if before == told or silent else PATIENCE_SECONDS
        view = client.call(mapreduce.job(job, wait_seconds=wait, version=before))
        if view.version == before != told and not silent:
            told = before
            say_why_a_run_waits(client, client.call(dags.run(job)))
    if not silent and sys.stderr.isatty():
        sys.stderr.write("\n")
    return view


def _bar(phase: Phase) -> str:
    full = BAR_WIDTH * phase.done // phase.total if phase.total else 0
    return f"{phase.name} [{'#' * full}{' ' * (BAR_WIDTH - full)}] {phase.done}/{phase.total or '?'}"


def _report(client: Client, view: JobView, output: Output) -> Exit:
    if view.state != "succeeded" or view.result is None:
        if output is Output.JSON:
            show.as_json(view)
        say_reason(f"{view.id} {view.state}", view.reason)
        inconclusive = view.reason is not None and view.reason.code == "step_inconclusive"
        return Exit.INCONCLUSIVE if inconclusive else Exit.TASK_FAILED
    pairs = value_of(client, view.result)
    if output is Output.JSON:
        typer.echo(msgspec.json.encode(pairs).decode())
    else:
        for key, value in pairs:
            typer.echo(f"{key}\t{value if isinstance(value, str) else msgspec.json.encode(value).decode()}")
    return Exit.OK
