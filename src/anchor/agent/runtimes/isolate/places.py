"""Where things are in the author's own sources: what V8 says of the text it was given, turned back."""

import bisect
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from anchor.agent.runtimes.isolate.sourcemap import SourceMap, map_in

_BREAK: Final = re.compile("\r\n|[\n\r\u2028\u2029]")
_FRAME: Final = re.compile(r"([^\s():]+):(\d+):(\d+)")
_OURS: Final = re.compile(
    r"\n    at (?:[^\n]*\(anchor:[^\n]*|anchor:[^\n]*|(?:async )?(?:\w+\.)?next \(<anonymous>\)"
    r"|new Promise \(<anonymous>\))"
)


@dataclass(frozen=True)
class Place:
    """A place in a source; lines and columns from 1. `file` is empty where there is only one."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}"
        return f"{self.file}, {place}" if self.file else place


class Lines:
    """The lines of a source as JavaScript counts them; offsets and columns are UTF-16 units."""

    def __init__(self, source: str) -> None:
        self._starts = [0]
        wide = not source.isascii() and any(character > "\uffff" for character in source)
        done = extra = 0
        for found in _BREAK.finditer(source):
            if wide:
                extra += sum(character > "\uffff" for character in source[done : found.end()])
                done = found.end()
            self._starts.append(found.end() + extra)

    def of(self, offset: int) -> tuple[int, int]:
        """The line and column of an offset, both from 0."""
        line = bisect.bisect_right(self._starts, offset) - 1
        return line, offset - self._starts[line]

    def __len__(self) -> int:
        return len(self._starts)


class Shift:
    """How far columns moved when a source was rewritten; its lines have stayed. `head` units were put before it."""

    def __init__(self, head: int) -> None:
        self.head = head
        # By line: (column now, column of the author's, whether what follows moves along).
        self._marks: dict[int, list[tuple[int, int, bool]]] = {0: [(0, 0, False), (head, 0, True)]}

    def add(self, lines: Lines, start: int, end: int, text: str, *, is_called: bool = False) -> None:
        """A replacement, after all those before it; `text` has the line breaks of what it replaces at its end. Where it
        `is_called`, the parenthesis after it counts as its place: it is what V8 names then."""
        line, column = lines.of(start)
        last, after = lines.of(end)
        now = self._now(line, column)
        marks = self._marks.setdefault(line, [(0, 0, True)])
        marks.append((now, column, False))
        if last == line:
            if is_called:
                marks.append((now + len(text), column, False))
            marks.append((now + len(text) + is_called, after + is_called, True))
        else:
            self._marks[last] = [(0, after, True)]

    def _now(self, line: int, column: int) -> int:
        now, theirs, _ = self._marks.get(line, [(0, 0, True)])[-1]
        return now + column - theirs

    def back(self, line: int, column: int) -> int:
        """The author's column for one of the text that V8 has; both from 0."""
        marks = self._marks.get(line)
        if marks is None:
            return column
        now, theirs, moves = marks[max(0, bisect.bisect_right(marks, (column, 1 << 62)) - 1)]
        return theirs + column - now if moves else theirs


class Text:
    """One source of a task: `name` is what its author calls it, `url` what V8 calls it."""

    def __init__(self, name: str, source: str, *, alone: bool) -> None:
        self.name = name
        self.source = source
        self.url = quote(name, safe="/@._-+~")
        self.shift = Shift(0)
        self._alone = alone
        self._lines: Lines | None = None
        self._map: SourceMap | None = None
        self._mapped = False

    @property
    def lines(self) -> Lines:
        """Its lines."""
        if self._lines is None:
            self._lines = Lines(self.source)
        return self._lines

    def place(self, offset: int) -> Place:
        """Where an offset is."""
        line, column = self.lines.of(offset)
        return self.named(line, column)

    def seen(self, line: int, column: int) -> Place | None:
        """What V8 calls `line` and `column` (from 1); None for what was written around the source."""
        if line == 1 and column <= self.shift.head:
            return None
        return self.named(line - 1, self.shift.back(line - 1, column - 1))

    def named(self, line: int, column: int) -> Place:
        """A place in this source (from 0), or in the one it was made from if it has a source map."""
        if not self._mapped:
            self._map, self._mapped = map_in(self.source), True
        if self._map is not None and (found := self._map.original(line, column)) is not None:
            return Place(found[0], found[1] + 1, found[2] + 1)
        return Place("" if self._alone else self.name, line + 1, column + 1)


class Places:
    """The sources of a task by the names that V8 has for them."""

    def __init__(self, texts: Iterable[Text]) -> None:
        self._texts = {text.url: text for text in texts}

    def text(self, url: str) -> Text | None:
        """The source that V8 calls `url`."""
        return self._texts.get(url)

    def first(self, stack: str) -> Place | None:
        """The innermost place in the author's sources that a stack names."""
        for url, line, column in _FRAME.findall(stack):
            text = self._texts.get(url)
            if text is not None and (place := text.seen(int(line), int(column))) is not None:
                return place
        return None

    def retold(self, stack: str) -> str:
        """A stack with the author's places in it and no frame of ours."""

        def told(found: re.Match[str]) -> str:
            text = self._texts.get(found[1])
            place = None if text is None else text.seen(int(found[2]), int(found[3]))
            if text is None or place is None:
                return found[0]
            return f"{place.file or text.name}:{place.line}:{place.column}"

        return _FRAME.sub(told, _OURS.sub("", stack))
