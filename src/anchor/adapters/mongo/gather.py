"""What several callers ask for at once, carried out in one round trip, as a group commit does."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

Q = TypeVar("Q")
R = TypeVar("R")

ITEMS_MAX: Final = 1000
"""Items that callers share one round trip for; a caller with more goes alone."""


class Gather(Generic[Q, R]):
    """One round trip at a time; who comes while it is under way shares the next one."""

    def __init__(self, carry_out: Callable[[list[Q]], Awaitable[list[R]]]) -> None:
        self._carry_out = carry_out
        self._waiting: deque[tuple[Sequence[Q], asyncio.Future[list[R]]]] = deque()
        self._round: asyncio.Task[None] | None = None

    async def submit(self, items: Sequence[Q]) -> list[R]:
        """The answers to `items`, in order. A caller that gives up waiting does not take its request back."""
        future: asyncio.Future[list[R]] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, future))
        if self._round is None:
            # It begins in the next turn of the loop, so everybody who is ready in this one gets on board.
            self._round = asyncio.create_task(self._rounds())
        return await future

    async def idle(self) -> None:
        """Return once nothing is asked for any more."""
        while self._round is not None:
            await asyncio.wait([self._round])

    async def _rounds(self) -> None:
        try:
            while self._waiting:
                await self._one()
        finally:
            self._round = None

    async def _one(self) -> None:
        aboard = [self._waiting.popleft()]
        count = len(aboard[0][0])
        while self._waiting and count + len(self._waiting[0][0]) <= ITEMS_MAX:
            aboard.append(self._waiting.popleft())
            count += len(aboard[-1][0])
        try:
            answers = await self._carry_out([item for items, _ in aboard for item in items])
        except Exception as error:  # whatever it is, those who wait must hear of it
            for _, future in aboard:
                if not future.done():
                    future.set_exception(error)
            return
        first = 0
        for items, future in aboard:
            if not future.done():
                future.set_result(answers[first : first + len(items)])
            first += len(items)
