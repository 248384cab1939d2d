"""A task over a list: its items are tasks of their own, and their results in order are its result."""

import re
from collections.abc import Iterator
from statistics import median
from typing import Any

import msgspec

from anchor.core.ids import STEP
from anchor.core.pieces import piece_of
from anchor.core.verification import Verify

ITEMS_MAX = 100_000
TAIL_SHARE = 0.75
"""From this share of items on that have ended, one that takes long gets a second copy."""
SLOW_FACTOR = 1.5
SLOW_MS_MIN = 2_000
_DURATIONS_MAX = 1_000
_PLACE = re.compile("0|[1-9][0-9]{0,8}")


class Items(msgspec.Struct, frozen=True, omit_defaults=True, tag="items"):
    """The items of a waiting task. Item i has the key first + i times STEP; a second copy of it, made where it is the
    last to end, first + (count + i) times STEP. `needed` of them have to succeed.

    The list rests in `inline` or in the `blob` with this digest, as JSON; `pointer` says where in it. `over` is the
    word of the step. `before` is the head of the run before whose results are taken over, but for the items `anew`.
    """

    first: int
    count: int
    needed: int
    over: str = "values"
    inline: bytes = b""
    blob: str = ""
    pointer: str = ""
    verify: Verify | str = "none"
    speculate: bool = True
    before: int = 0
    anew: tuple[int, ...] = ()

    def key(self, number: int) -> int:
        """The key of item `number`, or of the copy of item `number` - count."""
        return self.first + number * STEP

    def item_of(self, key: int) -> int:
        """The number of the item that a key is of, or is a copy of."""
        return (key - self.first) // STEP % self.count


class NoList(Exception):
    """There is no list where one was promised; the message says what is there."""


def list_in(content: bytes, pointer: str, over: str) -> list[msgspec.Raw]:
    """The items that JSON text holds where an RFC 6901 pointer leads; NoList where they are not usable.

    Over `values` and `files` these are the elements of a list. Over `shuffle` it is the result of a parallel step whose
    items leave files: each item is an object of the files of one name, by the number of the item that left them.
    """
    values = _list_at(content, pointer)
    if over == "shuffle":
        values = _shuffled(values)
    if len(values) > ITEMS_MAX:
        raise NoList(f"The list has {len(values):,} items; at most {ITEMS_MAX:,} are allowed.")
    if over == "files":
        for number, value in enumerate(values):
            files_of(value, number)
    return values


def _list_at(content: bytes, pointer: str) -> list[msgspec.Raw]:
    found = msgspec.Raw(content)
    if pointer and not pointer.startswith("/"):
        raise NoList(f"The pointer {pointer!r} does not begin with a slash.")
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        try:
            if bytes(found).lstrip()[:1] == b"[":
                found = msgspec.json.decode(found, type=list[msgspec.Raw])[_place(name)]
            else:
                found = msgspec.json.decode(found, type=dict[str, msgspec.Raw])[name]
        except (msgspec.MsgspecError, LookupError, ValueError):
            raise NoList(f"The pointer {pointer!r} finds nothing at {name!r}.") from None
    try:
        return msgspec.json.decode(found, type=list[msgspec.Raw])
    except msgspec.MsgspecError:
        raise NoList("What is there is not a list.") from None


def _place(token: str) -> int:
    """A place in a list as a JSON pointer writes it; ValueError for `-1`, `01` and the like."""
    if not _PLACE.fullmatch(token):
        raise ValueError(token)
    return int(token)


class _Left(msgspec.Struct):
    files: dict[str, str] = {}


def _shuffled(values: list[msgspec.Raw]) -> list[msgspec.Raw]:
    by_name: dict[str, dict[str, str]] = {}
    for number, value in enumerate(values):
        try:
            left = msgspec.json.decode(value, type=_Left | None)
        except msgspec.MsgspecError:
            raise NoList(f"Item {number} is not the result of an item that leaves files.") from None
        for name, reference in (left or _Left()).files.items():
            by_name.setdefault(name, {})[f"{number:06}"] = reference
    return [msgspec.Raw(msgspec.json.encode(by_name[name])) for name in sorted(by_name)]


def files_of(value: msgspec.Raw, number: int) -> dict[str, str]:
    """The files that an item over `files` names: a reference (the file is called `item` then), or references by name;
    NoList where they are no such thing."""
    try:
        given = msgspec.json.decode(value, type=str | dict[str, str])
    except msgspec.MsgspecError:
        raise NoList(f"Item {number} names no files: it is neither sha256:… nor an object of them by name.") from None
    files = {"item": given} if isinstance(given, str) else given
    for reference in files.values():
        if piece_of(reference) is None:
            raise NoList(f"Item {number} names {reference[:100]!r}, which is no sha256:… of an uploaded blob.")
    return files


class Walk:
    """How far the items of one head are, as far as this server knows: a memory, never the truth.

    The first `made` exist. What ended is noted once; an item that has a copy has failed only once both have.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.made = 0
        self.ended = 0
        self.succeeded = 0
        self.stopping = False
        self.values: list[msgspec.Raw] = []
        self.copies: set[int] = set()
        self._over = bytearray(count)
        self._failed: set[int] = set()
        self._cursor = 0
        self._durations: list[int] = []

    @property
    def failed(self) -> int:
        """How many items ended without success."""
        return self.ended - self.succeeded

    def is_over(self, item: int) -> bool:
        """Whether an item has ended, as far as is known."""
        return bool(self._over[item])

    def note(self, number: int, *, succeeded: bool) -> int | None:
        """An item, or a copy of one, has ended; the number of its other half where that is to be stopped now."""
        item = number % self.count
        if self._over[item]:
            return None
        other = item if number >= self.count else item + self.count
        if not succeeded:
            self._failed.add(number)
            if item in self.copies and other not in self._failed:
                return None
        self._over[item] = 1
        self.ended += 1
        self.succeeded += succeeded
        return other if succeeded and item in self.copies and other not in self._failed else None

    def took(self, duration_ms: int) -> None:
        """How long an item that succeeded ran."""
        if len(self._durations) < _DURATIONS_MAX:
            self._durations.append(duration_ms)

    def unended(self) -> Iterator[int]:
        """Items that exist and have not ended, lowest first."""
        while self._cursor < self.made and self._over[self._cursor]:
            self._cursor += 1
        at = self._cursor
        while (at := self._over.find(0, at, self.made)) >= 0:
            yield at
            at += 1

    @property
    def in_tail(self) -> bool:
        """Whether what is left are the last items, and how long they take can be judged."""
        return self.ended < self.count == self.made and self.ended >= TAIL_SHARE * self.count and self.count > 1

    @property
    def slow_from_ms(self) -> float | None:
        """An item that runs longer than this is slow; None where nothing is known to compare it with."""
        return max(SLOW_MS_MIN, SLOW_FACTOR * median(self._durations)) if self._durations else None


def merged(lists: list[bytes]) -> list[Any]:
    """Lists of [key, value] as one, sorted by key."""
    pairs = [pair for content in lists for pair in msgspec.json.decode(content, type=list[tuple[str, msgspec.Raw]])]
    pairs.sort(key=lambda pair: pair[0])
    return pairs
