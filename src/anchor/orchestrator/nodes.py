"""Nodes come, stay and go: hello, heartbeat, farewell, and what their owner decides about them."""

from collections.abc import Callable, Sequence

import msgspec

from anchor.core.attempt import Outcome, Reason
from anchor.core.errors import Conflict, FailureCode, NotFound, Unavailable
from anchor.core.node import Metrics, Node, Profile, Status, beat, greet, labelled, with_status
from anchor.core.task import State, Task, adopt, holds
from anchor.failpoints import reached
from anchor.orchestrator.apps.sweep import look_after
from anchor.orchestrator.audit import note, note_refused
from anchor.orchestrator.epochs import give_up_held, is_unknown, refuse_newer
from anchor.orchestrator.fleet import Seat
from anchor.orchestrator.settle import TRIES_MAX, never_arrived, settle_held
from anchor.orchestrator.world import World
from anchor.ports.store import Swap
from anchor.wire.link import UNKNOWN_EPOCH

Held = tuple[int, int]
"""A task and the number of the attempt at it."""
_STATUS_KINDS = {
    Status.READY: "node_resumed",
    Status.DRAINING: "node_drained",
    Status.BLOCKED: "node_blocked",
}


class Greeted(msgspec.Struct, frozen=True):
    """A node with its new session; `dropped` are attempts it holds that are no longer its own, `cancelled` are
    attempts of its own that somebody wants stopped; `epoch` is the store's, which these answers hold for."""

    node: Node
    dropped: list[Held]
    cancelled: list[Task]
    epoch: int


async def welcome(
    world: World,
    node_id: str,
    *,
    profile: Profile,
    slots: int,
    held: Sequence[Held],
    epoch: int = UNKNOWN_EPOCH,
    box_key: bytes = b"",
) -> Greeted:
    """Open a new session for a node and carry over to it the attempts it still holds.

    `epoch` is the store's as the agent was told it last. An older one (or none, once there was a restore) means that
    the store was restored since: nothing the agent holds is its own any more. A newer one means that this store is an
    old copy: Unavailable, until somebody who knows says which of the two is true (`anchor restore --adopt-epoch`).
    """
    before = world.fleet.seat(node_id)
    ours = await world.store.epoch()
    if epoch > ours:
        await refuse_newer(world, node_id, epoch=epoch, ours=ours)
    node = await _write(
        world,
        node_id,
        lambda old: greet(
            old, profile=profile, slots=slots, now=world.clock.now(), lease_ms=world.lease_ms, box_key=box_key
        ),
    )
    adopted: list[Task] = []
    if epoch == ours or (epoch == UNKNOWN_EPOCH and ours == 0):
        adopted, dropped = await _adopt(world, node, held)
    else:
        dropped = await give_up_held(world, node_id, held, ours=ours)
    if before is not None:
        world.fleet.leave(before.node, before.session)
        unheard = {(task, attempt) for task, (attempt, _) in before.held.items()}
        gone = sorted(unheard - {(task.id, task.attempt) for task in adopted})
        await take_back(world, before, gone, never_arrived(node_id))
    # From here to the caller, who opens the line, nothing else can run: no lease is sent to a line not yet open.
    present = world.fleet.seat(node_id)
    if present is not None and present.session > node.session:
        raise Unavailable(
            f"A newer connection of {node_id} took over.",
            hint="Connect again.",
            code="superseded",
            retry_after_seconds=1,
        )
    seat = world.fleet.join(node)
    seat.held.update({task.id: (task.attempt, world.clock.now()) for task in adopted})
    seat.running.update(task.id for task in adopted)
    for task in adopted:
        seat.count(task)
    world.bus.node_changed(node_id)
    world.bus.work_waits()
    return Greeted(node, dropped, [task for task in adopted if task.state is State.CANCELLING], ours)


async def _adopt(world: World, node: Node, held: Sequence[Held]) -> tuple[list[Task], list[Held]]:
    adopted: list[Task] = []
    dropped: list[Held] = []
    unknown: list[Held] = []
    waiting = list(held)
    for _ in range(TRIES_MAX):
        if not waiting:
            break
        swaps: list[Swap] = []
        asked: list[Held] = []
        tasks = await world.store.get([task for task, _ in waiting])
        for (task_id, attempt), task in zip(waiting, tasks, strict=True):
            if task is None or not holds(task, node=node.id, session=task.session, attempt=attempt):
                dropped.append((task_id, attempt))
                if is_unknown(task, attempt):
                    unknown.append((task_id, attempt))
            elif task.session <= node.session:  # else a newer hello of this node has it already
                swaps.append(Swap(task, adopt(task, session=node.session, until=node.lease_until)))
                asked.append((task_id, attempt))
        done = await world.store.swap(swaps)
        reached("nodes.adopted")
        adopted.extend(swap.new for swap, ok in zip(swaps, done, strict=True) if ok)
        waiting = [one for one, ok in zip(asked, done, strict=True) if not ok]
    await note_refused(world, node.id, unknown, "the store does not know it; it lost what was written last.")
    return adopted, dropped


async def heartbeat(
    world: World, node_id: str, session: int, *, metrics: Metrics, held: Sequence[Held], leaving: bool = False
) -> list[Held] | None:
    """Renew a session's lease with one write; the held attempts that are no longer the node's.

    None where the session is over: superseded, so that its heartbeat extends nothing, or of a node that was blocked
    meanwhile, whose work is taken back uncharged. Attempts leased to the session that the agent does not list, long
    enough after they were sent, never arrived and are queued again. A node that is `leaving` gets no more work.
    """
    before = world.fleet.seat(node_id, session)
    if before is not None:
        before.leaving = leaving
    new = await _renew(world, node_id, session, metrics, known=_remembered(world, before))
    seat = world.fleet.seat(node_id, session)
    if new is None or seat is None:
        return None
    seat.see(new)
    if leaving and not metrics.trouble:
        world.bus.node_changed(node_id)  # its apps are moved while it is still there
    now = world.clock.now()
    if new.status is Status.BLOCKED:
        held_here = [(task, attempt) for task, (attempt, _) in seat.held.items()]
        await take_back(world, seat, held_here, Reason(FailureCode.RELEASED, f"{node_id} was blocked."))
        return None
    listed = set(held)
    unheard = [
        (task, attempt)
        for task, (attempt, since) in seat.held.items()
        if (task, attempt) not in listed and since < now - 2 * world.heartbeat_ms
    ]
    await take_back(world, seat, unheard, never_arrived(node_id))
    unknown = [one for one in held if seat.held.get(one[0], (0, 0))[0] != one[1]]
    if not unknown:
        return []
    tasks = await world.store.get([task for task, _ in unknown])
    return [
        one
        for one, task in zip(unknown, tasks, strict=True)
        if task is None or not holds(task, node=node_id, session=task.session, attempt=one[1]) or task.session < session
    ]


async def _renew(world: World, node_id: str, session: int, metrics: Metrics, known: Node | None) -> Node | None:
    """The node with its lease renewed, None where the session is over; what is known of the node saves a look."""
    while True:
        old = known or await world.store.node(node_id)
        known = None
        if old is None or old.session != session:
            return None
        new = beat(old, metrics, now=world.clock.now(), lease_ms=world.lease_ms)
        if await world.store.swap_node(old, new):
            reached("nodes.beaten")
            return new


def _remembered(world: World, seat: Seat | None) -> Node | None:
    return seat.record if seat is not None and world.sole_writer else None


async def farewell(world: World, node_id: str, session: int) -> None:
    """A connection closed. Its leases run on: the agent may be back before they end."""
    world.fleet.leave(node_id, session)
    world.bus.node_changed(node_id)


async def set_status(world: World, node_id: str, status: Status, *, by: str, why: str = "") -> Node:
    """Drain, block or take back into service."""
    because = f": {why}" if why else "."
    reason = None if status is Status.READY else Reason(str(status), f"{status.capitalize()} by {by}{because}")
    if await world.store.node(node_id) is not None:
        message = f"{node_id} is {status} now{because}"
        await note(world, kind=_STATUS_KINDS[status], subject=node_id, message=message, by=by)
    return await _decide(world, node_id, lambda old: with_status(old, status, reason))


async def set_labels(world: World, node_id: str, labels: Sequence[str], *, by: str) -> Node:
    """Give a node these labels beside those that its machine says of itself; whatever waits for one may go there."""
    if await world.store.node(node_id) is not None:
        message = f"{node_id} is labelled {', '.join(labels)} now." if labels else f"{node_id} has no given labels now."
        await note(world, kind="node_labelled", subject=node_id, message=message, by=by)
    return await _decide(world, node_id, lambda old: labelled(old, labels))


async def _decide(world: World, node_id: str, change: Callable[[Node], Node]) -> Node:
    """Write what an operator decided, and let everybody know."""
    node = await _write(world, node_id, change)
    seat = world.fleet.seat(node_id)
    if seat is not None:
        seat.see(node)
    world.bus.node_changed(node_id)
    world.bus.work_waits()
    await look_after(world, node_id)
    return node


async def take_back(world: World, seat: Seat, helds: Sequence[Held], reason: Reason) -> None:
    """Queue again, uncharged, what a seat holds, and free the slots of whatever has ended elsewhere."""
    if not helds:
        return
    found = await world.store.get([task for task, _ in helds])
    live = [
        task
        for (_, attempt), task in zip(helds, found, strict=True)
        if task is not None and holds(task, node=seat.node, session=seat.session, attempt=attempt)
    ]
    await settle_held(world, live, outcome=Outcome.RELEASED, reason=reason)
    for task_id, attempt in helds:
        if seat.held.get(task_id, (0, 0))[0] == attempt:
            del seat.held[task_id]


async def _write(world: World, node_id: str, change: Callable[[Node], Node]) -> Node:
    for _ in range(TRIES_MAX):
        old = await world.store.node(node_id)
        if old is None:
            raise NotFound(f"There is no node {node_id!r}.", hint="List nodes with `anchor node ls`.")
        if old.status is Status.BLOCKED and change(old).session != old.session:
            raise Conflict(
                f"Node {node_id} is blocked.", hint="Its owner can take it back: `anchor node resume`.", code="blocked"
            )
        new = change(old)
        if await world.store.swap_node(old, new):
            reached("nodes.written")
            return new
    raise Unavailable(f"Node {node_id} changed too often.", hint="Try again.", retry_after_seconds=1)
