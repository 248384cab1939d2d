"""Glob patterns of output files, followed part by part, so that a walk enters no folder in which nothing can match."""

import fnmatch
import functools
import re
from typing import Self


@functools.lru_cache(maxsize=1024)
def _expression(part: str) -> re.Pattern[str] | None:
    """What one part of a pattern matches; None for `**`. A translation by fnmatch never backtracks over a star."""
    return None if part == "**" else re.compile(fnmatch.translate(part))


class Glob:
    """One pattern at a place in the tree. `*`, `?` and `[…]` stay within a name, `**` is any number of folders.

    As in a shell, a name that begins with a dot is matched only by a part that begins with one.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._parts = pattern.split("/")
        if self._parts[-1] == "**":
            self._parts.append("*")  # every file in those folders
        self._places = self._spread({0})

    def _spread(self, places: set[int]) -> frozenset[int]:
        """With the places that follow since `**` may stand for no folder at all."""
        spread = set(places)
        for place in sorted(places):
            while place < len(self._parts) and self._parts[place] == "**":
                place += 1
                spread.add(place)
        return frozenset(spread)

    def _after(self, name: str) -> frozenset[int]:
        found: set[int] = set()
        for place in self._places:
            if place == len(self._parts):
                continue
            part = self._parts[place]
            expression = _expression(part)
            if name.startswith(".") and not part.startswith("."):
                continue
            if expression is None:
                found.add(place)
            elif expression.match(name):
                found.add(place + 1)
        return self._spread(found)

    def matches(self, name: str) -> bool:
        """Whether a file of this name in this place is one of those meant."""
        return len(self._parts) in self._after(name)

    def entering(self, folder: str) -> Self | None:
        """The pattern inside this folder; None where nothing in it can match."""
        places = self._after(folder) - {len(self._parts)}
        if not places:
            return None
        inside = object.__new__(type(self))
        inside.pattern, inside._parts, inside._places = self.pattern, self._parts, places
        return inside
