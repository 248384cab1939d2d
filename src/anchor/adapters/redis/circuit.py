"""One connection to Redis whose callers never wait long: it gives up quickly and comes back by itself."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from anchor.adapters.redis.scripts import SOURCES
from anchor.core.attempt import Reason

log = structlog.get_logger("anchor.redis")
Command = tuple[str | bytes | int | float, ...]
FAILURES = (RedisError, OSError, TimeoutError)
"""Everything a Redis that is gone, stopped, full or not writable is noticed by."""
COMMANDS_MAX = 64
"""Commands in one round trip, unless one caller asks for more at once."""
RETRY_SECONDS, RETRY_SECONDS_MAX = 0.05, 1.0


class Away(Exception):
    """Redis does not answer, or refuses: carry on without it."""


class Circuit:
    """Sends whatever its callers wait for in as few round trips as possible.

    A round trip that fails or takes longer than `patience_seconds` opens the circuit: everybody who waits gets
    Away, and so does everybody who asks, at once, until Redis has taken a write
    again. `returned` are called each time it did.
    """

    def __init__(self, connection: AbstractConnection, *, address: str, alive: str, patience_seconds: float) -> None:
        self._connection = connection
        self._address = address
        self._alive = alive
        self._patience = patience_seconds
        self._waiting: deque[tuple[Sequence[Command], asyncio.Future[list[Any]]]] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._coming_back: asyncio.Task[None] | None = None
        self.problem: Reason | None = None
        self._since: int | None = None
        self.returned: list[Callable[[], None]] = []

    async def ask(self, *commands: Command) -> list[Any]:
        """The answers to some commands; Away where there are none to be had now."""
        if self.problem is not None:
            raise Away(self.problem.message)
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, answer))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_waiting())
        return await answer

    async def connect(self) -> list[Any]:
        """Connect and look: the answer to INFO memory. Raises what redis-py raises."""
        async with asyncio.timeout(max(self._patience, RETRY_SECONDS_MAX)):
            return await self._exchange([("SET", self._alive, 1, "PX", 1000), ("INFO", "memory")])

    async def close(self) -> None:
        """Stop sending and coming back; whoever waits gets Away."""
        for task in (self._sending, self._coming_back):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self.problem = Reason("redis_closed", "This server has closed its connection to Redis.")
        self._refuse([answer for _, answer in self._waiting])
        await self._connection.disconnect(nowait=True)

    async def _send_waiting(self) -> None:
        while self._waiting:
            asked = [self._waiting.popleft()]
            count = len(asked[0][0])
            while self._waiting and count + len(self._waiting[0][0]) <= COMMANDS_MAX:
                asked.append(self._waiting.popleft())
                count += len(asked[-1][0])
            try:
                async with asyncio.timeout(self._patience):
                    answers = await self._exchange_anew([command for commands, _ in asked for command in commands])
            except FAILURES as error:
                self._note(error)
                await self._connection.disconnect(nowait=True)
                self._coming_back = asyncio.create_task(self._come_back())
                return
            finally:
                if self.problem is not None:
                    self._refuse([answer for _, answer in [*asked, *self._waiting]])
            at = 0
            for commands, answer in asked:
                if not answer.done():
                    answer.set_result(answers[at : at + len(commands)])
                at += len(commands)

    async def _exchange_anew(self, commands: Sequence[Command]) -> list[Any]:
        """Twice where the connection was cut: perhaps while nobody used it, by a Redis that is back already."""
        try:
            return await self._exchange(commands)
        except RedisConnectionError:
            await self._connection.disconnect(nowait=True)
            return await self._exchange(commands)

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        answers = await self._round_trip(commands)
        unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            told = await self._round_trip(
                [("EVAL", SOURCES[str(commands[at][1])], *commands[at][2:]) for at in unknown]
            )
            for at, answer in zip(unknown, told, strict=True):
                answers[at] = answer
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise answer
        return answers

    async def _round_trip(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._connection
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(await connection.read_response())
            except ResponseError as error:
                answers.append(error)
        return answers

    async def _come_back(self) -> None:
        wait = 0.0
        while True:
            await asyncio.sleep(wait * random.uniform(0.5, 1))
            try:
                await self.connect()
                break
            except FAILURES as error:
                self._note(error)
                await self._connection.disconnect(nowait=True)
            wait = min(max(2 * wait, RETRY_SECONDS), RETRY_SECONDS_MAX)
        log.info("Redis is back", address=self._address, away_ms=_now() - (self._since or _now()))
        self.problem = self._since = None
        for tell in self.returned:
            tell()

    def _note(self, error: BaseException) -> None:
        if self._since is None:
            self._since = _now()
            log.warning("Redis is away", address=self._address, error=words_of(error))
        self.problem = Reason(
            "redis_away",
            f"Redis at {self._address} cannot be used: {words_of(error)}.",
            "Nothing is lost: the servers share work through the store, a second later, until Redis is back.",
        )

    def _refuse(self, answers: Sequence[asyncio.Future[list[Any]]]) -> None:
        self._waiting.clear()
        for answer in answers:
            if not answer.done():
                answer.set_exception(Away("Redis went away"))


def words_of(error: BaseException) -> str:
    """An error's own words, to be put into a sentence."""
    return str(error).rstrip(".") or "it does not answer in time"


def _now() -> int:
    return time.time_ns() // 1_000_000
