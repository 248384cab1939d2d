"""What agents say of the replicas they run is taken into the truth; what they run and should not, or lack, is told."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from anchor.core.app import App, Replica, ReplicaState
from anchor.core.app_sightings import Sighting, told
from anchor.core.attempt import Reason
from anchor.orchestrator.apps.advance import rewrite
from anchor.orchestrator.apps.hosting import tell
from anchor.orchestrator.apps.refresh import reread
from anchor.orchestrator.world import World
from anchor.wire.link import ReplicaStatus

REASON_LENGTH_MAX = 8_000
"""Characters of a reason, which holds the last lines of a log."""
HINT_LENGTH_MAX = 1_000
CODE_LENGTH_MAX = 60
TELL_AGAIN_MS = 1_000
"""A node that does not run what it should is told so at most this often: it takes a moment to do as told."""


async def observed(world: World, node: str, session: int, statuses: Sequence[ReplicaStatus]) -> None:
    """Take in what a node has: every replica, so that what it leaves out it does not have.

    Of a session that is over nothing is believed.
    """
    if world.fleet.seat(node, session) is None:
        return
    said = {(one.app, one.generation): one for one in statuses}
    if not world.sole_writer and said.keys() - _expected(world, node).keys():
        await tell(world, await reread(world))
    sightings: defaultdict[int, list[Sighting]] = defaultdict(list)
    for one in statuses:
        sightings[one.app].append(_sighting(one))
    for app_id in sorted({app.id for app, _ in world.apps.on(node)}):
        app = world.apps.get(app_id)
        mine = sightings.get(app_id, [])
        if app is not None and told(app, node, mine, world.clock.now()) is not app:
            await rewrite(world, app_id, partial(_told, world, node, mine))
    _note_figures(world, node, statuses)
    if _is_amiss(said, _expected(world, node)) and world.apps.told_at.get(node, 0) + TELL_AGAIN_MS <= world.clock.now():
        await tell(world, [node])


def _told(world: World, node: str, sightings: Sequence[Sighting], app: App) -> App:
    return told(app, node, sightings, world.clock.now())


def _expected(world: World, node: str) -> dict[tuple[int, int], Replica]:
    return {(app.id, replica.generation): replica for app, replica in world.apps.on(node)}


def _is_amiss(said: dict[tuple[int, int], ReplicaStatus], expected: dict[tuple[int, int], Replica]) -> bool:
    """Whether a node has something else than it should, or does not drain what it should."""
    has = {key for key, one in said.items() if one.state not in ("stopped", "failed")}
    if has != expected.keys():
        return True
    return any(one.state is ReplicaState.DRAINING and said[key].state != "draining" for key, one in expected.items())


def _sighting(one: ReplicaStatus) -> Sighting:
    state = None if one.state == "stopped" else ReplicaState(one.state)
    return Sighting(one.generation, state, one.restarts, _bounded(one.reason), one.lock, one.prepared)


def _bounded(reason: Reason | None) -> Reason | None:
    """What a node gives for a reason, no longer than it may be kept."""
    if reason is None:
        return None
    message, hint = reason.message[:REASON_LENGTH_MAX], reason.hint[:HINT_LENGTH_MAX]
    return Reason(reason.code[:CODE_LENGTH_MAX], message, hint)


def _note_figures(world: World, node: str, statuses: Sequence[ReplicaStatus]) -> None:
    """Remember what each replica uses, of those that are this node's to speak of."""
    for app, replica in world.apps.on(node):
        figures = world.apps.figures.setdefault(app.id, {})
        live = {one.generation for one in app.replicas}
        for generation in [generation for generation in figures if generation not in live]:
            del figures[generation]
        for one in statuses:
            if (one.app, one.generation) == (app.id, replica.generation):
                figures[one.generation] = (one.cpu, one.memory_mib)
