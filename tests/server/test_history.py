"""How it went: endings are exact, the rest is sampled, and nobody is told of what is not theirs to see."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from puppet import Puppet, failure, success
from served import ELSEWHERE, Served

from anchor.core.task import State
from anchor.server.history import MINUTES_KEPT, History


@pytest.mark.parametrize("minutes", [30, 60, 360, 1440])
def test_what_ended_is_in_the_history_at_once_and_exactly(server: Served, minutes: int) -> None:
    server.submit(requirements={"labels": ["nobody has this"]})
    puppet = Puppet(server, slots=8, labels=(f"history-{minutes}",))
    for _ in range(3):
        server.submit(requirements={"labels": [f"history-{minutes}"]}, retry={"attempts": 1})
    with puppet.connect() as session:
        first, *others = session.assigned(3)
        session.report([failure(first, "user_error"), *(success(item) for item in others)])
        until = time.monotonic() + 10
        while (queue := server.client.get("/api/queue/stats").json()["tasks"])["active"] and time.monotonic() < until:
            time.sleep(0.02)
        history = server.client.get("/api/queue/history", params={"minutes": minutes}).json()
    points = history["points"]
    assert (len(points), history["stepSeconds"]) == (min(60, minutes), max(60, minutes))
    assert (sum(one["done"] for one in points), sum(one["failed"] for one in points)) == (
        queue["completed"],
        queue["failed"],
    )
    assert queue["failed"] > 0
    now = points[-1]
    assert (now["running"], now["waiting"]) == (0, queue["waiting"] + queue["delayed"])
    assert now["medianWaitMs"] is not None
    assert now["nodes"] >= 1
    assert points[0]["running"] is None  # this server did not run then
    assert history["since"] > points[0]["at"]


def test_another_length_is_refused_with_those_there_are(server: Served) -> None:
    answer = server.client.get("/api/queue/history", params={"minutes": 31})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_query")


def test_a_submitter_is_told_of_its_own_tasks_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    guarded = Served(tmp_path_factory.mktemp("guarded"), host=ELSEWHERE)
    guarded.start()
    try:
        guarded.submit()
        with guarded.as_holder_of(guarded.key("eve", "submitter")) as eve:
            newest = eve.get("/api/queue/history").json()["points"][-1]
        assert (newest["waiting"], newest["medianWaitMs"]) == (0, None)
        assert guarded.client.get("/api/queue/history").json()["points"][-1]["waiting"] == 1
    finally:
        guarded.end()


def test_a_sample_is_what_there_is_and_a_day_of_them_is_kept() -> None:
    async def counts(_: str | None) -> dict[State, int]:
        return dict.fromkeys(State, 0) | {State.LEASED: 2, State.QUEUED: 3, State.BACKOFF: 1}

    async def nodes() -> list[Any]:
        return []

    world: Any = SimpleNamespace(
        clock=SimpleNamespace(now=lambda: 90_000), store=SimpleNamespace(counts=counts, nodes=nodes)
    )
    history = History()

    async def take() -> None:
        for minute in range(MINUTES_KEPT + 5):
            history.keep(await history.sample(world, minute))

    asyncio.run(take())
    kept = history.within(0, MINUTES_KEPT + 5)
    assert len(kept) == MINUTES_KEPT
    assert (kept[0].minute, kept[0].running, kept[0].waiting, kept[0].median_wait_ms) == (5, 2, 4, None)
