"""`anchor`: the list of commands, and what becomes of their errors."""

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from anchor import __version__
from anchor.cli.exits import Exit, exit_of
from anchor.cli.talk import say_error, say_mistake
from anchor.core.errors import AnchorError

COMMANDS = {
    "up": "Start a server and a local agent: everything, in one command.",
    "run": "Run a file or a command somewhere in the network and print its result.",
    "task": "List tasks, look into them, read their output, cancel and retry them.",
    "dag": "Run graphs of steps, watch them, look into them, cancel and rerun them.",
    "app": "Deploy web apps and workers, look at them, scale them, roll them back.",
    "mapreduce": "Run a map and a reduce over many machines and print the result.",
    "verify": "Check a receipt: code, input, output, votes and signatures, without any server.",
    "case": "Look into answers that contradict what was agreed on, and decide what follows.",
    "node": "List machines, take them in and out of service, let new ones join.",
    "why": "Say why a task waits, and the smallest change that would let it run.",
    "queue": "Show how much waits, runs and is done.",
    "key": "Make, list and revoke API keys.",
    "audit": "Show who did what, and check that nobody changed the record.",
    "server": "Start a server alone.",
    "agent": "Start an agent that works for a server.",
    "join": "Enrol this machine with a join token and start its agent.",
    "backup": "Write everything that is kept into one file, while servers run.",
    "restore": "Put a backup back.",
    "doctor": "Check this machine: what works, what does not, and what to do about it.",
    "bench": "Measure this machine: tasks a second, and how long one takes.",
}
MODULES = {"app": "apps"}
"""Where the file of a command is called otherwise: the one called `app` is this one."""


class LazyGroup(TyperGroup):
    """Knows every command by its sentence and loads the file of the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=sentence) for name, sentence in COMMANDS.items()}

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order a newcomer needs them."""
        return list(COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command called, loaded."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            command = get_command(importlib.import_module(f"anchor.cli.{MODULES.get(name, name)}").app)
            command.name = name
        return name, command, rest


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 task failed, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 invalid task, "
    "7 unreachable, 8 timed out, 9 inconclusive.",
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"anchor {__version__}")
        raise typer.Exit


@app.callback()
def anchor(
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the code an error comes from.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Anchor Network: ordinary computers pooled into one compute platform."""


def main() -> None:
    """The program `anchor`."""
    debug = "--debug" in sys.argv[1:2]
    try:
        get_command(app)(prog_name="anchor")
    except AnchorError as error:
        if debug:
            raise
        say_error(error)
        sys.exit(exit_of(error))
    except Exception as error:
        if debug:
            raise
        say_mistake(error)
        sys.exit(Exit.OTHER)
