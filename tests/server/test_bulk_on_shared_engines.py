"""Many tasks are cancelled at once on MongoDB and Redis, and the server dies in the middle of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from puppet import Puppet
from served import Served
from tests.engines.mongo import MongoEngine
from tests.engines.valkey import running_valkey

from anchor.core.ids import wire_id
from anchor.wire import link

MANY = 530
PER_REQUEST = 500
PATIENCE_SECONDS = 120.0
"""The emulator is slow where its machine is busy."""
SECRET = "correct horse battery staple"
Settings = dict[str, Any]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Settings]:
    """What servers on the same engines are set to."""
    mongo = MongoEngine(tmp_path / "mongo", syncs=False)  # the engines are not what dies
    mongo.start()
    try:
        with running_valkey(tmp_path / "valkey") as valkey:
            yield {"store": mongo.url, "queue": valkey.url, "secret": SECRET}
    finally:
        mongo.kill()


def cancelled(server: Served) -> dict[str, int]:
    """What it comes to when all of that name are cancelled, asked for page after page as the dashboard does."""
    done = failed = 0
    cursor = None
    while True:
        body = {"action": "cancel", "filter": {"name": "noise"}, "cursor": cursor}
        answer = server.client.post("/api/tasks/bulk", json=body, timeout=120)
        assert answer.status_code == 200, answer.text
        outcome = answer.json()
        done, failed, cursor = done + outcome["done"], failed + len(outcome["failed"]), outcome["cursor"]
        if cursor is None:
            return {"done": done, "failed": failed}


def by_state(server: Served) -> dict[str, int]:
    """How many tasks there are in each state that has any."""
    counts = server.client.get("/api/tasks/counts", timeout=120).json()["counts"]
    return {state: count for state, count in counts.items() if count}


def started(directory: Path, **settings: Any) -> Served:
    """A server that is up."""
    directory.mkdir()
    server = Served(directory, **settings)
    server.start()
    return server


@pytest.mark.timeout(300)
def test_a_cancel_of_many_that_died_half_way_is_finished_by_another_server(tmp_path: Path, shared: Settings) -> None:
    # It dies when the first request's are written, and nobody was told of them.
    dying = started(tmp_path / "one", test_failpoint="cancel.all_written", **shared)
    wish = {"name": "noise", "type": "noop", "requirements": {"labels": ["here"]}}
    for count in (PER_REQUEST, MANY - PER_REQUEST):
        answer = dying.client.post("/api/tasks", json=[wish] * count, timeout=120)
        assert answer.status_code == 201, answer.text
    with pytest.raises(httpx.TransportError):
        cancelled(dying)
    dying.kill()
    server = started(tmp_path / "two", **shared)
    assert by_state(server) == {"cancelled": PER_REQUEST, "queued": MANY - PER_REQUEST}
    assert cancelled(server) == {"done": MANY - PER_REQUEST, "failed": 0}
    assert by_state(server) == {"cancelled": MANY}
    # What was cancelled is given to nobody, though Redis had it first.
    task = server.submit(**wish)
    with Puppet(server, name="Here", slots=MANY, labels=("here",)).connect() as session:
        given = session.next(link.Assign, PATIENCE_SECONDS).items
    assert [wire_id("task", item.task) for item in given] == [task]
    server.stop()
    server.end()
