"""What the agent and a worker process say to each other: MessagePack behind a four-byte length, every length capped."""

import asyncio
import os
from typing import Any, Literal

import msgspec

from anchor.agent.job import RESULT_BYTES_MAX
from anchor.core.errors import FailureCode

MIB = 1024 * 1024
MODULE_BYTES_MAX = 64 * MIB
"""The largest wasm module a node compiles."""
WORK_BYTES_MAX = 2 * MODULE_BYTES_MAX
"""The largest frame a worker reads: a module, or source and input."""
WORD_BYTES_MAX = RESULT_BYTES_MAX + MIB
"""The largest frame an agent reads: a result and what goes with it."""
SMALL_BYTES_MAX = 512 * 1024
"""The largest frame of a worker that holds anything but a result or compiled code: decoded, it takes many times that
memory."""
PIECE_BYTES = 256 * 1024
_HEAD_BYTES = 4


class FrameError(Exception):
    """The other side broke the protocol: too long a frame, one that cannot be read, or one that ends half way."""


class Script(msgspec.Struct, frozen=True, array_like=True, tag="script"):
    """JavaScript for an isolate. `given` is JSON: what the script sees as `input` and `anchor`; `modules` are further
    ES modules by their path. With `has_directory` the job's files are in the worker's directory, where they may grow to
    `disk_mib` (0: as large as they like)."""

    source: str
    given: str
    memory_mib: int
    timeout_seconds: float
    output_bytes: int
    modules: dict[str, str] = {}
    has_directory: bool = False
    disk_mib: int = 0


class Program(msgspec.Struct, frozen=True, array_like=True, tag="program"):
    """A wasm module to run as a command, or one of its functions to call.

    `digest` names the module as it is compiled for this; `module` is empty where the worker said that it holds that one
    already. `compiled` is what an earlier worker made of it, if that was kept; `keep` asks for it. `deterministic`
    gives it a virtual clock and chance from `seed`; `fuel` 0 is as much as the time allows.
    """

    digest: bytes
    module: bytes
    function: str | None
    args: list[Any]
    env: dict[str, str]
    stdin: bytes
    memory_mib: int
    timeout_seconds: float
    output_bytes: int
    has_directory: bool = False
    deterministic: bool = False
    fuel: int = 0
    seed: bytes = b""
    compiled: bytes = b""
    keep: bool = False
    disk_mib: int = 0


class Source(msgspec.Struct, frozen=True, array_like=True, tag="source"):
    """Python for the sandboxed interpreter. `given` is JSON: what the code sees as `input` and `anchor`."""

    source: str
    given: str
    args: list[str]
    env: dict[str, str]
    stdin: bytes
    memory_mib: int
    timeout_seconds: float
    output_bytes: int
    has_directory: bool = False
    disk_mib: int = 0


class Trial(msgspec.Struct, frozen=True, array_like=True, tag="trial"):
    """The self-test: try all that a worker must not be able to do. Its result is the list of what could be done.

    `agent` is the agent's process id, `port` one that listens on loopback, `files` are what must not be readable and
    `folder` a place that must not be writable.
    """

    agent: int
    port: int
    files: list[str]
    folder: str
    memory_mib: int = 64
    timeout_seconds: float = 10.0
    output_bytes: int = 0
    has_directory: bool = False
    disk_mib: int = 0


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """The worker can take work. `modules` are the digests of the compiled modules it holds; then what it has used up so
    far and what it needs without any work; `lacks` are the steps of its confinement that could not be taken."""

    modules: list[bytes]
    cpu_seconds: float
    resident_mib: float
    lacks: list[str] = []


class Printed(msgspec.Struct, frozen=True, array_like=True, tag="printed"):
    """The running work printed something."""

    stream: Literal["stdout", "stderr", "progress"]
    text: str


class Compiled(msgspec.Struct, frozen=True, array_like=True, tag="compiled"):
    """What became of the module of the running work, asked for with `keep`."""

    code: bytes


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """The work is over: `value` is its result as JSON unless `code` says why there is none. A large one that has
    arrived is a view of its frame."""

    code: FailureCode | None = None
    message: str = ""
    hint: str = ""
    value: bytes | memoryview = b"null"
    truncated: bool = False
    cpu_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    fuel: int = 0


class _Arrived(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """An Ended as it is read, nothing of its value copied."""

    code: FailureCode | None
    message: str
    hint: str
    value: memoryview
    truncated: bool
    cpu_seconds: float
    peak_memory_mib: float
    fuel: int


Work = Script | Program | Source | Trial
Word = Ready | Printed | Compiled | Ended

_encode = msgspec.msgpack.Encoder().encode
_works: msgspec.msgpack.Decoder[Work] = msgspec.msgpack.Decoder(Work)
_words: msgspec.msgpack.Decoder[Ready | Printed | Compiled | _Arrived] = msgspec.msgpack.Decoder(
    Ready | Printed | Compiled | _Arrived
)


def _begin(word: Ended | Compiled) -> bytes:
    return _encode(word).partition(_FILL)[0][:-_SIZE_BYTES]


_SIZE_BYTES = 4
_FILL = b"\xff" * SMALL_BYTES_MAX
_LARGE_BEGIN = (_begin(Ended(value=_FILL)), _begin(Compiled(_FILL)))
"""How larger frames begin, up to the size of what they hold: a success without message and hint; compiled code."""


def frame(message: Work | Word) -> bytes:
    """A message as it travels."""
    body = _encode(message)
    return len(body).to_bytes(_HEAD_BYTES, "big") + body


def read_work(fd: int) -> Work | None:
    """The next work from a pipe, waiting for it; None where the agent has closed its end. Raises FrameError."""
    head = _read_exactly(fd, _HEAD_BYTES)
    if head is None:
        return None
    size = int.from_bytes(head, "big")
    if size > WORK_BYTES_MAX:
        raise FrameError(f"a frame of {size} bytes is above the limit of {WORK_BYTES_MAX}")
    body = _read_exactly(fd, size)
    if body is None:
        return None
    try:
        return _works.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise FrameError(str(error)) from error


def _read_exactly(fd: int, size: int) -> bytes | None:
    pieces = bytearray()
    while len(pieces) < size:
        piece = os.read(fd, min(size - len(pieces), MIB))
        if not piece:
            return None
        pieces += piece
    return bytes(pieces)


def write_all(fd: int, data: bytes) -> None:
    """Write everything to a pipe, waiting while it is full."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


async def read_word(stream: asyncio.StreamReader) -> Word | None:
    """The next word of a worker; None where it has closed its end. Raises FrameError."""
    try:
        size = int.from_bytes(await stream.readexactly(_HEAD_BYTES), "big")
        if size > WORD_BYTES_MAX:
            raise FrameError(f"a frame of {size} bytes is above the limit of {WORD_BYTES_MAX}")
        word = _words.decode(await _body(stream, size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(str(error)) from error
    if not isinstance(word, _Arrived):
        return word
    value = word.value if size > SMALL_BYTES_MAX else bytes(word.value)
    figures = (word.truncated, word.cpu_seconds, word.peak_memory_mib, word.fuel)
    return Ended(word.code, word.message, word.hint, value, *figures)


async def _body(stream: asyncio.StreamReader, size: int) -> bytes | bytearray:
    if size <= SMALL_BYTES_MAX:
        return await stream.readexactly(size)
    begin = await stream.readexactly(max(map(len, _LARGE_BEGIN)))
    if not begin.startswith(_LARGE_BEGIN):
        raise FrameError(f"a frame of {size} bytes is neither a result nor compiled code")
    # In pieces: a stream that gathers all of it first holds it twice.
    body = bytearray(size)
    body[: len(begin)] = begin
    at = len(begin)
    while at < size:
        piece = await stream.read(min(size - at, PIECE_BYTES))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        body[at : at + len(piece)] = piece
        at += len(piece)
    return body
