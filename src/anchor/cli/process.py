"""Programs that run until they are asked to stop."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from anchor.wiring.program import run

Work = Callable[[asyncio.Event], Awaitable[None]]


def run_until_stopped(work: Work) -> None:
    """Run `work` to its end. Ctrl-C or SIGTERM sets the event it was given; the second one cancels it."""
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        run(_attended(work))


async def until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run something that knows no end of its own until `stop` is set; its errors are raised here."""
    running = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _attended(work: Work) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    task = asyncio.ensure_future(work(stop))

    def asked() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows has no such handlers: there Ctrl-C arrives as KeyboardInterrupt.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, asked)
    await task
