"""Step one: what a user sends becomes tasks in the truth, once per Idempotency-Key."""

from collections.abc import Sequence

import msgspec

from anchor.core.errors import Conflict, Unavailable, Unprocessable
from anchor.core.ids import keys_from
from anchor.core.spec import TaskSpec
from anchor.core.task import Task
from anchor.failpoints import reached
from anchor.orchestrator.enter import drafted, enter
from anchor.orchestrator.world import World
from anchor.ports.store import Claim


class Submitted(msgspec.Struct, frozen=True):
    """The tasks a request stands for; `replayed` where an earlier request with the same key made them."""

    tasks: list[Task]
    replayed: bool = False


async def submit(world: World, specs: Sequence[TaskSpec], *, owner: str, retry_of: int = 0) -> list[Task]:
    """Write new tasks down; when this returns they will not be lost."""
    keys = world.keys.take(len(specs), now_ms=world.clock.now())
    return await _hand_in(world, specs, keys, owner=owner, retry_of=retry_of, fresh=True)


async def submit_once(
    world: World, specs: Sequence[TaskSpec], *, owner: str, key: str, digest: str, retry_of: int = 0
) -> Submitted:
    """As `submit`, but one task per (owner, key): the same request again gets the same tasks.

    The claim is written first and fixes the ids, so a crash between claim and tasks is mended by the next try.
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
        keys = world.keys.take(len(specs), now_ms=world.clock.now())
        mine = Claim(owner, key, digest, keys[0], len(specs), False, world.clock.now())
        claim = await world.store.claim(mine)
        reached("submit.claimed")
        if claim.digest != digest:
            raise Unprocessable(
                "This Idempotency-Key was used before with a different request.",
                hint="Use a new key for a new request, or send the first request again unchanged.",
                code="idempotency_key_reused",
            )
        keys = keys_from(claim.first, claim.count)
        if claim.done:
            found = await world.store.get(keys)
            return Submitted([task for task in found if task is not None], replayed=True)
        fresh = claim.first == mine.first
        tasks = await _hand_in(world, specs, keys, owner=owner, retry_of=retry_of, fresh=fresh)
        await world.store.fulfil(claim)
        reached("submit.fulfilled")
        return Submitted(tasks, replayed=not fresh)
    finally:
        world.in_flight.discard((owner, key))


async def _hand_in(
    world: World, specs: Sequence[TaskSpec], keys: Sequence[int], *, owner: str, retry_of: int, fresh: bool
) -> list[Task]:
    if world.fleet.closed:
        raise Unavailable(
            "The server is stopping.", hint="Send it again.", code="server_stopping", retry_after_seconds=1
        )
    world.fleet.handing_out += 1
    try:
        now = world.clock.now()
        drafts = [
            drafted(spec, key=key, owner=owner, now=now, retry_of=retry_of)
            for key, spec in zip(keys, specs, strict=True)
        ]
        return await enter(world, drafts, fresh=fresh)
    finally:
        world.fleet.handing_out -= 1
