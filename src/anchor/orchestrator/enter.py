"""Tasks enter the truth, and are leased in the same write where a slot is open."""

from collections.abc import Sequence

from anchor.core.errors import AnchorError
from anchor.core.spec import TaskSpec, need_of, shape_of
from anchor.core.task import HELD, Origin, State, Task, lease, queued
from anchor.core.verification import Round
from anchor.failpoints import reached
from anchor.orchestrator.apart import apart
from anchor.orchestrator.copies import as_head, copies_of
from anchor.orchestrator.dispatch import blobs_of, hand_out, unbook
from anchor.orchestrator.payloads import is_too_large, resting_apart
from anchor.orchestrator.relay import hint
from anchor.orchestrator.world import World


def drafted(
    spec: TaskSpec,
    *,
    key: int,
    owner: str,
    now: int,
    retry_of: int = 0,
    part_of: int = 0,
    origin: Origin | None = None,
) -> Task:
    """A new task as it is to enter."""
    shape = shape_of(need_of(spec))
    return queued(
        key=key, owner=owner, spec=spec, shape=shape, now=now, retry_of=retry_of, part_of=part_of, origin=origin
    )


async def enter(world: World, drafts: Sequence[Task], *, fresh: bool) -> list[Task]:
    """Write new tasks down; as they are then, in the order given. One whose id exists already is left as it is.

    Only fresh ones are leased at once: those of an earlier try may be leased and booked already. One whose answer is to
    be checked waits for its copies, which enter after it: whoever made it first decided their keys.
    """
    now = world.clock.now()
    tasks: list[Task] = []
    reads: dict[int, Sequence[str]] = {}
    for draft in drafts:
        task = draft if draft.spec.verify == "none" else as_head(world, draft)
        blobs = blobs_of(task)
        if is_too_large(task):
            task = await resting_apart(world, task)
            blobs = (*blobs, task.payload_blob)
        if blobs:
            reads[task.id] = blobs
        tasks.append(task)
    leased: list[Task] = []
    if fresh and world.fleet.has_room(now=now) and await world.ready.size() == 0:
        siblings = await apart(world, tasks)
        now = world.clock.now()
        for at, task in enumerate(tasks):
            if task.state is not State.QUEUED:
                continue
            barred = siblings.barred(task) if task.origin is not None else None
            seat = world.fleet.choose(task.shape, now=now, barred=barred, inputs=reads.get(task.id, ()))
            if seat is None:
                continue
            tasks[at] = new = lease(task, node=seat.node, session=seat.session, now=now, lease_ms=world.lease_ms)
            seat.book(new, now + world.lease_ms)
            if task.origin is not None:
                siblings.placed(new, seat)
            world.fleet.shares.charge(new.owner)
            leased.append(new)
    try:
        written = await world.store.insert(tasks)
    except AnchorError:
        unbook(world, leased)
        raise
    reached("submit.inserted")
    # After any other end the tasks may be written all the same: booked slots stay booked, as in dispatch.
    there_before = {task.id for task, new in zip(tasks, written, strict=True) if not new}
    if there_before:
        now_there = await world.store.get([task.id for task in tasks])
        unbook(world, [task for task in leased if task.id in there_before])
        for there in now_there:
            # An earlier try may have written a lease whose outcome it never heard; its slot was booked over just now.
            seat = world.fleet.seat(there.node, there.session) if there is not None and there.state in HELD else None
            if there is not None and seat is not None:
                seat.held.setdefault(there.id, (there.attempt, now))
        leased = [task for task in leased if task.id not in there_before]
        tasks = [there or task for there, task in zip(now_there, tasks, strict=True)]
    if world.onlooker is not None:
        world.onlooker(tasks)
    for task_id, blobs in reads.items():
        world.fleet.note_inputs(task_id, blobs)
    await hand_out(world, leased)
    reached("submit.assigned")
    await hint(world, [task for task in tasks if task.state is State.QUEUED])
    reached("submit.hinted")
    copies: list[Task] = []
    for task in tasks:
        if task.state is State.VERIFYING and isinstance(task.parts, Round):
            copies += await copies_of(world, task, task.parts, range(task.parts.asked))
    if copies:
        await enter(world, copies, fresh=fresh and not there_before)
    return tasks
