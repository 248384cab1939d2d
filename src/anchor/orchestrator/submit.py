"""Step one: what a user sends becomes tasks in the truth, once per Idempotency-Key."""

from collections.abc import Sequence

import msgspec

from anchor.core.errors import Unavailable
from anchor.core.spec import TaskSpec
from anchor.core.task import Task
from anchor.orchestrator.enter import drafted, enter
from anchor.orchestrator.once import once
from anchor.orchestrator.world import World


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
    async with once(world, owner=owner, key=key, digest=digest, count=len(specs)) as claimed:
        if claimed.done:
            found = await world.store.get(claimed.keys)
            return Submitted([task for task in found if task is not None], replayed=True)
        tasks = await _hand_in(world, specs, claimed.keys, owner=owner, retry_of=retry_of, fresh=claimed.fresh)
    return Submitted(tasks, replayed=not claimed.fresh)


async def _hand_in(
    world: World, specs: Sequence[TaskSpec], keys: Sequence[int], *, owner: str, retry_of: int, fresh: bool
) -> list[Task]:
    now = world.clock.now()
    drafts = [
        drafted(spec, key=key, owner=owner, now=now, retry_of=retry_of) for key, spec in zip(keys, specs, strict=True)
    ]
    return await hand_in(world, drafts, fresh=fresh)


async def hand_in(world: World, drafts: Sequence[Task], *, fresh: bool) -> list[Task]:
    """New tasks enter, unless the server is stopping."""
    if world.fleet.closed:
        raise Unavailable(
            "The server is stopping.", hint="Send it again.", code="server_stopping", retry_after_seconds=1
        )
    world.fleet.handing_out += 1
    try:
        return await enter(world, drafts, fresh=fresh)
    finally:
        world.fleet.handing_out -= 1
