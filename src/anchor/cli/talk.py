"""What is said to people, all of it on stderr; stdout is for data."""

import sys

from rich.console import Console
from rich.text import Text

from anchor.cli.plain import plain
from anchor.core.attempt import Reason
from anchor.core.errors import AnchorError

FAULTS_SHOWN_MAX = 10

stderr = Console(stderr=True, highlight=False)


def say(text: str, *, style: str = "") -> None:
    """One line for a person."""
    stderr.print(Text.assemble(plain(text), style=style), soft_wrap=True)


def say_error(error: AnchorError) -> None:
    """An error as message, places and hint."""
    stderr.print(Text.assemble(("Error: ", "bold red"), plain(error.message)), soft_wrap=True)
    # A single fault is the whole message as a rule.
    untold = [fault for fault in error.errors if fault.message not in error.message or len(error.errors) > 1]
    for fault in untold[:FAULTS_SHOWN_MAX]:
        say(f"  {fault.pointer or '/'}: {fault.message}")
    if len(untold) > FAULTS_SHOWN_MAX:
        say(f"  … and {len(untold) - FAULTS_SHOWN_MAX} more")
    if error.hint:
        say(f"Hint: {error.hint}", style="dim")


def say_reason(heading: str, reason: Reason | None) -> None:
    """Why something is as it is."""
    message = reason.message if reason else "no reason was given"
    stderr.print(Text.assemble((f"{heading}: ", "bold red"), plain(message)), soft_wrap=True)
    if reason and reason.hint:
        say(f"Hint: {reason.hint}", style="dim")


def say_mistake(error: Exception) -> None:
    """An error nobody foresaw: ours, and said without a traceback."""
    what = str(error) or type(error).__name__
    stderr.print(Text.assemble(("Error: ", "bold red"), f"{what} ({type(error).__name__})"), soft_wrap=True)
    say("Hint: This is a mistake in Anchor. `anchor --debug …` shows where; please report it.", style="dim")


def is_interactive() -> bool:
    """Whether a person watches stderr: progress is drawn for nobody else."""
    return sys.stderr.isatty()
