"""The tunnel between a server and a node: many byte streams over one socket, each with credit of its own; no I/O here.

The server opens streams, naming an app and a generation of it: there is no address in this protocol. A message is any
number of frames, each a header of nine bytes (kind, stream, value) and, for OPEN, REFUSED, DATA and RESET, as many
bytes as the value says. DATA may follow OPEN at once; it is given up where the answer is REFUSED. Each end may send
WINDOW_BYTES on a stream, and then as much as the other end gives it CREDIT for.
"""

import struct
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from anchor.wire.link import TaskKey

WINDOW_BYTES = 64 * 1024
"""What may be sent on a stream before there is any credit."""
WINDOW_BYTES_MAX = 512 * 1024
"""How far the window of a stream grows whose reader keeps up: what is on its way there is in the way of others."""
GROWN_BYTES_MAX = 64 * 1024 * 1024
"""What the windows of all streams of a tunnel may have grown by together."""
MESSAGE_BYTES_MAX = 64 * 1024
"""The content of a message; its headers come on top."""
MESSAGE_BYTES_READ_MAX = 256 * 1024
TURN_BYTES = 16 * 1024
"""What a stream may send at its turn while others wait for theirs."""
STREAMS_MAX = 4096
FULL_BYTES = 128 * 1024
"""With so much waiting on a stream its writer should pause."""
DRAINED_BYTES = 32 * 1024
CODE_LENGTH_MAX = 40
OPEN_LENGTH_MAX = 200
STREAM_NUMBER_MAX = (1 << 32) - 1
_HEADER = struct.Struct("!BII")
_pack, _unpack = _HEADER.pack, _HEADER.unpack_from


class Kind(IntEnum):
    """What a frame is."""

    OPEN = 1
    ACCEPTED = 2
    REFUSED = 3
    DATA = 4
    CREDIT = 5
    END = 6
    RESET = 7


_OPEN, _ACCEPTED, _REFUSED, _DATA, _CREDIT, _END, _RESET = (int(kind) for kind in Kind)
_WITH_CONTENT = (_DATA, _OPEN, _REFUSED, _RESET)


class Target(msgspec.Struct, frozen=True, array_like=True):
    """What a stream leads to; `node` only between servers, where one passes streams on to a node of the other."""

    app: TaskKey
    generation: Annotated[int, Meta(ge=1, lt=1 << 53)]
    node: Annotated[str, Meta(max_length=64)] = ""


_encode_target = msgspec.msgpack.Encoder().encode
_decode_target = msgspec.msgpack.Decoder(Target).decode


class TunnelBroken(Exception):
    """The other end broke the rules; nothing it says can be relied on any more."""


class Sink(Protocol):
    """Who is told what happens to a stream. Nothing follows `refused`, `reset` and `lost`."""

    def accepted(self) -> None:
        """The other end has it."""

    def refused(self, code: str) -> None:
        """The other end does not have it; what was written has reached nobody."""

    def data(self, content: bytes) -> None:
        """Bytes; to be answered by `Stream.consumed` once they need no memory any more."""

    def ended(self) -> None:
        """No more bytes will come."""

    def reset(self, code: str) -> None:
        """The other end gave the stream up."""

    def drained(self) -> None:
        """There is room again for a writer that had filled the stream."""

    def lost(self) -> None:
        """The tunnel is gone."""


class Stream:
    """One end of a stream. `waiting` is how much is written and not sent."""

    __slots__ = (
        "_allowed", "_ending", "_got_end", "_is_full", "_receivable", "_sent_end", "_tunnel", "_unreturned",
        "_waits", "_window", "is_open", "number", "out", "sink", "waiting",
    )  # fmt: skip

    sink: Sink

    def __init__(self, tunnel: "TunnelEnd", number: int) -> None:
        self.number = number
        self.out: deque[bytes | memoryview] = deque()
        self.waiting = 0
        self.is_open = True
        self._tunnel = tunnel
        self._allowed = self._receivable = self._window = WINDOW_BYTES
        self._unreturned = 0
        self._waits = self._ending = self._sent_end = self._got_end = self._is_full = False

    def write(self, content: bytes | memoryview) -> bool:
        """Queue bytes; False once so much waits that the writer should pause until `drained`."""
        if not self.is_open or self._ending or not content:
            return True
        self.out.append(content)
        self.waiting += len(content)
        self._ready()
        self._is_full = self.waiting >= FULL_BYTES
        return not self._is_full

    def end(self) -> None:
        """Nothing more will be written."""
        if self.is_open and not self._ending:
            self._ending = True
            self._ready()

    def reset(self, code: str = "") -> None:
        """Give the stream up, in both directions."""
        if self.is_open:
            self._tunnel._say(_RESET, self.number, code.encode()[:CODE_LENGTH_MAX])
            self._tunnel._forget(self)

    def accept(self) -> None:
        """Say that the other end's OPEN is granted."""
        if self.is_open:
            self._tunnel._say_value(_ACCEPTED, self.number, 0)

    def refuse(self, code: str) -> None:
        """Say that the other end's OPEN is not granted."""
        if self.is_open:
            self._tunnel._say(_REFUSED, self.number, code.encode()[:CODE_LENGTH_MAX])
            self._tunnel._forget(self)

    def consumed(self, size: int) -> None:
        """Let the other end send as much again; a reader that keeps up is sent more at a time."""
        self._unreturned += size
        if self._unreturned * 2 < self._window or self._got_end or not self.is_open:
            return
        credit = self._unreturned
        if self._window < WINDOW_BYTES_MAX and self._tunnel.grown + self._window <= GROWN_BYTES_MAX:
            self._tunnel.grown += self._window
            credit += self._window
            self._window *= 2
        self._unreturned = 0
        self._receivable += credit
        self._tunnel._say_value(_CREDIT, self.number, credit)

    def _ready(self) -> None:
        if not self._waits and (self._allowed or not self.waiting):
            self._waits = True
            self._tunnel._queue(self)

    def _take(self, parts: list[bytes | memoryview], room: int) -> int:
        """Move up to `room` bytes into a message; how many there were."""
        size = min(self.waiting, self._allowed, room)
        if size:
            parts.append(_pack(_DATA, self.number, size))
            left = size
            while left:
                piece = self.out.popleft()
                if len(piece) > left:
                    view = memoryview(piece)
                    parts.append(view[:left])
                    self.out.appendleft(view[left:])
                    left = 0
                else:
                    parts.append(piece)
                    left -= len(piece)
            self.waiting -= size
            self._allowed -= size
        if self._ending and not self.waiting:
            parts.append(_pack(_END, self.number, 0))
            self._sent_end = True
            if self._got_end:
                self._tunnel._forget(self)
        return size


class TunnelEnd:
    """One end of a tunnel. `on_open` is asked for the sink of each stream that the other end opens (None: this end
    opens them); `on_ready` is told when there is a message to send after there was none. `grown` is by how much
    windows are larger than they began."""

    def __init__(self, on_ready: Callable[[], None], on_open: Callable[[Stream, Target], Sink] | None = None) -> None:
        self._on_ready = on_ready
        self._on_open = on_open
        self._streams: dict[int, Stream] = {}
        self._highest = 0
        self._said: list[bytes | memoryview] = []
        self._turns: deque[Stream] = deque()
        self._is_lost = False
        self.grown = 0
        self.frames = 0

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def is_full(self) -> bool:
        """Whether no stream can be opened: there are too many, or the socket is gone."""
        return self._is_lost or len(self._streams) >= STREAMS_MAX or self._highest >= STREAM_NUMBER_MAX

    def open(self, target: Target, sink: Sink) -> Stream:
        """A new stream; it can be written to at once. Not where `is_full`."""
        self._highest += 1
        stream = self._streams[self._highest] = Stream(self, self._highest)
        stream.sink = sink
        self._say(_OPEN, stream.number, _encode_target(target))
        return stream

    def receive(self, message: bytes, at: int = 0, frames_max: int = MESSAGE_BYTES_READ_MAX) -> int:
        """Take a message of the other end, or `frames_max` frames of it from byte `at` on; answers where to go on.
        TunnelBroken where it breaks the rules."""
        size, until = len(message), self.frames + frames_max
        while at < size and self.frames < until:
            if size - at < 9:
                raise TunnelBroken("a frame is cut short")
            kind, number, value = _unpack(message, at)
            at += 9
            self.frames += 1
            content = b""
            if kind in _WITH_CONTENT:
                content = message[at : at + value]
                at += value
                if at > size:
                    raise TunnelBroken("a frame is cut short")
            stream = self._streams.get(number)
            if stream is not None:
                self._take(stream, kind, value, content)
            elif kind == _OPEN:
                self._opened(number, content)
            elif not 0 < number <= self._highest:
                raise TunnelBroken(f"stream {number} was never opened")
        return at

    def _opened(self, number: int, content: bytes) -> None:
        if self._on_open is None or number <= self._highest or len(content) > OPEN_LENGTH_MAX:
            raise TunnelBroken("a stream was opened that cannot be")
        try:
            target = _decode_target(content)
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TunnelBroken(f"a stream was opened to nothing: {error}") from None
        self._highest = number
        if len(self._streams) >= STREAMS_MAX:
            self._say(_REFUSED, number, b"too_many_streams")
            return
        stream = self._streams[number] = Stream(self, number)
        stream.sink = self._on_open(stream, target)

    def _take(self, stream: Stream, kind: int, value: int, content: bytes) -> None:
        if kind == _DATA:
            stream._receivable -= value
            if not value or stream._receivable < 0 or stream._got_end:
                raise TunnelBroken("more was sent than there was credit for, or nothing, or after the end")
            stream.sink.data(content)
        elif kind == _CREDIT:
            stream._allowed += value
            if not value or stream._allowed > STREAM_NUMBER_MAX:
                raise TunnelBroken("a credit that nobody can have")
            if stream.waiting:
                stream._ready()
        elif kind == _END:
            if stream._got_end:
                raise TunnelBroken("a stream ended twice")
            stream._got_end = True
            if stream._sent_end:
                self._forget(stream)
            stream.sink.ended()
        elif kind == _RESET:
            self._forget(stream)
            stream.sink.reset(_code(content))
        elif kind == _ACCEPTED and self._on_open is None:
            stream.sink.accepted()
        elif kind == _REFUSED and self._on_open is None:
            self._forget(stream)
            stream.sink.refused(_code(content))
        else:
            raise TunnelBroken(f"a frame of kind {kind} where it has no meaning")

    def next_message(self) -> bytes:
        """What is to be sent next, each stream in its turn; empty where there is nothing."""
        parts, self._said = self._said, []
        room = MESSAGE_BYTES_MAX
        turns = self._turns
        drained: list[Stream] = []
        while turns and room > 0:
            stream = turns.popleft()
            stream._waits = False
            if not stream.is_open:
                continue
            room -= stream._take(parts, min(room, TURN_BYTES) if turns else room)
            if stream.waiting and stream._allowed:
                stream._ready()
            if stream._is_full and stream.waiting <= DRAINED_BYTES:
                stream._is_full = False
                drained.append(stream)
        message = b"".join(parts)
        for stream in drained:
            stream.sink.drained()
        return message

    def lose(self) -> None:
        """The socket is gone, and all streams with it."""
        self._is_lost = True
        streams = list(self._streams.values())
        for stream in streams:
            self._forget(stream)
        self._said.clear()
        for stream in streams:
            stream.sink.lost()

    def _queue(self, stream: Stream) -> None:
        is_first = not self._turns and not self._said
        self._turns.append(stream)
        if is_first:
            self._on_ready()

    def _say(self, kind: int, number: int, content: bytes) -> None:
        self._say_bytes(_pack(kind, number, len(content)) + content)

    def _say_value(self, kind: int, number: int, value: int) -> None:
        self._say_bytes(_pack(kind, number, value))

    def _say_bytes(self, frame: bytes) -> None:
        is_first = not self._turns and not self._said
        self._said.append(frame)
        if is_first:
            self._on_ready()

    def _forget(self, stream: Stream) -> None:
        stream.is_open = False
        stream.out.clear()
        stream.waiting = 0
        self.grown -= stream._window - WINDOW_BYTES
        self._streams.pop(stream.number, None)


def _code(content: bytes) -> str:
    return content[:CODE_LENGTH_MAX].decode("ascii", "replace")
