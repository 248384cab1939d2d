"""Step one: what a user sends becomes tasks in the truth, and is leased in the same write where a slot is open."""

from collections.abc import AsyncIterator, Sequence

import msgspec
from msgspec.structs import replace

from anchor.core.errors import AnchorError, Conflict, Unavailable, Unprocessable
from anchor.core.ids import keys_from
from anchor.core.spec import INLINE_BYTES_MAX, Payload, TaskSpec, need_of, shape_of
from anchor.core.task import State, Task, lease, queued
from anchor.failpoints import reached
from anchor.orchestrator.dispatch import hand_out, unbook
from anchor.orchestrator.relay import hint
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
        return await _write(world, specs, keys, owner=owner, retry_of=retry_of, fresh=fresh)
    finally:
        world.fleet.handing_out -= 1


async def _write(
    world: World, specs: Sequence[TaskSpec], keys: Sequence[int], *, owner: str, retry_of: int, fresh: bool
) -> list[Task]:
    """Insert tasks. Only fresh keys are leased at once: those of an earlier try may be leased and booked already."""
    now = world.clock.now()
    tasks = [
        queued(key=key, owner=owner, spec=spec, shape=shape_of(need_of(spec)), now=now, retry_of=retry_of)
        for key, spec in zip(keys, specs, strict=True)
    ]
    for at, task in enumerate(tasks):
        if task.spec.payload is not None and _is_large(task.spec.payload):
            tasks[at] = await _with_payload_apart(world, task)
    leased: list[Task] = []
    if fresh and world.fleet.has_room(now=now) and await world.ready.size() == 0:
        now = world.clock.now()
        for at, task in enumerate(tasks):
            seat = world.fleet.choose(task.shape, now=now)
            if seat is None:
                continue
            tasks[at] = lease(task, node=seat.node, session=seat.session, now=now, lease_ms=world.lease_ms)
            seat.held[task.id] = (1, now + world.lease_ms)
            leased.append(tasks[at])
    try:
        written = await world.store.insert(tasks)
    except AnchorError:
        unbook(world, leased)
        raise
    reached("submit.inserted")
    # After any other end the tasks may be written all the same: booked slots stay booked, as in dispatch.
    there_before = {task.id for task, new in zip(tasks, written, strict=True) if not new}
    if there_before:
        unbook(world, [task for task in leased if task.id in there_before])
        leased = [task for task in leased if task.id not in there_before]
        now_there = await world.store.get([task.id for task in tasks])
        tasks = [there or task for there, task in zip(now_there, tasks, strict=True)]
    await hand_out(world, leased)
    reached("submit.assigned")
    await hint(world, [task for task in tasks if task.state is State.QUEUED])
    reached("submit.hinted")
    return tasks


def _is_large(payload: Payload) -> bool:
    sizes = len(payload.source_code or "") + len(payload.module or "") + len(payload.stdin or "")
    if sizes > INLINE_BYTES_MAX:
        return True
    simple = payload.input is None or isinstance(payload.input, int | float | bool)
    if simple and not payload.env and not payload.args and not payload.command:
        return sizes * 4 > INLINE_BYTES_MAX and len(msgspec.json.encode(payload)) > INLINE_BYTES_MAX
    return len(msgspec.json.encode(payload)) > INLINE_BYTES_MAX


async def _with_payload_apart(world: World, task: Task) -> Task:
    digest, _ = await world.blobs.put(_once(msgspec.json.encode(task.spec.payload)))
    reached("submit.payload_kept")
    return replace(task, spec=replace(task.spec, payload=None), payload_blob=digest)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def payload_of(world: World, task: Task) -> bytes:
    """A task's payload as JSON, wherever it rests; empty where it has none."""
    if task.payload_blob:
        return b"".join([chunk async for chunk in world.blobs.get(task.payload_blob)])
    [payload] = await world.store.payloads([task.id])
    return payload
