"""How many of the known nodes could run a task that is not submitted yet, and how long it would likely wait."""

from collections import Counter

import msgspec
from msgspec.structs import replace

from anchor.core.errors import Fault
from anchor.core.node import Status, is_connected
from anchor.core.spec import Need, TaskSpec, need_of
from anchor.core.spec_faults import faults_in
from anchor.core.task import State
from anchor.core.verification import Verify, faults_in_policy, policy_of
from anchor.orchestrator.explain import absent, only_waits, unsuited
from anchor.orchestrator.world import World
from anchor.ports.store import PULSE_MINUTES

REASONS_MAX = 10
FAULTS_MAX = 20


class Unfit(msgspec.Struct, frozen=True, rename="camel"):
    """So many nodes could not run it, and the first thing they lack, as it goes on after a node's name."""

    reason: str
    nodes: int


class Fit(msgspec.Struct, frozen=True, rename="camel"):
    """Of `nodes` known ones, `online` are connected, `fit` could run the task as they are, and `free_now` of those
    have room for it at this moment. `copies` run at first (1 where nothing is checked), each with another owner or,
    where the policy allows, on another node: `apart` is how many such there are among those that fit. `likely_wait_ms`
    is a guess from the last minutes; null where there is nothing to guess from, or it would wait for a node to join.
    `reasons` says why the others do not fit, the most frequent first; `faults` are the rules that the task breaks.
    """

    nodes: int
    online: int
    fit: int
    free_now: int
    copies: int
    apart: int
    likely_wait_ms: int | None
    reasons: list[Unfit]
    faults: list[Fault]


async def fit(world: World, spec: TaskSpec) -> Fit:
    """Compare a task with every known node. Nothing is written."""
    faults = faults_in(spec, "")
    policy = policy_of(spec.verify)
    if policy is not None and faults_in_policy(policy, ""):
        policy = None
    need = _need(spec, policy, faults)
    now = world.clock.now()
    nodes = await world.store.nodes()
    online = fitting = free = 0
    reasons: Counter[str] = Counter()
    places: set[str] = set()
    for node in nodes:
        online += node.status is not Status.BLOCKED and is_connected(node, now=now)
        seat = world.fleet.seat(node.id)
        found = [
            *unsuited(node, need, seat.load if seat is not None else 0.0),
            *absent(world, node, need, now),
        ]
        if not only_waits(found):
            reasons[found[0].text] += 1
            continue
        fitting += 1
        free += not found
        places.add(node.id if policy is not None and policy.same_owner else node.owner)
    copies = 1 if policy is None or policy.policy == "adaptive" else policy.copies
    wait = await _likely_wait(world, now, free=free, copies=copies) if fitting and len(places) >= copies else None
    told = [Unfit(reason, count) for reason, count in reasons.most_common(REASONS_MAX)]
    return Fit(len(nodes), online, fitting, free, copies, len(places), wait, told, faults[:FAULTS_MAX])


def _need(spec: TaskSpec, policy: Verify | None, faults: list[Fault]) -> Need:
    """What its copies, or itself, ask of a node; an expression that means nothing asks for nothing."""
    if any(fault.pointer == "/requirements/expression" for fault in faults):
        spec = replace(spec, requirements=replace(spec.requirements, expression=""))
    need = need_of(spec)
    return need if policy is None else replace(need, features=(*need.features, "seals"))


async def _likely_wait(world: World, now: int, *, free: int, copies: int) -> int | None:
    """None at all where there is room; else as long as what waits before it takes at the pace of the last minutes."""
    if free >= copies:
        return 0
    ended = sum((await world.store.pulse(None, now)).ended.values())
    if not ended:
        return None
    waiting = (await world.store.counts(None)).get(State.QUEUED, 0)
    return round((waiting + copies - free) * PULSE_MINUTES * 60_000 / ended)
