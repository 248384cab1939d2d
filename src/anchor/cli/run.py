"""`anchor run`: one file or command as a task, its output live, its result on stdout."""

import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text
from typer.core import TyperCommand

from anchor.cli import show
from anchor.cli.exits import Exit, exit_of_result
from anchor.cli.options import LONG_PATIENCE_SECONDS, Format, Token, Url, connect
from anchor.cli.program import Program, program_of
from anchor.cli.show import Output
from anchor.cli.talk import is_interactive, say, say_reason, stderr
from anchor.cli.task import value_of, write
from anchor.client import Client, StateChange
from anchor.core.errors import AnchorError
from anchor.core.spec import Limits, Requirements, RetryPolicy, TaskSpec
from anchor.core.task import State
from anchor.wire.rest import Created, LogLine, TaskResult

CANCEL_SECONDS = 30.0
PATIENCE_WITH_THE_QUEUE_SECONDS = 3.0
_AFTER_DASHES = "anchor.after_dashes"


class RunCommand(TyperCommand):
    """Keeps what follows `--` apart: it is the command to run, or arguments of the file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what stands before `--`."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_AFTER_DASHES] = args[at + 1 :]
        return super().parse_args(ctx, args[:at])


app = typer.Typer(add_completion=False)


@app.command(cls=RunCommand, epilog="Exit codes: 0 it succeeded, 1 it failed, 8 it ran out of time, 130 interrupted.")
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
    function: Annotated[str | None, typer.Option(help="Call this exported function of a wasm module.")] = None,
    runtime: Annotated[
        str | None, typer.Option(help="isolate, wasm, python or native.", show_default="by file")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the task.", show_default="the file's name")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds an attempt may run.", show_default=False)] = None,
    memory: Annotated[int | None, typer.Option(help="MiB an attempt may use.", show_default=False)] = None,
    ram: Annotated[float, typer.Option(help="GiB of RAM its node must have.", show_default=False)] = 0,
    cores: Annotated[int, typer.Option(help="Cores its node must have.", show_default=False)] = 0,
    gpu: Annotated[bool, typer.Option("--gpu", help="Its node must have a GPU.")] = False,
    on: Annotated[list[str] | None, typer.Option(help="A label its node must have.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="A label for the task, to find it by.")] = None,
    retries: Annotated[int | None, typer.Option(min=0, help="Tries after the first.", show_default="2")] = None,
    priority: Annotated[int, typer.Option(help="-100 to 100; higher runs earlier.")] = 0,
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
    )
    spec = TaskSpec(
        name=name or program.name,
        type="wasm" if program.module is not None else "script",
        requirements=Requirements(min_ram=ram, min_cores=cores, gpu_required=gpu, labels=on or []),
        limits=Limits(memory_mb=memory, timeout_seconds=timeout),
        retry=RetryPolicy() if retries is None else RetryPolicy(attempts=retries + 1),
        priority=priority,
        labels=label or [],
    )
    with connect(url, token) as client:
        created = client.submit(msgspec.structs.replace(spec, payload=_payload(client, program)))
    if detach:
        return show.as_json(created) if output is Output.JSON else typer.echo(created.id)
    with connect(url, token, patience_seconds=LONG_PATIENCE_SECONDS) as client:
        raise typer.Exit(_attend(client, created, output, prints_result=program.prints_result))


def _payload(client: Client, program: Program) -> Any:
    if program.module is None:
        return program.payload
    return msgspec.structs.replace(program.payload, module=client.module_text(program.module))


def _attend(client: Client, created: Created, output: Output, *, prints_result: bool) -> Exit:
    """Stay with a task to its end; Ctrl-C asks for that end, a second one leaves."""
    try:
        outcome = _watch(client, created, output)
        value = value_of(client, outcome)
    except KeyboardInterrupt:
        return _interrupted(client, created)
    except AnchorError as error:
        error.hint += f" The task goes on: `anchor task logs -f {created.id}`."
        raise
    if output is Output.JSON:
        show.as_json(msgspec.structs.replace(outcome, result=value))
    elif outcome.state == State.SUCCEEDED:
        if value is not None and prints_result:
            show.as_json(value)
    else:
        say_reason("Cancelled" if outcome.state == State.CANCELLED else "The task failed", outcome.reason)
        say(f"More: `anchor task get {created.id}`", style="dim")
    return exit_of_result(outcome)


def _watch(client: Client, created: Created, output: Output) -> TaskResult:
    spinner = stderr.status(f"{created.name}: {created.state}")
    if is_interactive():
        spinner.start()
    doubt = threading.Timer(PATIENCE_WITH_THE_QUEUE_SECONDS, _say_why_it_waits, (client, created.id))
    doubt.daemon = True
    doubt.start()
    try:
        for happening in client.follow(created.id):
            if isinstance(happening, TaskResult):
                return happening
            if isinstance(happening, StateChange):
                spinner.update(f"{created.name}: {happening.state}")
                if happening.state == State.BACKOFF:
                    spinner.stop()
                    _say_it_is_tried_again(client, created.id)
                elif happening.state != State.QUEUED:
                    doubt.cancel()
            else:
                # A spinner and the task's own lines cannot share a terminal.
                spinner.stop()
                _print(happening, output)
    finally:
        doubt.cancel()
        spinner.stop()
    raise AssertionError("a followed task ends with its result")


def _print(line: LogLine, output: Output) -> None:
    if line.stream == "progress":
        # Tools that install things print in bits of lines: pass them on as they are.
        stderr.print(Text(line.text, style="dim"), end="", soft_wrap=True)
    elif output is Output.JSON:
        # stdout belongs to the JSON document.
        sys.stderr.write(line.text)
        sys.stderr.flush()
    else:
        write(line)


def _say_why_it_waits(client: Client, task: str) -> None:
    try:
        answer = client.why(task)
    except AnchorError:
        return  # whoever follows the task hears of it, too
    if answer["state"] in (State.QUEUED, State.BACKOFF):
        reason = answer["reason"]
        say(f"Still {answer['state']}: {reason['message']} {reason.get('hint', '')}".rstrip(), style="yellow")


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
