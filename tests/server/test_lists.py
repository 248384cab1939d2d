"""Lists: stable under inserts, bounded, filtered, and with a link to what comes next."""

import datetime
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from puppet import Puppet, success
from served import Served

NOWHERE = {"requirements": {"labels": ["nowhere"]}}


def walk(client: httpx.Client, **query: str | int) -> list[list[str]]:
    """The ids of every page, following the links."""
    pages: list[list[str]] = []
    answer = client.get("/api/tasks", params=query)
    while True:
        assert answer.status_code == 200, answer.text
        pages.append([task["id"] for task in answer.json()])
        if "next" not in answer.links:
            return pages
        answer = client.get(answer.links["next"]["url"])


def test_a_list_is_newest_first_and_its_pages_fit_together(server: Served) -> None:
    made = [server.submit(labels=["pages"], **NOWHERE) for _ in range(7)]
    pages = walk(server.client, limit=3, label="pages")
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [task for page in pages for task in page] == made[::-1]


def test_tasks_that_come_while_somebody_reads_neither_repeat_nor_hide_any(server: Served) -> None:
    made = [server.submit(**NOWHERE) for _ in range(6)]
    seen: list[str] = []
    answer = server.client.get("/api/tasks", params={"limit": 2})
    seen += [task["id"] for task in answer.json()]
    while made[0] not in seen:
        for _ in range(3):
            server.submit(**NOWHERE)
        answer = server.client.get(answer.links["next"]["url"])
        seen += [task["id"] for task in answer.json()]
    assert seen == made[::-1]


def test_filters_stay_in_the_link_whatever_they_contain(server: Served) -> None:
    label = 'a&b=c d/ü"<>%23+;'
    made = [server.submit(labels=[label, "other"], **NOWHERE) for _ in range(3)]
    server.submit(labels=["other"], **NOWHERE)
    server.client.post(f"/api/tasks/{made[0]}/cancel")
    answer = server.client.get("/api/tasks", params={"limit": 1, "label": label, "state": "queued"})
    asked = parse_qs(urlsplit(answer.links["next"]["url"]).query)
    assert (asked["label"], asked["state"], asked["limit"]) == ([label], ["queued"], ["1"])
    assert walk(server.client, limit=1, label=label, state="queued") == [[made[2]], [made[1]]]
    assert walk(server.client, label="nobody has this") == [[]]


def test_states_are_counted_exactly(own_server: Served) -> None:
    made = [own_server.submit(**NOWHERE) for _ in range(5)]
    for task in made[:2]:
        own_server.client.post(f"/api/tasks/{task}/cancel")
    totals = {
        state: own_server.client.get("/api/tasks", params={"state": state, "limit": 1}).headers["x-total-count"]
        for state in ("queued", "cancelled", "succeeded", "running")
    }
    assert totals == {"queued": "3", "cancelled": "2", "succeeded": "0", "running": "0"}
    assert own_server.tasks() == 5
    stats = own_server.client.get("/api/queue/stats").json()
    assert (stats["tasks"]["waiting"], stats["tasks"]["cancelled"]) == (3, 2)
    assert set(stats) == {"tasks", "dag", "consensus"}


def test_a_queue_says_how_old_its_oldest_is_and_how_it_moves(own_server: Served) -> None:
    idle = own_server.client.get("/api/queue/stats").json()
    assert idle["tasks"] == idle["dag"] == idle["consensus"]
    assert (idle["dag"]["oldestWaitingSeconds"], idle["dag"]["completedPerMinute"]) == (None, 0.0)
    first = own_server.submit(**NOWHERE)
    own_server.submit(**NOWHERE)
    submitted = datetime.datetime.fromisoformat(own_server.task(first)["createdAt"])
    tasks = own_server.client.get("/api/queue/stats").json()["tasks"]
    age = (datetime.datetime.now(datetime.UTC) - submitted).total_seconds()
    assert age - 5 < tasks["oldestWaitingSeconds"] <= age
    assert tasks["oldestActiveSeconds"] is None
    with Puppet(own_server).connect() as session:
        held = own_server.submit()
        [item] = session.assigned()
        assert 0 <= own_server.client.get("/api/queue/stats").json()["tasks"]["oldestActiveSeconds"] < 5
        session.report([success(item)])
        answer = own_server.client.get(f"/api/tasks/{held}/result", params={"wait": 20})
        assert answer.json()["state"] == "succeeded"
    tasks = own_server.client.get("/api/queue/stats").json()["tasks"]
    assert (tasks["oldestActiveSeconds"], tasks["completed"]) == (None, 1)
    # The minute has to be over before it counts.
    assert tasks["completedPerMinute"] in {0.0, 0.2}


@pytest.mark.parametrize("limit", [1, 1000])
def test_the_bounds_of_a_page_are_allowed(server: Served, limit: int) -> None:
    server.submit(**NOWHERE)
    assert server.client.get("/api/tasks", params={"limit": limit}).status_code == 200


def test_a_list_of_machines_says_how_many_there_are(server: Served) -> None:
    assert server.client.get("/api/nodes").headers["x-total-count"] == "0"
