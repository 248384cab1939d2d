"""Deliberate mistakes with apps, planted as the others are."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from anchor.core import app_sightings, rollout
from anchor.core.app import App, Place, Release, Replica, ReplicaState
from anchor.core.app_placement import NodeFacts
from anchor.core.app_sightings import Sighting
from anchor.orchestrator.apps import advance, observe
from anchor.orchestrator.world import World
from anchorsim import server
from anchorsim.planted import Bug


def _leave_all(draft: rollout._Draft, place: Place, releases: list[Release]) -> None:
    """The old one goes on beside the new one."""


def _smallest_free(draft: rollout._Draft) -> int:
    taken = {one.generation for one in draft.all()}
    return next(number for number in range(1, len(taken) + 2) if number not in taken)


def _whatever_it_says(replica: Replica, sighting: Sighting, now: int) -> Replica | None:
    """What drains may come back."""
    return replica if sighting.state is None else replace(replica, state=sighting.state, reason=None, since=now)


def _told_by_anybody(app: App, node: str, sightings: Iterable[Sighting], now: int) -> App:
    """What is healthy on one node is so on all."""
    said = list(sightings)
    app = app_sightings.told(app, node, said, now)
    if not any(one.state is ReplicaState.HEALTHY for one in said):
        return app
    replicas = tuple(
        replace(one, state=ReplicaState.HEALTHY) if one.state is ReplicaState.PLACED else one for one in app.replicas
    )
    return app if replicas == app.replicas else replace(app, replicas=replicas)


def _live_unproved(draft: rollout._Draft, place: Place, release: Release) -> bool:
    return True


async def _no_sweep(world: World, now: int) -> None:
    await world.store.apps_due(now, 1)


def _step_without_waking(app: App, nodes: Sequence[NodeFacts], now: int, *, patient: bool = False) -> App:
    new = rollout.step(app, nodes, now, patient=patient)
    return new if new is app else replace(new, wake_at=None)


def _bug(name: str, *caught_by: int | str, patches: Sequence[Any]) -> Bug:
    return Bug(name, frozenset(caught_by), tuple(patches))


APP_BUGS = (
    _bug("the old generation serves on beside the new one", 19, patches=[(rollout._Draft, "_leave_few", _leave_all)]),
    _bug("a generation is given out again", 19, patches=[(rollout._Draft, "_next_generation", _smallest_free)]),
    _bug("a draining replica comes back", 6, 19, patches=[(app_sightings, "_seen", _whatever_it_says)]),
    _bug("a node speaks for another's replica", 19, patches=[(observe, "told", _told_by_anybody)]),
    _bug(
        "a release is live before it is healthy", 6, "release",
        patches=[(rollout._Draft, "_has_healthy", _live_unproved)],
    ),
    _bug("apps are never looked at again", 6, patches=[(server, "sweep", _no_sweep)]),
    _bug("an app with replicas sleeps for ever", 15, patches=[(advance, "step", _step_without_waking)]),
)  # fmt: skip
"""Every planted bug with apps and the invariants that may be the first to find it."""
