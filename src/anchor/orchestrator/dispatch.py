"""Step two: queued tasks are leased to open slots, in batches, and handed to their nodes."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from anchor.core.attempt import Outcome
from anchor.core.errors import AnchorError
from anchor.core.spec import blobs_named, need_of_shape
from anchor.core.task import State, Task, lease
from anchor.failpoints import reached
from anchor.orchestrator.apart import apart
from anchor.orchestrator.fleet import Seat
from anchor.orchestrator.relay import of_lane
from anchor.orchestrator.settle import never_arrived, settle_held
from anchor.orchestrator.world import World
from anchor.ports.ready import Hint
from anchor.ports.store import Swap

BATCH_MAX = 500
"""Leases in one write."""
LOOKS_MAX = 50
"""Needs for which every seat is asked in one go: there may be very many, and those are to keep nobody waiting."""
REST_MS = 1_000
"""How long a task rests that nobody may take now."""


async def dispatch(world: World) -> int:
    """Lease what can be leased now; the number of attempts handed out."""
    handed = 0
    while room := world.fleet.free(now=world.clock.now(), at_most=BATCH_MAX):
        lanes = _lanes_with_room(world, await world.ready.shapes(world.clock.now()))
        hints = await _popped(world, lanes, room)
        if not hints:
            break
        world.fleet.handing_out += 1
        try:
            handed += await _lease(world, hints)
        finally:
            world.fleet.handing_out -= 1
    return handed


def _lanes_with_room(world: World, lanes: Sequence[str]) -> dict[str, list[str]]:
    """The lanes, by owner, of shapes for which a slot is open. Of shapes that were never looked at the newest go first,
    and those that are too many for now are seen to next time."""
    now = world.clock.now()
    has_room: dict[str, bool] = {}
    found: dict[str, list[str]] = {}
    looks = 0
    for lane in reversed(lanes):
        owner, shape = of_lane(lane)
        if shape not in has_room:
            if not world.fleet.knows(shape, now=now):
                looks += 1
                if looks > LOOKS_MAX:
                    continue
            has_room[shape] = world.fleet.has_room_for(shape, now=now)
        if has_room[shape]:
            found.setdefault(owner, []).append(lane)
    return found


async def _popped(world: World, lanes: dict[str, list[str]], room: int) -> list[Hint]:
    """Hints for so many slots. Among several owners those who used least lately go first; a priority orders an owner's
    own tasks."""
    if len(lanes) < 2:
        return [hint for own in lanes.values() for hint in await world.ready.pop(room, own)]
    fleet = world.fleet
    fleet.shares.count((owner for seat in fleet.seats() for owner in seat.owners()), world.clock.now())
    hints: list[Hint] = []
    for owner, count in fleet.shares.allot(list(lanes), room):
        hints += await world.ready.pop(count, lanes[owner])
    return hints


async def _lease(world: World, hints: Sequence[Hint]) -> int:
    reached("dispatch.popped")
    tasks = await world.store.get([hint.id for hint in hints])
    siblings = await apart(world, [task for task in tasks if task is not None])
    now = world.clock.now()  # read after the tasks, so that no lease is older than what is on record
    swaps: list[Swap] = []
    homeless: list[Hint] = []
    for hint, task in zip(hints, tasks, strict=True):
        if task is None or not _can_be_leased(task, now):
            continue
        barred = siblings.barred(task) if task.origin is not None else None
        choose = _seat_elsewhere if task.attempts else _seat_for
        seat = choose(world, task, now, barred)
        if seat is None:
            homeless.append(replace(hint, not_before=now + REST_MS) if _is_choosy(task) else hint)
            continue
        new = lease(task, node=seat.node, session=seat.session, now=now, lease_ms=world.lease_ms)
        seat.book(new, now + world.lease_ms)  # nobody misses it while it is being written
        if task.origin is not None:
            siblings.placed(new, seat)
        world.fleet.shares.charge(new.owner)
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
    if world.onlooker is not None:
        world.onlooker(leased)
    await hand_out(world, leased)
    reached("dispatch.assigned")
    return len(leased)


def _seat_for(world: World, task: Task, now: int, barred: Callable[[Seat], bool] | None) -> Seat | None:
    return world.fleet.choose(task.shape, now=now, barred=barred, inputs=_reads(world, task))


def _seat_elsewhere(world: World, task: Task, now: int, barred: Callable[[Seat], bool] | None) -> Seat | None:
    """The best seat for a task; one where it has not failed yet, if there is one: whose fault that was shows sooner,
    and a task that takes nodes down does not take the same one down over and over."""
    tried = {past.node for past in task.attempts if past.outcome is not Outcome.RELEASED}
    if tried:

        def elsewhere(seat: Seat) -> bool:
            return seat.node in tried or (barred is not None and barred(seat))

        seat = _seat_for(world, task, now, elsewhere)
        if seat is not None:
            return seat
    return _seat_for(world, task, now, barred)


def blobs_of(task: Task) -> Sequence[str]:
    """The blobs that a node needs for a task, as far as they are known without another read."""
    named = blobs_named(task.spec.payload) if task.spec.payload is not None else ()
    return (*named, task.payload_blob) if task.payload_blob else named


def _reads(world: World, task: Task) -> Sequence[str]:
    """As `blobs_of`, by what was noted of the task when it entered: its payload is not read again."""
    return world.fleet.inputs_of(task.id) or ((task.payload_blob,) if task.payload_blob else ())


def _is_choosy(task: Task) -> bool:
    """Whether it may be that nobody takes a task although a slot is open for its shape: asked again at once, it would
    be asked for ever."""
    need = need_of_shape(task.shape)
    return bool(need.memory_mib or need.min_cores) or (task.origin is not None and task.origin.apart is not None)


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
            if inputs := _reads(world, task):
                world.fleet.went_to(task.node, inputs)
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
