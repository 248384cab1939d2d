"""Everything Redis is used for, opened and closed as one."""

from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError

from anchor.adapters.redis.buckets import RedisBuckets
from anchor.adapters.redis.bus import RedisBus
from anchor.adapters.redis.circuit import FAILURES, Circuit, words_of
from anchor.adapters.redis.ready import RedisReady
from anchor.core.attempt import Reason
from anchor.core.errors import AnchorError, Conflict, InvalidRequest, Unavailable
from anchor.ports.buckets import Buckets
from anchor.ports.bus import Bus
from anchor.ports.ready import Ready

PATIENCE_SECONDS = 0.25
"""How long Redis may take for one round trip before everybody carries on without it."""


class RedisHints:
    """The ready queue, the bus and the buckets of servers that share a Redis.

    Nothing in them raises or blocks work because Redis is gone: each falls back to the in-process counterpart it was
    given, and returns to Redis by itself. `problem` says what is wrong now.
    """

    def __init__(self, circuit: Circuit, ready: RedisReady, bus: RedisBus, buckets: RedisBuckets) -> None:
        self.ready = ready
        self.bus = bus
        self.buckets = buckets
        self._circuit = circuit

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        ready: Ready,
        bus: Bus,
        buckets: Buckets,
        namespace: str = "anchor",
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Self:
        """Connect to `redis[s]://[user:password@]host[:port][/db]`, with these in-process counterparts.

        Unavailable where nobody answers or the password is refused, Conflict where that Redis evicts keys.
        """
        connect, db = _connector(url)
        address = urlsplit(url).netloc.rpartition("@")[2]
        circuit = Circuit(connect(), address=address, alive=f"{namespace}:alive", patience_seconds=patience_seconds)
        try:
            _, memory = await circuit.connect()
            _refuse_eviction(memory, address)
        except BaseException as error:
            await circuit.close()
            if isinstance(error, FAILURES):
                raise _not_opened(error, address) from None
            raise
        # Redis has channels apart from its numbered databases.
        shared_bus = RedisBus(circuit, bus, connect=connect, channel=f"{namespace}:{db}:bus")
        await shared_bus.open(1.0)
        return cls(
            circuit,
            RedisReady(circuit, ready, prefix=f"{namespace}:ready"),
            shared_bus,
            RedisBuckets(circuit, buckets, prefix=f"{namespace}:bucket"),
        )

    @property
    def problem(self) -> Reason | None:
        """What is wrong with Redis now, None where all is well."""
        return self._circuit.problem or self.bus.problem

    async def close(self) -> None:
        """Let go of Redis; what is in it stays."""
        await self.bus.close()
        await self.ready.close()
        await self._circuit.close()


def _connector(url: str) -> tuple[Callable[[], AbstractConnection], int]:
    try:
        # Only one retry policy is at work here, and it is the circuit's.
        pool = ConnectionPool.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=None)
    except ValueError as error:
        raise InvalidRequest(
            f"This is no address of a Redis: {error}.",
            hint="Write `redis://[:password@]host:port/0`.",
            code="queue_url",
        ) from None
    return pool.make_connection, int(pool.connection_kwargs.get("db", 0))


def _refuse_eviction(memory: bytes | str, address: str) -> None:
    text = memory.decode() if isinstance(memory, bytes) else memory
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise Conflict(
            f"Redis at {address} throws keys away when its memory is full (maxmemory-policy {policy}).",
            hint="Say `CONFIG SET maxmemory-policy noeviction`, put it into its configuration, and start again.",
            code="redis_evicts",
        )


def _not_opened(error: BaseException, address: str) -> AnchorError:
    if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError) or "NOAUTH" in str(error):
        return Unavailable(
            f"Redis at {address} refuses the login: {words_of(error)}.",
            hint="Check REDIS_PASSWORD, or the user and password in ANCHOR_QUEUE.",
            code="queue_refused",
        )
    return Unavailable(
        f"Redis at {address} cannot be used: {words_of(error)}.",
        hint="Start Redis, or check ANCHOR_QUEUE (or REDIS_HOST and REDIS_PORT) and the network between the two.",
        code="queue_unreachable",
    )
