"""Disk work in threads that are never left behind: whoever is cancelled waits until the disk is let go of."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_THREADS: Final = ThreadPoolExecutor(8, thread_name_prefix="files")
"""Threads of their own: copying large files must not keep anything else in the agent waiting."""


async def in_thread(act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `act` in a thread; a cancellation is let through once it has returned, so that its files can be closed."""
    working = asyncio.get_running_loop().run_in_executor(_THREADS, partial(act, *args, **kwargs))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        if not working.done():
            await asyncio.wait({working})
        if not working.cancelled():
            working.exception()
        raise
