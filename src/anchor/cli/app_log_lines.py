"""Lines of an app's log on a terminal: which replica said what."""

import sys
from collections.abc import Iterable

from rich.text import Text

from anchor.cli import show
from anchor.cli.plain import plain
from anchor.wire.apps import AppLine

_COLOURS = ("cyan", "green", "magenta", "blue", "yellow")
_WIDTH = 9


def prefix(line: AppLine) -> Text:
    """`web.0     │ ` in the colour of that replica."""
    name = f"{line.process}.{line.index}"
    return Text(f"{name:<{_WIDTH}} │ ", style=_COLOURS[sum(name.encode()) % len(_COLOURS)])


def drawn(line: AppLine) -> list[Text]:
    """A piece of a log for a terminal: with nothing in it that moves its cursor."""
    return [Text.assemble(prefix(line), plain(text)) for text in line.text.removesuffix("\n").split("\n")]


def write(lines: Iterable[AppLine]) -> None:
    """Pieces of a log on standard output: drawn on a terminal, as they are in a pipe."""
    if sys.stdout.isatty():
        show.as_lines([text for line in lines for text in drawn(line)])
        return
    for line in lines:
        texts = line.text.removesuffix("\n").split("\n")
        sys.stdout.writelines(f"{line.process}.{line.index} | {text}\n" for text in texts)
    sys.stdout.flush()
