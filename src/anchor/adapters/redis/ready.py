"""The ready queue in Redis: a sorted set for each shape, and one more for the hints whose time has not come."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence

from anchor.adapters.redis.circuit import Away, Circuit, Command
from anchor.adapters.redis.scripts import BATCH_MAX, COUNT, FILE, LOOK, MEMBER_LENGTH, REST, TAKE, TAKEN_LENGTH, run
from anchor.ports.ready import Hint, Ready

HINTS_MAX = 200_000
"""Hints of one shape, and hints kept apart; what exceeds it is dropped and filed again by the reconciler."""
_FALLING = 0x7FFF_FFFF
"""A priority is taken from this, so that the higher one is sorted first."""


class RedisReady:
    """Shared by all servers with one `prefix`. While Redis is away each has `alone`, its own queue in memory; what is
    in there is handed over as soon as Redis is back."""

    def __init__(self, circuit: Circuit, alone: Ready, *, prefix: str) -> None:
        self._circuit = circuit
        self._alone = alone
        self._names = f"{prefix}:shapes"
        self._apart = f"{prefix}:apart"
        self._queue = f"{prefix}:queue:"
        self._handing_over: asyncio.Task[None] | None = None
        circuit.returned.append(self._redis_is_back)

    async def push(self, hints: Sequence[Hint]) -> None:
        """File hints; one that is there already stays where it is. Those with a `not_before` are kept apart until
        then."""
        if not hints:
            return
        try:
            await self._circuit.ask(*self._filing(hints))
        except Away:
            await self._alone.push(hints)

    async def pop(self, limit: int, shapes: Sequence[str]) -> list[Hint]:
        """Take up to `limit` hints of these shapes."""
        names = list(dict.fromkeys(shapes))
        if not names or limit <= 0:
            return []
        keys = [self._names, *[self._queue + name for name in names]]
        counts = [min(BATCH_MAX, limit - at) for at in range(0, limit, BATCH_MAX)]
        try:
            answers = await self._circuit.ask(*[run(TAKE, keys, count, *names) for count in counts])
        except Away:
            return await self._alone.pop(limit, shapes)
        taken = b"".join(answers).decode()
        return [_taken(taken[at : at + TAKEN_LENGTH], names) for at in range(0, len(taken), TAKEN_LENGTH)]

    async def shapes(self, now: int) -> list[str]:
        """File the hints whose time has come by `now` (Unix ms), then name the shapes that have any."""
        await self._hand_over(now)
        look = run(LOOK, [self._names, self._apart], now, BATCH_MAX, self._queue)
        try:
            [[filed, names]] = await self._circuit.ask(look)
            while filed == BATCH_MAX:
                [[filed, names]] = await self._circuit.ask(look)
        except Away:
            return await self._alone.shapes(now)
        return [name.decode() for name in names]

    async def size(self) -> int:
        """How many filed hints there are, without those kept apart."""
        try:
            [count] = await self._circuit.ask(run(COUNT, [self._names], self._queue))
        except Away:
            return await self._alone.size()
        return int(count)

    async def close(self) -> None:
        """Stop handing over."""
        if self._handing_over is not None:
            self._handing_over.cancel()
            await asyncio.gather(self._handing_over, return_exceptions=True)

    def _redis_is_back(self) -> None:
        self._handing_over = asyncio.create_task(self._hand_over(0))

    async def _hand_over(self, now: int) -> None:
        while self._circuit.problem is None and (names := await self._alone.shapes(now)):
            await self.push(await self._alone.pop(BATCH_MAX, names))

    def _filing(self, hints: Sequence[Hint]) -> Iterator[Command]:
        members: dict[str, list[str]] = defaultdict(list)
        apart: list[str | int] = []
        for hint in hints:
            member = f"{_FALLING - hint.priority:08x}{hint.id:016x}"
            if hint.not_before:
                apart += (hint.not_before, member + hint.shape)
            else:
                members[hint.shape].append(member)
        for shape, of_shape in members.items():
            keys = [self._names, self._queue + shape]
            for at in range(0, len(of_shape), BATCH_MAX):
                yield run(FILE, keys, shape, HINTS_MAX, "".join(of_shape[at : at + BATCH_MAX]))
        for at in range(0, len(apart), 2 * BATCH_MAX):
            yield run(REST, [self._apart], HINTS_MAX, *apart[at : at + 2 * BATCH_MAX])


def _taken(text: str, names: Sequence[str]) -> Hint:
    priority = _FALLING - int(text[:8], 16)
    return Hint(int(text[8:MEMBER_LENGTH], 16), priority, names[int(text[MEMBER_LENGTH:], 16)])
