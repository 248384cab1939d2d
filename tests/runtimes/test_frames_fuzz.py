"""Frames from the other side, however wrong: always a message, an end, or FrameError, and never much memory."""

import asyncio
import os
import tracemalloc
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.agent.workers.frames import (
    WORD_BYTES_MAX,
    WORK_BYTES_MAX,
    Compiled,
    Ended,
    FrameError,
    Printed,
    Program,
    Ready,
    Script,
    Source,
    frame,
    read_word,
    read_work,
)
from anchor.core.errors import FailureCode

WORDS = [
    Ready([b"d" * 32], 0.5, 20.0, ["files: none"]),
    Printed("stdout", "é"),
    Compiled(b"code"),
    Ended(FailureCode.CRASHED, "message", "hint", b"[1]", True, 0.1, 2.0, 3),
]
WORKS = [
    Script("return 1", "{}", 64, 1.0, 10, {"a.js": "export {}"}, True),
    Program(b"d" * 32, b"\0asm", "add", [1, 2.5, "x"], {"A": "b"}, b"in", 64, 1.0, 10),
    Source("1", "{}", ["a"], {"A": "b"}, b"", 64, 1.0, 10),
]

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.sampled_from(["ready", "printed", "compiled", "ended", "script", "program", "source", "trial"]),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
bodies = st.one_of(
    st.binary(max_size=300),
    anything.map(msgspec.msgpack.encode),
    st.sampled_from([frame(one)[4:] for one in (*WORDS, *WORKS)]),
    st.integers(1, 5000).map(lambda depth: b"\x91" * depth + b"\xc0"),
    st.integers(1, 2000).map(lambda depth: b"\x81\xa1a" * depth + b"\xc0"),
)


def sized(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


async def word_of(data: bytes) -> Any:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return await read_word(stream)


def work_of(data: bytes) -> Any:
    ours, theirs = os.pipe()
    try:
        os.write(theirs, data)
        os.close(theirs)
        return read_work(ours)
    finally:
        os.close(ours)


@given(bodies, st.integers(0, 400), st.integers(0, 255), st.booleans())
@settings(max_examples=200, deadline=None)
def test_wrong_bytes_are_never_anything_but_a_message_an_end_or_a_frame_error(
    body: bytes, at: int, value: int, cut: bool
) -> None:
    data = bytearray(sized(body))
    if at < len(data):
        data[at] = value
    given_data = bytes(data[:at] if cut else data)
    with suppress(FrameError):
        word = asyncio.run(word_of(given_data))
        assert word is None or isinstance(word, Ready | Printed | Compiled | Ended)
    with suppress(FrameError):
        work_of(given_data)


def test_every_flipped_byte_of_every_message_is_survived() -> None:
    async def all_words() -> None:
        for word in WORDS:
            data = frame(word)
            for at in range(4, len(data)):
                for flip in (1, 0x80, 0xFF):
                    with suppress(FrameError):
                        await word_of(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])

    asyncio.run(all_words())
    for work in WORKS:
        data = frame(work)
        assert work_of(data) == work
        for at in range(4, len(data)):
            with suppress(FrameError):
                work_of(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])


def test_sizes_that_are_only_claimed_cost_no_memory() -> None:
    claims = [
        (WORD_BYTES_MAX).to_bytes(4, "big") + b"\x95",
        (WORD_BYTES_MAX + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
        sized(b"\x92\xa5ready\xdd\xff\xff\xff\xff"),
        sized(b"\x92\xa8compiled\xc6\xff\xff\xff\xff"),
        sized(b"\x92\xa7printed\xdb\xff\xff\xff\xff"),
        sized(b"\xdf\xff\xff\xff\xff"),
    ]
    tracemalloc.start()
    try:
        for claim in claims:
            with suppress(FrameError):
                asyncio.run(word_of(claim))
            with suppress(FrameError):
                work_of(claim)
        with suppress(FrameError):
            work_of((WORK_BYTES_MAX).to_bytes(4, "big") + b"\x95")
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
