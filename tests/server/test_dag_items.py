"""Items of a parallel step over the API: counted and found by state, each with why, run again where they failed."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from puppet import Puppet, Session, failure, success
from served import Served, assert_problem

from anchor.core.task import State
from anchor.server.item_views import copy_counts

COUNT = 12
BROKEN = (2, 7)
RUN_SECONDS = 20.0


@pytest.fixture
def puppet(own_server: Served) -> Iterator[Session]:
    with Puppet(own_server, features=("inputs",), slots=COUNT).connect() as session:
        yield session


def each(**fields: Any) -> dict[str, Any]:
    return {
        "id": "each/of them",
        "type": "parallel",
        "items": list(range(COUNT)),
        "retry": {"attempts": 1},
        "payload": {"sourceCode": "return 1", "runtime": "isolate"},
        **fields,
    }


def schedule(client: httpx.Client, *steps: dict[str, Any]) -> str:
    answer = client.post("/api/dags", json={"name": "list", "steps": list(steps)})
    assert answer.status_code == 201, answer.text
    run: str = answer.json()["id"]
    return run


def ask(client: httpx.Client, run: str, what: str = "", **query: Any) -> Any:
    answer = client.get(f"/api/dags/{run}/items{what}", params={"step": "each/of them", **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


def carry_out(puppet: Session, count: int, broken: tuple[int, ...] = ()) -> list[str]:
    """Do so many items, those of `broken` without success; the names of what was done."""
    given = puppet.assigned(count)
    items = [(one, int(one.name.split("[")[1].rstrip("]"))) for one in given]
    puppet.report(
        [failure(one, "script_error", f"{at} broke.") if at in broken else success(one, at) for one, at in items]
    )
    return sorted(one.name for one in given)


def until_over(client: httpx.Client, run: str) -> dict[str, Any]:
    until = time.monotonic() + RUN_SECONDS
    while (view := client.get(f"/api/dags/{run}").json())["state"] in ("running", "cancelling"):
        assert time.monotonic() < until, view
        time.sleep(0.02)
    return dict(view)


def test_what_failed_of_many_is_found_with_why_and_run_again(own_server: Served, puppet: Session) -> None:
    client = own_server.client
    run = schedule(client, each(enough=0.5))
    carry_out(puppet, COUNT, BROKEN)
    assert until_over(client, run)["state"] == "succeeded"
    assert ask(client, run, "/counts") == {"counts": {"succeeded": COUNT - 2, "failed": 2}, "total": COUNT}

    failed = ask(client, run, state="failed")
    assert [one["number"] for one in failed] == list(BROKEN)
    assert failed[0]["reason"]["message"] == "2 broke."
    assert (failed[0]["attempt"], bool(failed[0]["nodeId"])) == (1, True)
    task = client.get(f"/api/tasks/{failed[0]['taskId']}").json()
    assert (task["state"], task["name"]) == ("failed", "each/of them [2]")

    again = client.post(f"/api/dags/{run}/rerun", json={"failedItems": "each/of them"})
    assert again.status_code == 201, again.text
    assert carry_out(puppet, 2) == ["each/of them [2]", "each/of them [7]"]
    second = again.json()["id"]
    assert until_over(client, second)["state"] == "succeeded"
    assert ask(client, second, "/counts")["counts"] == {"succeeded": COUNT}
    # What was taken over was given to nobody.
    assert [one["attempt"] for one in ask(client, second)] == [int(at in BROKEN) for at in range(COUNT)]
    assert client.get(f"/api/tasks/{task['headId']}/result").json()["result"][2] is None


def test_items_are_read_page_by_page_and_from_any_place(own_server: Served, puppet: Session) -> None:
    client = own_server.client
    run = schedule(client, each())
    assert ask(client, run, "/counts")["total"] == COUNT
    found: list[int] = []
    path = f"/api/dags/{run}/items?step=each/of them&limit=5"
    for _ in range(3):
        answer = client.get(path)
        assert answer.headers["x-total-count"] == str(COUNT)
        found += [one["number"] for one in answer.json()]
        path = answer.links.get("next", {}).get("url", "")
    assert (found, path) == (list(range(COUNT)), "")
    assert [one["number"] for one in ask(client, run, offset=10)] == [10, 11]
    puppet.assigned(COUNT)
    until = time.monotonic() + RUN_SECONDS
    while {one["state"] for one in ask(client, run)} != {"running"}:
        assert time.monotonic() < until
    assert ask(client, run, "/counts")["counts"] == {"leased": COUNT}
    assert [one["number"] for one in ask(client, run, state="running", offset=3, limit=2)] == [3, 4]
    assert ask(client, run, state="failed") == []


def test_an_item_that_was_never_made_waits_and_then_is_skipped(server: Served) -> None:
    client = server.client
    run = schedule(client, each(items=[0] * 4_100, requirements={"labels": ["nowhere"]}))
    assert ask(client, run, "/counts") == {"counts": {"queued": 4_000, "waiting": 100}, "total": 4_100}
    assert ask(client, run, offset=4_099)[0]["state"] == "waiting"
    client.post(f"/api/dags/{run}/cancel").raise_for_status()
    assert until_over(client, run)["state"] == "cancelled"
    assert ask(client, run, "/counts")["counts"] == {"cancelled": 4_000, "skipped": 100}
    [last] = ask(client, run, offset=4_099)
    assert (last["number"], last["state"], last["taskId"]) == (4_099, "skipped", None)
    assert len(ask(client, run, state="skipped", limit=1000)) == 100


def test_what_has_no_items_says_so_and_others_see_none(server: Served) -> None:
    client = server.client
    run = schedule(client, each(requirements={"labels": ["nowhere"]}), {"id": "plain"})
    for path in ("", "/counts"):
        where = f"/api/dags/{run}/items{path}"
        assert_problem(client.get(where, params={"step": "plain"}), 404, "not_found", says="no items")
        assert_problem(client.get(where, params={"step": "z"}), 404, "not_found", says="no step 'z'")
        assert_problem(client.get(where), 400, "invalid_query")
        with server.as_holder_of(server.key(f"ben{len(path)}", "submitter")) as ben:
            assert_problem(ben.get(where, params={"step": "each/of them"}), 404, "not_found")
    assert_problem(client.get(f"/api/dags/{run}/items?step=each/of them&state=broken"), 400, "invalid_query")
    client.post(f"/api/dags/{run}/cancel").raise_for_status()
    assert until_over(client, run)["state"] == "cancelled"
    for wrong in ({"failedItems": "plain"}, {"failedItems": "z"}):
        assert_problem(client.post(f"/api/dags/{run}/rerun", json=wrong), 404, "not_found")
    both = {"failedItems": "each/of them", "onlyFailed": True}
    assert_problem(client.post(f"/api/dags/{run}/rerun", json=both), 400, "invalid_request")


@pytest.mark.parametrize(
    ("own", "copy", "counts"),
    [
        (State.SUCCEEDED, State.CANCELLED, False),
        (State.CANCELLED, State.SUCCEEDED, True),
        (State.LEASED, State.SUCCEEDED, True),
        (State.LEASED, State.LEASED, False),
        (State.FAILED, State.LEASED, True),
        (State.FAILED, State.FAILED, False),
        (State.LEASED, State.FAILED, False),
    ],
)
def test_of_two_tasks_the_one_counts_that_was_first_or_still_may_be(own: State, copy: State, counts: bool) -> None:
    assert copy_counts(own, copy) is counts
