"""`anchor run`: one file or command as a task, its output live, its result on stdout."""

import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from typer.core import TyperCommand

from anchor.cli import show
from anchor.cli.attached import files_of, uploaded
from anchor.cli.bar import Bar
from anchor.cli.doubt import PATIENCE_SECONDS, say_why_it_waits
from anchor.cli.exits import Exit, Usage, exit_of_result
from anchor.cli.options import LONG_PATIENCE_SECONDS, Format, Token, Url, connect
from anchor.cli.program import Program, program_of
from anchor.cli.show import Output
from anchor.cli.talk import say, say_reason
from anchor.cli.task import value_of, write
from anchor.cli.verifying import (
    Absolute,
    Agree,
    CompareOption,
    Copies,
    CopiesMax,
    Ignore,
    Relative,
    SameOwner,
    VerifyOption,
    wish_of,
)
from anchor.client import Client, StateChange
from anchor.core.errors import AnchorError
from anchor.core.spec import Limits, Payload, Requirements, RetryPolicy, TaskSpec
from anchor.core.task import State
from anchor.wire.rest import Created, LogLine, TaskResult

CANCEL_SECONDS = 30.0
FILES_SHOWN_MAX = 10
_AFTER_DASHES = "anchor.after_dashes"


class RunCommand(TyperCommand):
    """Keeps what follows `--` apart: it is the command to run, or arguments of the file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what stands before `--`."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_AFTER_DASHES] = args[at + 1 :]
        return super().parse_args(ctx, args[:at])


app = typer.Typer(add_completion=False)


@app.command(
    cls=RunCommand,
    epilog="Exit codes: 0 it succeeded, 1 it failed, 8 it ran out of time, 9 its copies did not agree, "
    "130 interrupted.",
)
def run(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="A .js, .mjs, .py or .wasm file; left out before `-- COMMAND…`.")
    ] = None,
    args: Annotated[list[str] | None, typer.Argument(help="Arguments of the program.")] = None,
    arg: Annotated[list[str] | None, typer.Option(help="One more argument; typed JSON with --function.")] = None,
    input_: Annotated[
        str | None, typer.Option("--input", "-i", help="What the code finds as `input`: JSON, @FILE, or @- for stdin.")
    ] = None,
    stdin: Annotated[str | None, typer.Option(help="What it reads from stdin: text, @FILE, or @- for ours.")] = None,
    env: Annotated[list[str] | None, typer.Option(help="NAME=VALUE in its environment.")] = None,
    dep: Annotated[list[str] | None, typer.Option(help="A package it needs (npm or pip), like lodash@4.")] = None,
    file_: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", help="PATH[=NAME]: a file or folder it finds in its directory; may be repeated."),
    ] = None,
    out: Annotated[
        list[str] | None, typer.Option(help="Files to keep of what it writes, like 'plots/*.png'; may be repeated.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Save the files it kept into this directory.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Saving may overwrite files.")] = False,
    function: Annotated[str | None, typer.Option(help="Call this exported function of a wasm module.")] = None,
    runtime: Annotated[
        str | None, typer.Option(help="isolate, wasm, python, native or container.", show_default="by file")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the task.", show_default="the file's name")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds an attempt may run.", show_default=False)] = None,
    memory: Annotated[int | None, typer.Option(help="MiB an attempt may use.", show_default=False)] = None,
    disk: Annotated[int | None, typer.Option(help="MiB it may keep in its directory.", show_default="1024")] = None,
    fuel: Annotated[int | None, typer.Option(help="Instructions wasm may run, about.", show_default=False)] = None,
    network: Annotated[bool, typer.Option("--network", help="It needs the network (native, container).")] = False,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Virtual clock, seeded chance: every run is the same (wasm).")
    ] = False,
    image: Annotated[str | None, typer.Option(help="The image a container runs.", show_default=False)] = None,
    ram: Annotated[float, typer.Option(help="GiB of RAM its node must have.", show_default=False)] = 0,
    cores: Annotated[int, typer.Option(help="Cores its node must have.", show_default=False)] = 0,
    gpu: Annotated[bool, typer.Option("--gpu", help="Its node must have a GPU.")] = False,
    on: Annotated[list[str] | None, typer.Option(help="A label its node must have.")] = None,
    where: Annotated[
        str, typer.Option(help="What else its node must be, like 'node.speed > 500'.", show_default=False)
    ] = "",
    label: Annotated[list[str] | None, typer.Option(help="A label for the task, to find it by.")] = None,
    retries: Annotated[int | None, typer.Option(min=0, help="Tries after the first.", show_default="2")] = None,
    priority: Annotated[int, typer.Option(help="-100 to 100; higher runs earlier.")] = 0,
    verify: VerifyOption = None,
    copies: Copies = None,
    agree: Agree = None,
    copies_max: CopiesMax = None,
    compare: CompareOption = None,
    ignore: Ignore = None,
    absolute: Absolute = None,
    relative: Relative = None,
    same_owner: SameOwner = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the task's id and leave it running.")] = False,
    url: Url = None,
    token: Token = None,
    output: Format = Output.TABLE,
) -> None:
    """Run FILE, or `-- COMMAND…`, somewhere in the network: print what it prints, then its result."""
    program = program_of(
        file,
        [*(args or []), *(arg or [])],
        ctx.meta[_AFTER_DASHES],
        runtime=runtime,
        dependencies=dep or [],
        function=function,
        input_text=input_,
        stdin=stdin,
        env=env or [],
        outputs=out or [],
        network=network,
        deterministic=deterministic,
        image=image,
    )
    if detach and save is not None:
        raise Usage("--save waits for the end and --detach does not.", hint="Later: anchor task files TASK --save DIR")
    files = files_of(file_ or [])
    spec = TaskSpec(
        name=name or program.name,
        type="wasm" if program.module is not None else "script",
        requirements=Requirements(min_ram=ram, min_cores=cores, gpu_required=gpu, labels=on or [], expression=where),
        limits=_limits(memory, timeout, disk, fuel),
        retry=RetryPolicy() if retries is None else RetryPolicy(attempts=retries + 1),
        priority=priority,
        labels=label or [],
        verify=wish_of(
            verify,
            copies=copies,
            agree=agree,
            copies_max=copies_max,
            compare=compare,
            ignore=ignore,
            absolute=absolute,
            relative=relative,
            same_owner=same_owner,
        ),
    )
    with connect(url, token) as client:
        created = client.submit(msgspec.structs.replace(spec, payload=_payload(client, program, files)))
    if detach:
        return show.as_json(created) if output is Output.JSON else typer.echo(created.id)
    with connect(url, token, patience_seconds=LONG_PATIENCE_SECONDS) as client:
        outcome, code = _attend(client, created, output, program)
        if outcome is not None and outcome.state == State.SUCCEEDED:
            _keep_files(client, outcome, save, overwrite=overwrite)
        raise typer.Exit(code)


def _limits(memory: int | None, timeout: float | None, disk: int | None, fuel: int | None) -> Limits:
    limits = Limits(memory_mb=memory, timeout_seconds=timeout, fuel=fuel)
    return limits if disk is None else msgspec.structs.replace(limits, disk_mb=disk)


def _payload(client: Client, program: Program, files: dict[str, Path]) -> Payload:
    payload = msgspec.structs.replace(program.payload, files=uploaded(client, files))
    if program.module is None:
        return payload
    return msgspec.structs.replace(payload, module=client.module_text(program.module))


def _keep_files(client: Client, outcome: TaskResult, save: Path | None, *, overwrite: bool) -> None:
    """Save what the task left behind, or say how."""
    if save is not None:
        for path in client.save_files(outcome.id, save, overwrite=overwrite):
            say(f"Saved {path}")
    elif outcome.files:
        names = ", ".join(f"{file.name} ({show.size(file.size)})" for file in outcome.files[:FILES_SHOWN_MAX])
        say(f"Files: {names}{', …' if len(outcome.files) > FILES_SHOWN_MAX else ''}")
        say(f"Save them: `anchor task files {outcome.id} --save DIR`", style="dim")


def _attend(client: Client, created: Created, output: Output, program: Program) -> tuple[TaskResult | None, Exit]:
    """Stay with a task to its end; Ctrl-C asks for that end, a second one leaves."""
    try:
        outcome = _watch(client, created, output)
        value = value_of(client, outcome)
    except KeyboardInterrupt:
        return None, _interrupted(client, created)
    except AnchorError as error:
        error.hint += f" The task goes on: `anchor task logs -f {created.id}`."
        raise
    if output is Output.JSON:
        show.as_json(msgspec.structs.replace(outcome, result=value))
    elif outcome.state == State.SUCCEEDED:
        if program.is_news(value):
            show.as_json(value)
    else:
        say_reason(show.ended(outcome.state), outcome.reason)
        say(f"More: `anchor task get {created.id}`", style="dim")
    return outcome, exit_of_result(outcome)


def _watch(client: Client, created: Created, output: Output) -> TaskResult:
    bar = Bar(created.name, created.state)
    doubt = threading.Timer(PATIENCE_SECONDS, say_why_it_waits, (client, created.id))
    doubt.daemon = True
    doubt.start()
    try:
        for happening in client.follow(created.id):
            if isinstance(happening, TaskResult):
                return happening
            if isinstance(happening, StateChange):
                bar.state(happening.state)
                if happening.state == State.BACKOFF:
                    bar.clear()
                    _say_it_is_tried_again(client, created.id)
                elif happening.state not in (State.QUEUED, State.VERIFYING):
                    doubt.cancel()
            elif happening.stream == "progress":
                bar.progress(happening)
            else:
                bar.output(happening.text)
                _print(happening, output)
    finally:
        doubt.cancel()
        bar.clear()
    raise AssertionError("a followed task ends with its result")


def _print(line: LogLine, output: Output) -> None:
    if output is Output.JSON:
        # stdout belongs to the JSON document.
        sys.stderr.write(line.text)
        sys.stderr.flush()
    else:
        write(line)


def _say_it_is_tried_again(client: Client, task: str) -> None:
    outcome = client.result(task)
    if outcome.state == State.BACKOFF and outcome.reason is not None:
        say(f"Attempt {outcome.attempt} failed: {outcome.reason.message} Another follows.", style="yellow")


def _interrupted(client: Client, created: Created) -> Exit:
    say(f"Cancelling {created.id}… (Ctrl-C again leaves it to the server)")
    try:
        client.cancel(created.id)
        outcome = client.result(created.id, wait_seconds=CANCEL_SECONDS)
        say(f"The task is {outcome.state}.")
    except KeyboardInterrupt:
        say("Left. The server goes on cancelling it.")
    return Exit.INTERRUPTED
