"""Finding tasks among many, counting them, and doing something to all that were found."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from puppet import Puppet, success
from served import Served, assert_problem

from anchor.core.access import Role

NOWHERE = {"requirements": {"labels": ["nowhere"]}}


def many(server: Served, count: int, **spec: object) -> list[str]:
    """As many tasks in one request, oldest first."""
    wish = {"name": "t", "type": "noop", **NOWHERE, **spec}
    return [one["id"] for one in server.client.post("/api/tasks", json=[wish] * count).json()]


def found(client: httpx.Client, **query: str | int) -> list[str]:
    """The ids of one page."""
    answer = client.get("/api/tasks", params=query)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()]


def in_bulk(client: httpx.Client, action: str, key: str = "", **wish: object) -> dict[str, Any]:
    """What a bulk did."""
    headers = {"Idempotency-Key": key} if key else {}
    answer = client.post("/api/tasks/bulk", json={"action": action, **wish}, headers=headers)
    assert answer.status_code == 200, answer.text
    outcome: dict[str, Any] = answer.json()
    return outcome


def test_filters_are_and_and_counted_exactly(own_server: Served) -> None:
    renders = many(own_server, 5, name="Render part", labels=["film"])
    others = many(own_server, 4, name="sum", labels=["film"])
    script = own_server.submit(
        type="script", name="render 2", payload={"language": "javascript", "sourceCode": "1"}, **NOWHERE
    )
    client = own_server.client
    client.post(f"/api/tasks/{renders[0]}/cancel")
    assert found(client, name="RENDER") == [script, *renders[::-1]]
    assert found(client, name="render", label="film", state="queued") == renders[:0:-1]
    assert found(client, runtime="isolated-vm") == [script]
    assert found(client, name="render", limit=2, offset=3) == [renders[2], renders[1]]
    answer = client.get("/api/tasks", params={"name": "render", "limit": 1})
    assert (answer.headers["x-total-count"], len(answer.json())) == ("6", 1)
    submitted = own_server.task(others[0])["createdAt"]
    assert set(found(client, since=submitted)) >= {script, *others}
    assert script not in found(client, until=submitted)
    counts = client.get("/api/tasks/counts", params={"label": "film", "before": renders[-1]}).json()
    assert (counts["total"], counts["counts"]["queued"], counts["counts"]["cancelled"]) == (9, 8, 1)
    assert counts["newer"] == {"queued": 4}
    whole = client.get("/api/tasks/counts").json()
    assert whole["total"] == sum(whole["counts"].values()) == 10
    assert found(client, ids=f"{others[0]},{renders[1]}") == [others[0], renders[1]]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"since": "yesterday"}, "invalid_time"),
        ({"run": "task_0000000000000"}, "invalid_run"),
        ({"offset": -1}, "invalid_query"),
        ({"state": "asleep"}, "invalid_state"),
        ({"ids": ",".join(["task_0000000000000"] * 101)}, "invalid_request"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(server: Served, query: dict[str, str | int], code: str) -> None:
    assert_problem(server.client.get("/api/tasks", params=query), 400, code)


def test_a_bulk_treats_what_fits_and_nothing_else(own_server: Served) -> None:
    wanted, others = many(own_server, 1204, name="noise"), many(own_server, 3, name="keep")
    client = own_server.client
    before, later = wanted[-1], many(own_server, 2, name="noise")
    client.post(f"/api/tasks/{wanted[7]}/cancel")
    outcomes, cursor = [], None
    while cursor is not None or not outcomes:
        outcomes.append(in_bulk(client, "cancel", filter={"name": "noise"}, before=before, cursor=cursor))
        cursor = outcomes[-1]["cursor"]
    assert [(one["matched"], one["done"], one["unchanged"], one["failed"]) for one in outcomes] == [
        (500, 500, 0, []),
        (500, 500, 0, []),
        (204, 203, 1, []),
    ]
    assert set(found(client, state="queued", limit=1000)) == {*others, *later}
    entries = client.get("/api/audit", params={"kind": "tasks_cancelled"}).json()
    assert len(entries) == 3
    assert f"cancelled 203 tasks that fit name:noise, from {wanted[203]} to {wanted[0]}" in entries[0]["message"]


def test_those_that_are_named_are_treated_and_each_failure_is_told(own_server: Served) -> None:
    own, client = many(own_server, 2), own_server.client
    gone = "task_0000000000000"
    outcome = in_bulk(client, "cancel", ids=[*own, gone, gone])
    assert (outcome["matched"], outcome["done"], outcome["unchanged"]) == (3, 2, 0)
    assert [(one["id"], one["code"]) for one in outcome["failed"]] == [(gone, "not_found")]
    assert_problem(client.post("/api/tasks/bulk", json={"action": "cancel"}), 400, "invalid_request")


def test_running_again_is_done_once_for_one_key_even_over_a_crash(own_server: Served) -> None:
    made, alive = many(own_server, 6, name="again"), many(own_server, 1, name="again")
    client = own_server.client
    assert in_bulk(client, "cancel", ids=made)["done"] == 6
    wish = {"filter": {"name": "again"}, "before": alive[0]}
    first = in_bulk(client, "retry", key="k", **wish)
    assert (first["matched"], first["done"], first["unchanged"], first["cursor"]) == (7, 6, 1, None)
    own_server.kill()
    own_server.start()
    second = in_bulk(own_server.client, "retry", key="k", **wish)
    assert second["done"] == 6
    tasks = [own_server.task(one) for one in found(own_server.client, state="queued", name="again")]
    assert sorted(task["retryOf"] for task in tasks if task["retryOf"]) == made
    answer = own_server.client.post(
        "/api/tasks/bulk", json={"action": "retry", "ids": made}, headers={"Idempotency-Key": "k"}
    )
    assert_problem(answer, 422, "idempotency_key_reused")


def test_behind_the_last_id_that_there_can_be_is_nothing(own_server: Served) -> None:
    [task], last = many(own_server, 1), {"before": "task_7zzzzzzzzzzzz"}
    counted = own_server.client.get("/api/tasks/counts", params=last | {"name": "t"})
    assert counted.status_code == 200, counted.text
    assert in_bulk(own_server.client, "cancel", filter={}, **last)["done"] == 1
    assert own_server.client.get(f"/api/tasks/{task}").json()["state"] == "cancelled"


def test_a_bulk_that_died_half_way_is_finished_and_repeats_nothing(tmp_path: Path) -> None:
    # The first time is the submit itself; the second, the first fifty that are run again.
    dying = Served(tmp_path, test_failpoint="submit.inserted:3")
    dying.start()
    made = many(dying, 120, name="again")
    assert in_bulk(dying.client, "cancel", filter={})["done"] == 120
    wish = {"action": "retry", "filter": {"name": "again"}}
    with pytest.raises(httpx.TransportError):
        dying.client.post("/api/tasks/bulk", json=wish, headers={"Idempotency-Key": "k"})
    dying.kill()
    server = Served(tmp_path)
    server.start()
    assert 50 <= len(found(server.client, state="queued", limit=1000)) < 120
    outcome = in_bulk(server.client, "retry", key="k", filter={"name": "again"})
    assert (outcome["done"], outcome["cursor"]) == (120, None)
    rows = found(server.client, state="queued", limit=1000)
    assert sorted(server.task(one)["retryOf"] for one in rows) == made
    server.stop()
    server.end()


def test_what_comes_between_two_tries_of_a_bulk_is_neither_lost_nor_done_twice(tmp_path: Path) -> None:
    # Three requests make the tasks; then fifty at a time are run again, and the ninth fifty are the last.
    dying = Served(tmp_path, test_failpoint="submit.inserted:12")
    dying.start()
    old, late = [*many(dying, 260), *many(dying, 260)], many(dying, 100)
    assert in_bulk(dying.client, "cancel", filter={}, before=old[-1])["done"] == 500
    assert in_bulk(dying.client, "cancel", ids=old[:20])["done"] == 20
    wish = {"filter": {"state": "cancelled"}, "before": late[-1]}
    with pytest.raises(httpx.TransportError):
        dying.client.post("/api/tasks/bulk", json={"action": "retry", **wish}, headers={"Idempotency-Key": "k"})
    dying.kill()
    server = Served(tmp_path)
    server.start()
    assert in_bulk(server.client, "cancel", ids=late)["done"] == 100
    outcome = in_bulk(server.client, "retry", key="k", **wish)
    assert (outcome["matched"], outcome["done"], len(outcome["failed"])) == (550, 500, 50)
    rest = in_bulk(server.client, "retry", key="l", cursor=outcome["cursor"], **wish)
    assert (rest["done"], rest["cursor"]) == (70, None)
    again = in_bulk(server.client, "retry", key="m", ids=[one["id"] for one in outcome["failed"]])
    assert again["done"] == 50
    rows = found(server.client, state="queued", limit=1000)
    assert sorted(server.task(one)["retryOf"] for one in rows) == sorted([*old, *late])
    server.stop()
    server.end()


def test_a_page_that_had_nothing_to_run_again_leads_on_when_it_is_asked_for_twice(own_server: Served) -> None:
    over = many(own_server, 3)
    assert in_bulk(own_server.client, "cancel", filter={})["done"] == 3
    alive = many(own_server, 500)
    wish = {"filter": {"name": "t"}, "before": alive[-1]}
    first, second = [in_bulk(own_server.client, "retry", key="k", **wish) for _ in range(2)]
    assert first == second
    assert (first["matched"], first["done"]) == (500, 0)
    assert in_bulk(own_server.client, "retry", key="l", cursor=first["cursor"], **wish)["done"] == len(over)


def test_a_submitter_treats_its_own_tasks_only(own_server: Served) -> None:
    theirs = many(own_server, 2)
    with own_server.as_holder_of(own_server.key("ann", Role.SUBMITTER)) as ann:
        mine = [one["id"] for one in ann.post("/api/tasks", json=[{"name": "t", "type": "noop", **NOWHERE}]).json()]
        assert found(ann) == mine
        assert ann.get("/api/tasks/counts").json()["total"] == 1
        assert_problem(ann.get("/api/tasks", params={"owner": "local"}), 403, "forbidden")
        assert found(ann, ids=theirs[0]) == []
        assert in_bulk(ann, "cancel", ids=theirs)["failed"][0]["code"] == "not_found"
        assert in_bulk(ann, "cancel", filter={})["done"] == 1
    assert len(found(own_server.client, state="queued")) == 2
    assert found(own_server.client, owner="ann") == mine


def test_what_runs_is_cancelled_by_way_of_its_node(own_server: Served) -> None:
    puppet = Puppet(own_server)
    with puppet.connect() as session:
        task = own_server.submit(name="held")
        [item] = session.assigned()
        assert found(own_server.client, node=puppet.node) == [task]
        assert in_bulk(own_server.client, "cancel", filter={"name": "held"})["done"] == 1
        assert own_server.task(task)["state"] == "cancelling"
        session.report([success(item)])
        answer = own_server.client.get(f"/api/tasks/{task}/result", params={"wait": 20})
        assert answer.json()["state"] == "cancelled"
