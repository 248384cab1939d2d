"""Why a task is where it is: its own reason, for every node what stands in the way or its scores, and the smallest
change that would let it run."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from anchor.core.attempt import Reason
from anchor.core.ids import keys_from, wire_id
from anchor.core.items import Items
from anchor.core.node import Node, Status, is_connected, offer_of
from anchor.core.placement import Lack, Scores, facts_of, lacks, refused_by, scores_of
from anchor.core.reputation import reliability
from anchor.core.spec import Need, need_of_shape
from anchor.core.task import TERMINAL, State, Task
from anchor.core.verification import Round
from anchor.orchestrator.apart import Apart, apart
from anchor.orchestrator.dispatch import blobs_of
from anchor.orchestrator.world import World

CHANGES_MAX = 3
_COSTS = {
    "slot": 0.1,
    "memory": 0.2,
    "draining": 2.0,
    "trouble": 2.0,
    "offline": 3.0,
    "quarantined": 3.5,
    "blocked": 8.0,
}
"""How much each change asks of somebody, from waiting on; see core.placement.Lack."""
_EXPRESSION_COST = 2.0
_APART_COST = 6.0
_WAITS = ("slot", "memory")


class NodeWhy(msgspec.Struct, frozen=True, rename="camel"):
    """One node: the first thing it lacks (null where it could take the task), all that it lacks, and its scores
    where it lacks nothing, or only what is in use at the moment."""

    node_id: str
    unmet: str | None
    lacks: list[str] = []
    scores: Scores | None = None


class Why(msgspec.Struct, frozen=True, rename="camel"):
    """The state of a task, why, and what every node says to it. `changes` are what would let it run, the smallest one
    first; `waits_for` are the tasks that have to end before it does, up to twenty of them."""

    state: str
    reason: Reason
    nodes: list[NodeWhy]
    changes: list[str] = []
    waits_for: list[str] = []


WAITS_FOR_MAX = 20


class _Said(msgspec.Struct, frozen=True):
    """A node, what it lacks, and what all of that costs to change."""

    node: Node
    lacks: list[Lack]
    cost: float
    scores: Scores | None


async def explain(world: World, task: Task) -> Why:
    """Compare a task with every known node; of one that no node runs, what it waits for."""
    if task.state not in TERMINAL and isinstance(task.parts, Items):
        return await _of_items(world, task, task.parts)
    if task.state not in TERMINAL and isinstance(task.parts, Round):
        return await _of_round(world, task, task.parts)
    return await _of_one(world, task)


async def _of_one(world: World, task: Task) -> Why:
    said = await _asked(world, task)
    nodes = [
        NodeWhy(one.node.id, one.lacks[0].text if one.lacks else None, [lack.text for lack in one.lacks], one.scores)
        for one in said
    ]
    waits = task.state in (State.QUEUED, State.BACKOFF)
    changes = _changes(task, need_of_shape(task.shape), said) if waits else []
    return Why(task.state, task.reason or _reason(task, said), nodes, changes)


async def _of_items(world: World, task: Task, parts: Items) -> Why:
    states = await world.store.states(parts.first, parts.count)
    count = Counter(states.values())
    ended = sum(count[state] for state in TERMINAL)
    waiting = [key for key in keys_from(parts.first, parts.count) if states.get(key) not in TERMINAL]
    message = f"{ended:,} of its {parts.count:,} items have ended, {count[State.SUCCEEDED]:,} of them well"
    reason = Reason(
        "waits_for_items",
        f"{message}; {parts.needed:,} have to.",
        "`anchor why` says of each item that is listed here what it waits for.",
    )
    first = next((key for key in waiting if states.get(key) in (State.QUEUED, State.BACKOFF)), None)
    of_item = await _first_of(world, first)
    listed = [wire_id("task", key) for key in waiting[:WAITS_FOR_MAX] if key in states]
    return Why(task.state, reason, of_item.nodes, of_item.changes, listed)


async def _of_round(world: World, task: Task, parts: Round) -> Why:
    copies = await world.store.get(list(keys_from(parts.first, parts.asked)))
    waiting = [copy for copy in copies if copy is not None and copy.state not in TERMINAL]
    idle = next((copy for copy in waiting if copy.state in (State.QUEUED, State.BACKOFF)), None)
    of_copy = await _of_one(world, idle) if idle is not None else Why("", Reason("", ""), [])
    message = (
        f"{parts.asked - len(waiting)} of {parts.asked} copies have ended; nobody sees an answer before the verdict"
    )
    hint = of_copy.changes[0] if of_copy.changes else "The verdict follows once enough copies have ended."
    return Why(
        task.state,
        Reason("waits_for_copies", f"{message}.", hint),
        of_copy.nodes,
        of_copy.changes,
        [wire_id("task", copy.id) for copy in waiting],
    )


async def _first_of(world: World, key: int | None) -> Why:
    [task] = await world.store.get([key]) if key is not None else [None]
    return await _of_one(world, task) if task is not None else Why("", Reason("", ""), [])


async def _asked(world: World, task: Task) -> list[_Said]:
    """What every node says to a task."""
    now = world.clock.now()
    need = need_of_shape(task.shape)
    siblings = await apart(world, [task])
    inputs = blobs_of(task) or world.fleet.inputs_of(task.id)
    said: list[_Said] = []
    for node in await world.store.nodes():
        seat = world.fleet.seat(node.id)
        load = seat.load if seat is not None else 0.0
        reliable = reliability(node, need.runtime)
        found = [*unsuited(node, need, load), *_apart(siblings, task, node), *absent(world, node, need, now)]
        closeness = world.fleet.share_at(node.id, inputs)
        scores = scores_of(node, load=load, reliability=reliable, inputs=closeness) if only_waits(found) else None
        said.append(_Said(node, found, sum(lack.cost for lack in found), scores))
    return said


def unsuited(node: Node, need: Need, load: float) -> list[Lack]:
    """What a node as it is lacks for this need, whatever it does at the moment."""
    facts = facts_of(node, runtime=need.runtime, load=load, reliability=reliability(node, need.runtime))
    return lacks(offer_of(node), need) + [
        Lack(f"does not meet {part}", "take that part out of requirements.expression", _EXPRESSION_COST)
        for part in refused_by(need.expression, facts)
    ]


def only_waits(found: Sequence[Lack]) -> bool:
    """Whether nothing is lacking but what others use at the moment."""
    return all(lack.cost in (_COSTS[wait] for wait in _WAITS) for lack in found)


def _apart(siblings: Apart, task: Task, node: Node) -> list[Lack]:
    against = siblings.against(task, node.id, node.owner)
    if against is None:
        return []
    by_owner = task.origin is not None and task.origin.owners_apart
    change = "join a machine of another owner, lower verify.copies, or allow verify.sameOwner"
    change = change if by_owner else "join another machine"
    return [Lack(against, change, _APART_COST)]


def absent(world: World, node: Node, need: Need, now: int) -> list[Lack]:
    """Why a node takes nothing at the moment: the first of the reasons."""
    if node.status is Status.BLOCKED:
        return [Lack("is blocked", f"take it back (`anchor node resume {node.id}`)", _COSTS["blocked"])]
    if not is_connected(node, now=now):
        return [Lack("is offline", "start its agent", _COSTS["offline"])]
    if node.status is not Status.READY:
        change = f"take it back (`anchor node resume {node.id}`)"
        return [Lack(f"is {node.status}", change, _COSTS[str(node.status)])]
    if node.metrics.trouble:
        return [Lack(f"takes no work: {node.metrics.trouble}", "look after the machine", _COSTS["trouble"])]
    seat = world.fleet.seat(node.id)
    if seat is None:
        return []
    if seat.free <= 0:
        return [Lack("has no free slot", "wait for a free slot", _COSTS["slot"])]
    short = seat.short_of(need)
    return [Lack(short, "wait until it has that much free", _COSTS["memory"])] if short is not None else []


def _changes(task: Task, need: Need, said: Sequence[_Said]) -> list[str]:
    """What would let the task run: the smallest change, and others with another node where they are of another kind."""
    if any(not one.lacks for one in said):
        return []
    changes: list[str] = []
    asked: set[tuple[str, ...]] = set()
    for one in sorted(said, key=lambda one: (one.cost, one.node.id)):
        wishes = tuple(dict.fromkeys(lack.change for lack in one.lacks))
        if wishes not in asked and len(changes) < CHANGES_MAX - 1:
            asked.add(wishes)
            wish = " and ".join(wishes)
            changes.append(f"{wish[0].upper()}{wish[1:]}: then {one.node.id} could take it.")
    if not any(only_waits(one.lacks) for one in said):
        changes.append(_machine_for(task, need))
    return changes


def _machine_for(task: Task, need: Need) -> str:
    """The machine that would do, in words."""
    wants = [
        f"runtime {need.runtime}" if need.runtime != "noop" else "",
        f"{need.min_cores} cores" if need.min_cores else "",
        f"{need.min_ram_gib:g} GiB of RAM" if need.min_ram_gib else "",
        f"{need.memory_mib} MiB for a task" if need.memory_mib else "",
        "a GPU for tasks" if need.gpu else "",
        *(f"the label {label!r}" for label in need.labels),
        "what requirements.expression asks for" if need.expression else "",
        "another owner" if task.origin is not None and task.origin.owners_apart else "",
    ]
    named = ", ".join(want for want in wants if want)
    return f"Join a machine{f' with {named}' if named else ''} (`anchor node token` prints the command)."


def _reason(task: Task, said: Sequence[_Said]) -> Reason:
    if task.state is not State.QUEUED:
        return Reason(str(task.state), f"The task is {task.state}.")
    if not said:
        return Reason("no_nodes", "No machine has joined yet.", "Start one: `anchor node token` prints the command.")
    if any(not one.lacks for one in said):
        return Reason("queued", "A node is about to take it.")
    if any(only_waits(one.lacks) for one in said):
        return Reason("no_free_slot", "Every node that fits is busy.", "It runs as soon as a slot opens.")
    if any(one.lacks[0].text == "is quarantined" for one in said):
        return Reason(
            "nodes_quarantined",
            "The nodes that could run it are quarantined: they went down again and again with what they ran.",
            "`anchor node get NODE` says why; `anchor node resume NODE` takes one back.",
        )
    closest = min(said, key=lambda one: (one.cost, one.node.id))
    return Reason(
        "no_node_fits",
        f"No node fits: {closest.node.id} {closest.lacks[0].text}.",
        "Relax the task's requirements, or join a machine that meets them.",
    )
