"""The agent shows how fast its machine works, while nothing else runs, for a quarter of a second at most."""

import asyncio
import time
from collections.abc import Callable

from anchor.core.speed import SECONDS_MAX, chain
from anchor.wire.link import Measure, Measured

SEGMENTS_MAX = 64
ROUNDS_MAX = 20_000
"""Of one segment: some tens of milliseconds, after which it is looked at whether there is work."""


async def measured(asked: Measure, is_busy: Callable[[], bool]) -> Measured | None:
    """The answer to a Measure; None where it asks for too much, or work is there or comes meanwhile."""
    if asked.rounds not in range(1, ROUNDS_MAX + 1) or asked.segments not in range(1, SEGMENTS_MAX + 1):
        return None
    ends = chain(asked.nonce, asked.rounds)
    marks: list[bytes] = []
    began = time.monotonic()
    while len(marks) < asked.segments and (not marks or time.monotonic() - began < SECONDS_MAX):
        if is_busy():
            return None
        marks.append(await asyncio.to_thread(next, ends))
    return None if is_busy() else Measured(asked.nonce, marks, time.monotonic() - began)
