"""One piece of work per Idempotency-Key: a claim is written first, and fixes the ids for every further try."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from anchor.core.errors import Conflict, Unprocessable
from anchor.core.ids import keys_from
from anchor.failpoints import reached
from anchor.orchestrator.world import World
from anchor.ports.store import Claim


class Claimed(msgspec.Struct, frozen=True):
    """The keys a request got: `fresh` where it came first, `done` where it was carried out before."""

    keys: range
    fresh: bool
    done: bool


@asynccontextmanager
async def once(world: World, *, owner: str, key: str, digest: str, count: int) -> AsyncIterator[Claimed]:
    """Claim `count` keys for this owner's Idempotency-Key; the claim is fulfilled when the block ends well.

    Conflict while the same request is being carried out here, Unprocessable where the key came with another one.
    """
    if (owner, key) in world.in_flight:
        raise Conflict(
            "A request with this Idempotency-Key is still being carried out.",
            hint="Wait a second and send the same request again.",
            code="request_in_flight",
            retry_after_seconds=1,
        )
    world.in_flight.add((owner, key))
    try:
        keys = world.keys.take(count, now_ms=world.clock.now())
        mine = Claim(owner, key, digest, keys[0], count, False, world.clock.now())
        claim = await world.store.claim(mine)
        reached("once.claimed")
        if claim.digest != digest:
            raise Unprocessable(
                "This Idempotency-Key was used before with a different request.",
                hint="Use a new key for a new request, or send the first request again unchanged.",
                code="idempotency_key_reused",
            )
        yield Claimed(keys_from(claim.first, claim.count), claim.first == mine.first, claim.done)
        if not claim.done:
            await world.store.fulfil(claim)
            reached("once.fulfilled")
    finally:
        world.in_flight.discard((owner, key))
