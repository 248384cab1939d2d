"""Disk work in threads that are never left behind: whoever is cancelled waits until the disk is let go of."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `act` in a thread; a cancellation is let through once it has returned, so that its files can be closed."""
    working = asyncio.ensure_future(asyncio.to_thread(act, *args, **kwargs))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        if not working.done():
            await asyncio.wait({working})
        if not working.cancelled():
            working.exception()
        raise
