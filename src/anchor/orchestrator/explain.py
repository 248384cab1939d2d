"""Why a task is where it is: its own reason, and for every node the first thing that stands in the way."""

import msgspec

from anchor.core.attempt import Reason
from anchor.core.node import Node, Status, is_connected
from anchor.core.placement import unmet_by
from anchor.core.spec import need_of_shape
from anchor.core.task import State, Task
from anchor.orchestrator.world import World


class NodeWhy(msgspec.Struct, frozen=True, rename="camel"):
    """One node and what it lacks; null where it could take the task."""

    node_id: str
    unmet: str | None


class Why(msgspec.Struct, frozen=True, rename="camel"):
    """The state of a task, why, and what every node says to it."""

    state: str
    reason: Reason
    nodes: list[NodeWhy]


async def explain(world: World, task: Task) -> Why:
    """Compare a task with every known node."""
    now = world.clock.now()
    need = need_of_shape(task.shape)
    nodes: list[NodeWhy] = []
    for node in await world.store.nodes():
        unmet = unmet_by(node.profile, need) or _absent(world, node, now)
        nodes.append(NodeWhy(node.id, unmet))
    return Why(task.state, task.reason or _reason(task, nodes), nodes)


def _absent(world: World, node: Node, now: int) -> str | None:
    if not is_connected(node, now=now):
        return "is offline"
    if node.status is not Status.READY:
        return f"is {node.status}"
    if node.metrics.trouble:
        return f"takes no work: {node.metrics.trouble}"
    seat = world.fleet.seat(node.id)
    return "has no free slot" if seat is not None and seat.free <= 0 else None


def _reason(task: Task, nodes: list[NodeWhy]) -> Reason:
    if task.state is not State.QUEUED:
        return Reason(str(task.state), f"The task is {task.state}.")
    if not nodes:
        return Reason("no_nodes", "No machine has joined yet.", "Start one: `anchor node token` prints the command.")
    if any(node.unmet is None for node in nodes):
        return Reason("queued", "A node is about to take it.")
    if any(node.unmet == "has no free slot" for node in nodes):
        return Reason("no_free_slot", "Every node that fits is busy.", "It runs as soon as a slot opens.")
    if any(node.unmet == "is quarantined" for node in nodes):
        return Reason(
            "nodes_quarantined",
            "The nodes that could run it are quarantined: they went down again and again with what they ran.",
            "`anchor node get NODE` says why; `anchor node resume NODE` takes one back.",
        )
    return Reason(
        "no_node_fits",
        f"No node fits: {nodes[0].node_id} {nodes[0].unmet}.",
        "Relax the task's requirements, or join a machine that meets them.",
    )
