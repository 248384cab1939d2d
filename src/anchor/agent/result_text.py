"""Whether what a task returned is JSON, found out without taking more of the agent's memory than it has itself."""

import codecs
from typing import Final

import msgspec

from anchor.core.spec import INLINE_BYTES_MAX

_PIECE_BYTES: Final = 256 * 1024


def require_json(text: bytes | memoryview) -> None:
    """Raise msgspec.MsgspecError, UnicodeDecodeError or RecursionError where it is not JSON in UTF-8, or nested too
    deeply to be read. Numbers too large for anybody are found in small texts only."""
    if len(text) <= INLINE_BYTES_MAX:
        msgspec.json.decode(text)
        return
    # Not made into objects: 16 MiB of empty lists would take half a GiB.
    msgspec.json.decode(text, type=msgspec.Raw)
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, len(text), _PIECE_BYTES):
        decoder.decode(text[at : at + _PIECE_BYTES])
    decoder.decode(b"", final=True)
