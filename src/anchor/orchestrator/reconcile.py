"""The sweep: whatever is due in the truth is looked at again, so that any hint, message or server may be lost."""

from collections import defaultdict
from collections.abc import Sequence

from anchor.core.attempt import Outcome, Reason
from anchor.core.errors import FailureCode
from anchor.core.node import Node, lease_has_ended
from anchor.core.task import HINT_SECONDS, State, Task, extend, wake
from anchor.failpoints import reached
from anchor.orchestrator import graphs, items, rounds
from anchor.orchestrator.attend import miss_if_unlisted
from anchor.orchestrator.cancel import stop_held
from anchor.orchestrator.relay import hint, lane_of
from anchor.orchestrator.settle import never_arrived, settle_held
from anchor.orchestrator.world import World
from anchor.ports.ready import Hint
from anchor.ports.store import Swap

PAGE = 500
CANCEL_AGAIN_MS = 2_000
"""How long a node may take to let go of a cancelled task before it is asked again."""
REFILL_BELOW = 5_000
"""The ready queue is topped up from the truth when it holds fewer hints than this and the truth holds more."""


async def reconcile(world: World) -> None:
    """One sweep; called on a timer, whatever the traffic."""
    now = world.clock.now()
    if now - world.swept_at > world.lease_ms // 2:
        # Nobody could renew a lease while this server, its machine or the store stood still.
        world.reap_after = now + world.lease_ms
    _unseat_silent(world, now)
    await _wake_rested(world, now)
    await _hint_waiting(world, now)
    await _check_leases(world, now)
    await _repeat_cancels(world, now)
    await items.sweep(world, now)
    await rounds.sweep(world, now)
    await graphs.sweep(world, now)
    hints = await world.ready.size()
    if hints < REFILL_BELOW and len(await world.store.queued(0, hints + 1)) > hints:
        await refill(world)
    # Its end, for a long sweep is no standstill: the store answered all the while.
    world.swept_at = world.clock.now()


async def refill(world: World, limit: int = 100_000) -> None:
    """Give queued tasks their hints, oldest first; hints that are there already stay."""
    after = 0
    while limit > 0:
        refs = await world.store.queued(after, min(limit, 10 * PAGE))
        if not refs:
            break
        await world.ready.push([Hint(ref.id, ref.priority, lane_of(ref.owner, ref.shape)) for ref in refs])
        reached("reconcile.refilled")
        after = refs[-1].id
        limit -= len(refs)
    world.bus.work_waits()


def _unseat_silent(world: World, now: int) -> None:
    for seat in list(world.fleet.seats()):
        if seat.lease_until <= now:
            world.fleet.leave(seat.node, seat.session)


async def _wake_rested(world: World, now: int) -> None:
    while due := await world.store.due(State.BACKOFF, now, PAGE):
        swaps = [Swap(task, wake(task, now=now)) for task in due]
        done = await world.store.swap(swaps)
        reached("reconcile.woken")
        woken = [swap.new for swap, ok in zip(swaps, done, strict=True) if ok]
        if world.onlooker is not None:
            world.onlooker(woken)
        world.bus.tasks_changed([task.id for task in woken])
        await hint(world, woken)
        if len(due) < PAGE:
            break


async def _hint_waiting(world: World, now: int) -> None:
    """Give tasks that have been queued for long another hint: theirs may be lost, however many others there are.

    One page a sweep, so that a long queue costs a bounded number of writes.
    """
    due = await world.store.due(State.QUEUED, now, PAGE)
    swaps = [Swap(task, extend(task, until=now + HINT_SECONDS * 1000)) for task in due]
    done = await world.store.swap(swaps)
    reached("reconcile.waiting")
    await hint(world, [swap.new for swap, ok in zip(swaps, done, strict=True) if ok])


async def _check_leases(world: World, now: int) -> None:
    nodes: dict[str, Node | None] = {}
    while due := await world.store.due(State.LEASED, now, PAGE):
        alive, gone = await _sorted_out(world, nodes, due, now)
        swaps = [Swap(task, extend(task, until=_look_again(world, nodes, task, now))) for task in alive]
        done = await world.store.swap(swaps)
        reached("reconcile.leased")
        elsewhere: defaultdict[str, list[int]] = defaultdict(list)
        for task in [task for task, ok in zip(alive, done, strict=True) if ok]:
            seat = world.fleet.seat(task.node, task.session)
            if seat is not None:
                miss_if_unlisted(seat, task, now=now)
            else:
                elsewhere[task.node].append(task.id)
        for node, ids in elsewhere.items():
            world.bus.node_changed(node, ids)
        await _end_lost(world, nodes, gone)
        if len(due) < PAGE:
            break


async def _repeat_cancels(world: World, now: int) -> None:
    """Ask again for the end of what somebody wants stopped, until its node lets go.

    A task whose node is connected elsewhere is left due, so that the server it is connected to finds it here even
    when it heard of nothing. A node that does not have what it is to stop says nothing to that: the next heartbeats
    tell. One that no node holds is over when its items or copies are: `follow` looks at them.
    """
    nodes: dict[str, Node | None] = {}
    due = await world.store.due(State.CANCELLING, now, PAGE)
    heads = [task for task in due if task.parts is not None]
    alive, gone = await _sorted_out(world, nodes, [task for task in due if task.parts is None], now)
    here = [task for task in alive if world.fleet.seat(task.node) is not None] + heads
    await world.store.swap([Swap(task, extend(task, until=now + CANCEL_AGAIN_MS)) for task in here])
    reached("reconcile.cancelling")
    if heads:
        for head in heads:
            world.lists.drop(head.id)  # what is remembered of its items may lack an end that was told and lost
        world.ended.extend(heads)
        world.bus.work_waits()
    for task in alive:
        seat = world.fleet.seat(task.node, task.session)
        if seat is not None:
            miss_if_unlisted(seat, task, now=now)
        await stop_held(world, task)
    await _end_lost(world, nodes, gone)


async def _sorted_out(
    world: World, nodes: dict[str, Node | None], due: Sequence[Task], now: int
) -> tuple[list[Task], list[Task]]:
    """Held tasks whose lease runs, and those whose lease has ended for good; `nodes` remembers what was read."""
    alive: list[Task] = []
    gone: list[Task] = []
    for task in due:
        if task.node not in nodes:
            nodes[task.node] = await world.store.node(task.node)
        ended = lease_has_ended(nodes[task.node], task.session, now=now)
        (gone if ended and now >= world.reap_after else alive).append(task)
    return alive, gone


async def _end_lost(world: World, nodes: dict[str, Node | None], gone: Sequence[Task]) -> None:
    """End attempts whose lease is over. A node writes down what it got before it runs it, and brings that along: what
    it came back without, it never had."""
    unheard: defaultdict[str, list[Task]] = defaultdict(list)
    lost: defaultdict[str, list[Task]] = defaultdict(list)
    for task in gone:
        node = nodes[task.node]
        (unheard if node is not None and node.session > task.session else lost)[task.node].append(task)
    for name, tasks in unheard.items():
        await settle_held(world, tasks, outcome=Outcome.RELEASED, reason=never_arrived(name))
    for name, tasks in lost.items():
        reason = Reason(
            FailureCode.LEASE_LOST,
            f"{name} was not heard from in time.",
            "The task is tried again while it has attempts left.",
        )
        await settle_held(world, tasks, outcome=Outcome.LOST, reason=reason)


def _look_again(world: World, nodes: dict[str, Node | None], task: Task, now: int) -> int:
    """When to look at a live lease again: just after its session's own lease would end, or after the grace."""
    node = nodes[task.node]
    ends = node.lease_until if node is not None else now
    return max(ends, world.reap_after, now + 1000) + 1
