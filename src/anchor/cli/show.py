"""Data on stdout: JSON for programs, tables and lines for people."""

import datetime
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from anchor.cli.plain import plain

STATE_STYLES = {
    "succeeded": "green",
    "online": "green",
    "running": "cyan",
    "leased": "cyan",
    "failed": "red",
    "inconclusive": "magenta",
    "verifying": "cyan",
    "blocked": "red",
    "quarantined": "red",
    "cancelled": "yellow",
    "cancelling": "yellow",
    "backoff": "yellow",
    "reused": "green",
    "draining": "yellow",
    "offline": "dim",
}


class Output(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


def as_json(value: Any) -> None:
    """A value as JSON, indented."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    sys.stdout.flush()


def as_line(value: Any) -> None:
    """A value as one line of JSON."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def as_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Rows under headings; narrow enough for a terminal, untruncated in a pipe."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, no_wrap=at == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row))
    _console().print(table)


def as_facts(facts: Iterable[tuple[str, str | Text]]) -> None:
    """Names and values, one a line; empty values are left out."""
    console = _console()
    for name, value in facts:
        if value:
            console.print(Text.assemble((f"{name:<12} ", "dim"), plain(value)), soft_wrap=True)


def as_lines(lines: Iterable[Text]) -> None:
    """Lines as they are."""
    console = _console()
    for line in lines:
        console.print(plain(line), soft_wrap=True)


def clear() -> None:
    """Wipe the terminal."""
    _console().clear()


def state(word: str) -> Text:
    """A state in its colour."""
    return Text(word, style=STATE_STYLES.get(word, ""))


def ended(word: str) -> str:
    """How a task ended that did not succeed, as the beginning of a sentence."""
    return {"cancelled": "Cancelled", "inconclusive": "The answers do not agree"}.get(word, "The task failed")


def age(moment: datetime.datetime | None) -> str:
    """How long ago something was: `12s`, `3m`, `5h`, `2d`."""
    if moment is None:
        return ""
    return age_of((datetime.datetime.now(datetime.UTC) - moment).total_seconds())


def age_of(seconds: float) -> str:
    """A stretch of time as an age, in its largest whole unit."""
    for size, letter in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{letter}"
    return f"{max(0, int(seconds))}s"


def duration(seconds: float) -> str:
    """A stretch of time: `42 ms`, `1.27 s`, `3 min 5 s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def size(count: int) -> str:
    """A number of bytes: `512 B`, `1.5 KiB`, `3.0 GiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def _console() -> Console:
    # A pipe has no width of its own: rows stay whole for grep and awk.
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=10_000)
