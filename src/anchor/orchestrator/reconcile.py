"""The sweep: whatever is due in the truth is looked at again, so that any hint, message or server may be lost."""

from anchor.core.attempt import Outcome, Reason
from anchor.core.errors import FailureCode
from anchor.core.node import Node, lease_has_ended
from anchor.core.task import HINT_SECONDS, State, Task, extend, wake
from anchor.orchestrator.relay import hint
from anchor.orchestrator.settle import settle_held
from anchor.orchestrator.world import World
from anchor.ports.ready import Hint
from anchor.ports.store import Swap

PAGE = 500
REFILL_BELOW = 5_000
"""The ready queue is topped up from the truth when it holds fewer hints than this and the truth holds more."""


async def reconcile(world: World) -> None:
    """One sweep; called on a timer, whatever the traffic."""
    now = world.clock.now()
    _unseat_silent(world, now)
    await _wake_rested(world, now)
    await _hint_waiting(world, now)
    for state in (State.LEASED, State.CANCELLING):
        await _check_leases(world, state, now)
    counts = await world.store.counts(None)
    hints = await world.ready.size()
    if hints < REFILL_BELOW and counts.get(State.QUEUED, 0) > hints:
        await refill(world)


async def refill(world: World, limit: int = 100_000) -> None:
    """Give queued tasks their hints, oldest first; hints that are there already stay."""
    after = 0
    while limit > 0:
        refs = await world.store.queued(after, min(limit, 10 * PAGE))
        if not refs:
            break
        await world.ready.push([Hint(ref.id, ref.priority, ref.shape) for ref in refs])
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
        woken = [swap.new for swap, ok in zip(swaps, done, strict=True) if ok]
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
    await hint(world, [swap.new for swap, ok in zip(swaps, done, strict=True) if ok])


async def _check_leases(world: World, state: State, now: int) -> None:
    nodes: dict[str, Node | None] = {}
    while due := await world.store.due(state, now, PAGE):
        alive: list[Task] = []
        gone: list[Task] = []
        for task in due:
            if task.node not in nodes:
                nodes[task.node] = await world.store.node(task.node)
            ended = lease_has_ended(nodes[task.node], task.session, now=now)
            (gone if ended and now >= world.reap_after else alive).append(task)
        swaps = [Swap(task, extend(task, until=_look_again(world, nodes, task, now))) for task in alive]
        for task, ok in zip(alive, await world.store.swap(swaps), strict=True):
            seat = world.fleet.seat(task.node, task.session)
            if ok and seat is not None and seat.held.get(task.id, (0, 0))[0] != task.attempt:
                # A lease written so late that it was given up: the next heartbeats say whether the node has it.
                seat.held[task.id] = (task.attempt, now)
        for task in gone:
            await settle_held(
                world,
                [task],
                outcome=Outcome.LOST,
                reason=Reason(
                    FailureCode.LEASE_LOST,
                    f"{task.node} was not heard from in time, or came back without this attempt.",
                    "The task is tried again while it has attempts left.",
                ),
            )
        if state is State.CANCELLING:
            for task in alive:
                await world.links.cancel(task.node, [task])
        if len(due) < PAGE:
            break


def _look_again(world: World, nodes: dict[str, Node | None], task: Task, now: int) -> int:
    """When to look at a live lease again: just after its session's own lease would end, or after the grace."""
    node = nodes[task.node]
    ends = node.lease_until if node is not None else now
    return max(ends, world.reap_after, now + 1000) + 1
