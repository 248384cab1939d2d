"""A V8 isolate furnished for one script: what the script sees is in it, and the worker has a hold of the doors."""

import functools
import json
import math
import os
import re
import struct
from array import array
from pathlib import Path
from typing import Any, Final

from anchor.agent.runtimes.isolate import v8
from anchor.agent.runtimes.isolate.places import Places
from anchor.agent.workers.printer import Printer, Stream
from anchor.core.progress import progress_text

_HERE: Final = Path(__file__).parent
_PARTS: Final = ("abort", "clone", "console", "crypto", "encoding", "errors", "files", "linking", "url")


_NOT_READ: Final = re.compile(r"^ *(//.*\n)?", re.MULTILINE)


def _source(part: str) -> str:
    """A part without what V8 would only skip, which it does for every script anew."""
    return _NOT_READ.sub("", (_HERE / f"{part}.js").read_text("utf-8"))


def _named(part: str) -> str:
    return f'"use strict";({_source(part)})\n//# sourceURL=anchor:{part}'


_PRELUDE: Final = f"({_source('prelude')})\n//# sourceURL=anchor:prelude"
_LIBRARY: Final = json.dumps({part: _named(part) for part in _PARTS})
# The layout of the buffer that prelude.js makes.
_HEADER_BYTES: Final = 32
_SHARE_AT: Final = 24
_RING_BYTES: Final = 2 * 256 * 1024
_HEAD, _TAIL, _TRUNCATED, _TURN, _LENGTH = 0, 1, 2, 4, 5
_STREAMS: Final[dict[int, Stream]] = {1: "stdout", 2: "stderr"}
_WITH_STACK: Final = 2
_SEED_WORDS: Final = 8


class Room:
    """An isolate ready for one script. `start`, `launch`, `pump`, and the properties, are functions of prelude.js for
    `isolate.call`."""

    def __init__(self) -> None:
        self.isolate = v8.Isolate()
        self._doors = self.isolate.call(self.isolate.evaluate(_PRELUDE), self.isolate.text(_LIBRARY))
        # Held as long as its memory is in use.
        self._buffer = self.isolate.item(self._doors, 0)
        self.start, self.launch, self.pump = (self.isolate.item(self._doors, number) for number in (1, 2, 3))
        memory = v8.memory_of(self._buffer)
        self._header = memory[:_SHARE_AT].cast("i")
        self._share = memory[_SHARE_AT:_HEADER_BYTES]
        self._ring = memory[_HEADER_BYTES : _HEADER_BYTES + _RING_BYTES]
        self._saying = memory[_HEADER_BYTES + _RING_BYTES :]
        self._told = 0
        self.places = Places([])
        """The script's own sources, for the stacks that it prints."""

    # Most scripts need none of these, and each takes a turn of the isolate's thread.

    @functools.cached_property
    def link(self) -> Any:
        """Runs modules by their plan."""
        return self.isolate.item(self._doors, 4)

    @functools.cached_property
    def wanted(self) -> Any:
        """The bytes that go with the script's request."""
        return self.isolate.item(self._doors, 5)

    @functools.cached_property
    def space(self) -> Any:
        """Fresh bytes of a size, for an answer."""
        return self.isolate.item(self._doors, 6)

    @functools.cached_property
    def answer(self) -> Any:
        """Settles the script's request."""
        return self.isolate.item(self._doors, 7)

    def begin(self, given: str) -> None:
        """Put a script's input and its chance into the room."""
        seed = struct.unpack(f"{_SEED_WORDS}I", os.urandom(4 * _SEED_WORDS))
        self.isolate.call(self.start, self.isolate.text(given), self.isolate.text(json.dumps(seed)))

    def drain(self, printer: Printer) -> None:
        """Take what the script has printed since the last time out of its ring, and how far it says it is."""
        self._tell(printer)
        head, tail = self._header[_HEAD], self._header[_TAIL]
        if self._header[_TRUNCATED]:
            printer.truncated = True
        if head == tail:
            return
        if head > tail:
            data = bytes(self._ring[2 * tail : 2 * head])
        else:
            data = bytes(self._ring[2 * tail :]) + bytes(self._ring[: 2 * head])
        self._header[_TAIL] = head
        units = array("H", data)
        at = 0
        while at + 2 <= len(units):
            stream, length = units[at], units[at + 1]
            text = data[2 * (at + 2) : 2 * (at + 2 + length)].decode("utf-16-le", "replace")
            if stream > _WITH_STACK:
                stream, text = stream - _WITH_STACK, self.places.retold(text)
            printer.write(_STREAMS.get(stream, "stderr"), text)
            at += 2 + length

    def _tell(self, printer: Printer) -> None:
        turn = self._header[_TURN]
        if turn == self._told or turn % 2:
            return
        [share] = struct.unpack("d", bytes(self._share))
        length = max(0, min(self._header[_LENGTH], len(self._saying) // 2))
        words = bytes(self._saying[: 2 * length]).decode("utf-16-le", "replace")
        if self._header[_TURN] != turn:
            # It was written over meanwhile: the next beat finds the newer one.
            return
        self._told = turn
        printer.write("progress", progress_text(share if math.isfinite(share) else 0.0, words))
