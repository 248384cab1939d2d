"""A node's record changed elsewhere, or tasks it holds are wanted back: the server that has its line acts on it."""

from collections.abc import Collection

from anchor.core.attempt import Reason
from anchor.core.errors import FailureCode
from anchor.core.node import Status
from anchor.core.task import State, Task, holds
from anchor.orchestrator.apps.sweep import look_after
from anchor.orchestrator.fleet import Seat
from anchor.orchestrator.nodes import take_back
from anchor.orchestrator.world import World


async def attend(world: World, node_id: str, tasks: Collection[int]) -> None:
    """Bring a node that is connected here up to date; of one that is not, nothing is done.

    Its seat takes over what the record says. A session that is over (superseded elsewhere, or its node blocked) loses
    its seat and its line. Of the tasks named, those that somebody wants stopped are cancelled at the node, and
    those that it does not list from now on are taken back. The apps that it runs, or could run, are looked after.
    """
    seat = world.fleet.seat(node_id)
    if seat is None:
        return
    node = await world.store.node(node_id)
    if node is None or node.session != seat.session:
        world.fleet.leave(node_id, seat.session)
        await world.links.hang_up(node_id, seat.session)
        return
    seat.see(node)
    if node.status is Status.BLOCKED:
        held = [(task, attempt) for task, (attempt, _) in seat.held.items()]
        await take_back(world, seat, held, Reason(FailureCode.RELEASED, f"{node_id} was blocked."))
        world.fleet.leave(node_id, seat.session)
        await world.links.hang_up(node_id, seat.session)
        await look_after(world, node_id)
        return
    if node.status is Status.READY:
        world.bus.work_waits()
    seen = (seat.session, seat.status, seat.leaving)
    if world.apps.is_news(node_id, seen):
        await look_after(world, node_id)
        world.apps.saw(node_id, seen)
    wanted = [task for task in await world.store.get(sorted(tasks)) if task is not None] if tasks else []
    for task in wanted:
        miss_if_unlisted(seat, task, now=world.clock.now())
    await world.links.cancel(
        node_id, [task for task in wanted if task.state is State.CANCELLING and task.node == node_id]
    )


def miss_if_unlisted(seat: Seat, task: Task, *, now: int) -> None:
    """Let the next heartbeats say whether a node has a task leased to its session: a lease may be written so late that
    it was given up before."""
    live = holds(task, node=seat.node, session=seat.session, attempt=task.attempt)
    if live and seat.held.get(task.id, (0, 0))[0] < task.attempt:
        seat.held[task.id] = (task.attempt, now)
