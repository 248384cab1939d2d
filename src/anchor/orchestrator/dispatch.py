"""Step two: queued tasks are leased to open slots, in batches, and handed to their nodes."""

from collections import defaultdict
from collections.abc import Sequence

from anchor.core.attempt import Outcome
from anchor.core.errors import AnchorError
from anchor.core.task import State, Task, lease
from anchor.failpoints import reached
from anchor.orchestrator.settle import never_arrived, settle_held
from anchor.orchestrator.world import World
from anchor.ports.ready import Hint
from anchor.ports.store import Swap

BATCH_MAX = 500
"""Leases in one write."""


async def dispatch(world: World) -> int:
    """Lease what can be leased now; the number of attempts handed out."""
    handed = 0
    while world.fleet.has_room(now=world.clock.now()):
        shapes = [
            shape
            for shape in await world.ready.shapes(world.clock.now())
            if world.fleet.has_room_for(shape, now=world.clock.now())
        ]
        if not shapes:
            break
        room = min(world.fleet.free(now=world.clock.now()), BATCH_MAX)
        hints = await world.ready.pop(room, shapes) if room else []
        if not hints:
            break
        world.fleet.handing_out += 1
        try:
            handed += await _lease(world, hints)
        finally:
            world.fleet.handing_out -= 1
    return handed


async def _lease(world: World, hints: Sequence[Hint]) -> int:
    reached("dispatch.popped")
    tasks = await world.store.get([hint.id for hint in hints])
    now = world.clock.now()  # read after the tasks, so that no lease is older than what is on record
    swaps: list[Swap] = []
    homeless: list[Hint] = []
    for hint, task in zip(hints, tasks, strict=True):
        if task is None or not _can_be_leased(task, now):
            continue
        seat = world.fleet.choose(task.shape, now=now)
        if seat is None:
            homeless.append(hint)
            continue
        new = lease(task, node=seat.node, session=seat.session, now=now, lease_ms=world.lease_ms)
        seat.held[task.id] = (new.attempt, now + world.lease_ms)  # nobody misses it while it is being written
        swaps.append(Swap(task, new))
    if homeless:
        await world.ready.push(homeless)
        reached("dispatch.put_back")
    try:
        done = await world.store.swap(swaps)
    except AnchorError:
        unbook(world, [swap.new for swap in swaps])
        raise
    reached("dispatch.leased")
    # After any other end the leases may be written all the same: their slots stay booked until a heartbeat much later
    # shows that the node never heard of them.
    unbook(world, [swap.new for swap, ok in zip(swaps, done, strict=True) if not ok])
    leased = [swap.new for swap, ok in zip(swaps, done, strict=True) if ok]
    await hand_out(world, leased)
    reached("dispatch.assigned")
    return len(leased)


def _can_be_leased(task: Task, now: int) -> bool:
    """Whether a task waits for a node now: a backoff that is over needs no step of its own."""
    return task.state is State.QUEUED or (task.state is State.BACKOFF and (task.wake_at or 0) <= now)


async def hand_out(world: World, leased: Sequence[Task]) -> None:
    """Send leased attempts to their nodes; those of a node that has left in the meantime are queued again."""
    by_session: dict[tuple[str, int], list[Task]] = defaultdict(list)
    now = world.clock.now()
    for task in leased:
        by_session[task.node, task.session].append(task)
        seat = world.fleet.seat(task.node, task.session)
        if seat is not None:
            seat.held[task.id] = (task.attempt, now)
    for (node, session), tasks in by_session.items():
        if world.fleet.seat(node, session) is None:
            await settle_held(world, tasks, outcome=Outcome.RELEASED, reason=never_arrived(node))
        else:
            await world.links.assign(node, session, tasks)


def unbook(world: World, leased: Sequence[Task]) -> None:
    """Give back the slots booked for leases that were not written."""
    for task in leased:
        seat = world.fleet.seat(task.node, task.session)
        if seat is not None and seat.held.get(task.id, (0, 0))[0] == task.attempt:
            del seat.held[task.id]
