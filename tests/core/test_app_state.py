"""How an app is doing, in one word with its reason, for what may be in its document."""

import pytest

from anchor.core.app import App, AppConfig, Plan, Release, ReleaseState, Replica, ReplicaState
from anchor.core.attempt import Reason
from anchor.orchestrator.apps.view import state_of

FULL = Reason("no_node", "No node fits.")
LIVE = Release(
    number=1,
    source="s",
    config=AppConfig(),
    plan=Plan(kind="node", processes={"web": "serve"}),
    created_at=0,
    by="o",
    state=ReleaseState.LIVE,
    settled=True,
)


@pytest.mark.parametrize(
    ("states", "word"),
    [
        ("healthy", "running"),
        ("healthy unplaced", "running"),
        ("starting", "degraded"),
        ("unhealthy unplaced", "degraded"),
        ("draining starting", "degraded"),
        ("draining unplaced", "failed"),
        ("unplaced", "failed"),
        ("failed", "failed"),
    ],
)
def test_an_app_has_failed_only_where_nothing_of_it_is_under_way_any_more(states: str, word: str) -> None:
    replicas = tuple(
        Replica(
            process="web",
            index=0,
            generation=number,
            release=1,
            since=0,
            state=ReplicaState(state),
            reason=FULL if state in ("unplaced", "failed") else None,
        )
        for number, state in enumerate(states.split(), 1)
    )
    app = App(id=1, name="a", title="A", owner="o", created_at=0, releases=(LIVE,), live=1, replicas=replicas)
    seen = state_of(app)
    assert seen.state == word
    assert seen.reason == (FULL if "unplaced" in states or "failed" in states else None)
