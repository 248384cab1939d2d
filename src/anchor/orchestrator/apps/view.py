"""How an app is doing, in one word, and why."""

from typing import Literal, NamedTuple

from anchor.core.app import App, ReplicaState, Wanted, is_run, places_of
from anchor.core.attempt import Reason
from anchor.core.rollout import pending_of

State = Literal["deploying", "running", "degraded", "failed", "stopping", "stopped", "removing"]


class AppState(NamedTuple):
    """One word, and the reason where there is something to say."""

    state: State
    reason: Reason | None


def state_of(app: App) -> AppState:
    """`deploying` while a release is on its way out (or more replicas are); then `running` with all that is wanted,
    `degraded` with a part of it (or nothing for the moment), `failed` with nothing until something changes. A failed
    release is the reason of whatever goes on after it."""
    if app.wanted is Wanted.REMOVED:
        return AppState("removing", None)
    if app.wanted is Wanted.STOPPED:
        return AppState("stopping" if app.replicas else "stopped", None)
    live, pending = app.release(app.live), pending_of(app.releases)
    trouble = _trouble(app)
    if pending is not None:
        return AppState("deploying", trouble)
    if live is None:
        return AppState("failed", app.reason)
    healthy = {one.place for one in app.replicas if one.state is ReplicaState.HEALTHY}
    missing = [place for place in places_of(live) if place not in healthy]
    if not missing:
        return AppState("running" if live.settled else "deploying", app.reason or trouble)
    under_way = {one.place for one in app.replicas if is_run(one) and one.state is not ReplicaState.DRAINING}
    stuck = any(not is_run(one) for one in app.replicas if one.place in missing and one.place not in under_way)
    if not live.settled and not stuck:
        return AppState("deploying", app.reason or trouble)
    return AppState("failed" if stuck and not healthy else "degraded", trouble or app.reason)


def _trouble(app: App) -> Reason | None:
    """What the first replica that is not as it should be says."""
    states = (ReplicaState.FAILED, ReplicaState.UNPLACED, ReplicaState.UNHEALTHY)
    said = [one for one in app.replicas if one.reason is not None and one.state is not ReplicaState.DRAINING]
    said.sort(key=lambda one: (one.state not in states, one.generation))
    return said[0].reason if said else None
