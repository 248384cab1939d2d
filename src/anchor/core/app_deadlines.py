"""How long a replica may take for what it is doing, and when an app has to be looked at again."""

from collections.abc import Mapping
from typing import Final

from anchor.core.app import App, AppConfig, Replica, ReplicaState, Wanted, is_run
from anchor.core.attempt import Reason

ANSWER_MS: Final = 60_000
"""A node says of a replica that it has it, or that it can not."""
BUILD_MS: Final = 1_800_000
START_SLACK_MS: Final = 15_000
"""What the node, which knows better, may take beyond `start_seconds` to say that it gives up."""
DRAIN_SLACK_MS: Final = 10_000
LOOK_AGAIN_MS: Final = 15_000
"""A replica without a node is placed at the latest so long after one would fit."""
SILENT_MS: Final = 5_000
"""An app with replicas on a node that is not heard from is looked at so often."""
AGAIN_MS: Final = 30_000
"""How long a place rests on which all nodes were tried; twice as long each time, up to AGAIN_MS_MAX."""
AGAIN_MS_MAX: Final = 600_000
AT_LEAST_MS: Final = 1_000


def limit_of(replica: Replica, config: AppConfig | None) -> int | None:
    """How long a replica may be in its state (ms), where there is a limit."""
    config = config or AppConfig()
    match replica.state:
        case ReplicaState.PLACED:
            return ANSWER_MS
        case ReplicaState.BUILDING:
            return BUILD_MS
        case ReplicaState.STARTING:
            return int(config.start_seconds * 1000) + START_SLACK_MS
        case ReplicaState.DRAINING:
            return int(config.drain_seconds * 1000) + DRAIN_SLACK_MS
        case _:
            return None


def overdue(replica: Replica, config: AppConfig | None, now: int) -> Reason | None:
    """Why a replica has taken too long, where it has."""
    limit = limit_of(replica, config)
    if limit is None or now < replica.since + limit:
        return None
    seconds = f"{limit / 1000:g} seconds"
    match replica.state:
        case ReplicaState.PLACED:
            why = f"{replica.node} did not say within {seconds} that it has the replica."
            return Reason("never_answered", why, f"Look at the agent's log on {replica.node}.")
        case ReplicaState.BUILDING:
            return Reason("build_too_long", f"It was not built within {seconds}.", "Look at its log for what hangs.")
        case ReplicaState.STARTING:
            why = f"It was not healthy within {seconds} of its start on {replica.node}."
            return Reason("never_healthy", why, "Look at its log; raise startSeconds if it needs longer.")
        case _:
            return Reason("never_drained", f"It did not end within {seconds}.")


def again_at(failed: Replica) -> int:
    """When a failed replica's place is tried once more (Unix ms)."""
    return failed.since + min(AGAIN_MS_MAX, AGAIN_MS << min(failed.tries, 10))


def wake_at_of(app: App, leases: Mapping[str, int], now: int) -> int | None:
    """When an app is to be looked at though nothing was heard of it (Unix ms): at the next deadline, retry or end of
    a lease of one of its nodes."""
    moments: list[int] = []
    for replica in app.replicas:
        release = app.release(replica.release)
        limit = limit_of(replica, release.config if release is not None else None)
        if limit is not None:
            moments.append(replica.since + limit)
        if is_run(replica):
            lease_ends = leases.get(replica.node, now) + 1
            moments.append(lease_ends if lease_ends > now else now + SILENT_MS)
        elif replica.state is ReplicaState.FAILED:
            moments.append(again_at(replica))
        else:
            moments.append(now + LOOK_AGAIN_MS)
    if app.wanted is Wanted.REMOVED:
        moments.append(now + LOOK_AGAIN_MS)
    return max(min(moments), now + AT_LEAST_MS) if moments else None
