"""What a node says of the replicas it runs, taken into the app's document: only of its own, and only of live ones."""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from anchor.core.app import App, Release, Replica, ReplicaState, is_run
from anchor.core.attempt import Reason

STEADY_MS = 60_000
"""A replica that has been healthy for so long is a good one: what its place failed of before is forgotten."""


class Sighting(msgspec.Struct, frozen=True):
    """How a node says that a replica is doing; `state` is None where it has just stopped it. See wire.ReplicaStatus."""

    generation: int
    state: ReplicaState | None
    restarts: int = 0
    reason: Reason | None = None
    lock: str = ""
    prepared: bool = False


def told(app: App, node: str, sightings: Iterable[Sighting], now: int) -> App:
    """The app once a node has listed every replica of it that it has; the same app where that is no news.

    A generation that is not this node's, or not known any more, says nothing: that is the fence. One that drains does
    so to its end, whatever it says; one that its node does not have (any more) is to be started there again.
    """
    seen = {one.generation: one for one in sightings}
    releases = {one.number: one for one in app.releases}
    replicas: list[Replica] = []
    for replica in app.replicas:
        if replica.node != node or not is_run(replica):
            replicas.append(replica)
            continue
        sighting = seen.get(replica.generation)
        after = _seen(replica, sighting, now) if sighting is not None else _missed(replica, now)
        if after is not None:
            replicas.append(after)
        if sighting is not None and replica.release in releases:
            releases[replica.release] = _learnt(releases[replica.release], sighting)
    if tuple(replicas) == app.replicas and tuple(releases.values()) == app.releases:
        return app
    return replace(app, replicas=tuple(replicas), releases=tuple(releases.values()))


def _seen(replica: Replica, sighting: Sighting, now: int) -> Replica | None:
    if replica.state is ReplicaState.DRAINING:
        return None if sighting.state in (None, ReplicaState.FAILED) else replica
    if sighting.state is None or sighting.state is ReplicaState.DRAINING:
        return _missed(replica, now)
    reason = sighting.reason
    if reason is None and sighting.state is not ReplicaState.HEALTHY:
        reason = replica.reason
    same = sighting.state is replica.state
    seen = replace(
        forgiven(replica, now) if not same else replica,
        state=sighting.state,
        since=replica.since if same else now,
        restarts=sighting.restarts,
        reason=reason,
    )
    return replica if seen == replica else seen


def _missed(replica: Replica, now: int) -> Replica | None:
    """A replica that its node does not have: it has drained, or is to be started there (again)."""
    if replica.state is ReplicaState.DRAINING:
        return None
    if replica.state is ReplicaState.PLACED:
        return replica
    return replace(forgiven(replica, now), state=ReplicaState.PLACED, since=now)


def forgiven(replica: Replica, now: int) -> Replica:
    """A replica at the end of its state: after a steady time in health nothing is held against its place."""
    if replica.state is ReplicaState.HEALTHY and now - replica.since >= STEADY_MS:
        return replace(replica, tries=0, avoided=())
    return replica


def _learnt(release: Release, sighting: Sighting) -> Release:
    lock = release.lock or sighting.lock
    prepared = release.prepared or sighting.prepared
    if (lock, prepared) == (release.lock, release.prepared):
        return release
    return replace(release, lock=lock, prepared=prepared)
