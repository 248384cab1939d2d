"""Graphs over the API: what is accepted and refused, what a run shows at every point, cancelled and run again."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from puppet import Puppet, Session, failure, success
from served import Served, assert_problem

from anchor.core.dag import STEPS_MAX

NOWHERE = {"requirements": {"labels": ["nowhere"]}}
RUN_SECONDS = 20.0


def step(name: str, *after: str, **fields: Any) -> dict[str, Any]:
    """A step that passes its inputs on."""
    return {"id": name, "dependencies": list(after), **fields}


def code(name: str, *after: str, **fields: Any) -> dict[str, Any]:
    """A step that a puppet has to carry out."""
    fields.setdefault("retry", {"attempts": 1})
    return step(name, *after, payload={"sourceCode": "return 1", "runtime": "isolate"}, **fields)


def schedule(client: httpx.Client, *steps: dict[str, Any], **fields: Any) -> str:
    answer = client.post("/api/dags", json={"name": "graph", "steps": list(steps), **fields})
    assert answer.status_code == 201, answer.text
    run: str = answer.json()["id"]
    return run


def look(client: httpx.Client, run: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"/api/dags/{run}", params=query)
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


def states(client: httpx.Client, run: str) -> dict[str, str]:
    return {one["id"]: one["state"] for one in look(client, run)["stepList"]}


def until_over(client: httpx.Client, run: str) -> dict[str, Any]:
    """The run once it is over, by waiting for every change of it."""
    until = time.monotonic() + RUN_SECONDS
    view = look(client, run)
    while view["state"] in {"running", "cancelling"}:
        assert time.monotonic() < until, view
        view = look(client, run, wait=5, version=view["version"])
    return view


@pytest.fixture
def puppet(own_server: Served) -> Iterator[Session]:
    with Puppet(own_server, features=("inputs",)).connect() as session:
        yield session


@pytest.mark.parametrize("path", ["/api/dag/schedule", "/api/dags"])
@pytest.mark.parametrize("word", ["tasks", "steps"])
def test_the_graph_of_the_specification_runs_as_written(server: Served, path: str, word: str) -> None:
    body = (
        f'{{"name":"Data Pipeline","{word}":[{{"id":"fetch","name":"Fetch data","dependencies":[]}},'
        '{"id":"process","name":"Process","dependencies":["fetch"]}]}'
    )
    answer = server.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    created = answer.json()
    assert answer.headers["location"] == f"/api/dags/{created['id']}"
    assert (created["name"], created["steps"]) == ("Data Pipeline", 2)
    view = until_over(server.client, created["id"])
    assert (view["state"], view["counts"], view["progress"]) == ("succeeded", {"succeeded": 2}, 1.0)
    assert [one["name"] for one in view["stepList"]] == ["Fetch data", "Process"]


def test_the_four_tasks_of_the_specification_run_as_written(server: Served) -> None:
    body = """{"tasks": [
        {"id": "fetch_data", "type": "script", "dependencies": []},
        {"id": "process_chunk_1", "type": "parallel", "dependencies": ["fetch_data"]},
        {"id": "process_chunk_2", "type": "parallel", "dependencies": ["fetch_data"]},
        {"id": "aggregate_results", "type": "script", "dependencies": ["process_chunk_1", "process_chunk_2"]}
    ]}"""
    answer = server.client.post("/api/dag/schedule", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    view = until_over(server.client, answer.json()["id"])
    assert (view["name"], view["state"], view["counts"]) == ("graph", "succeeded", {"succeeded": 4})
    last = server.client.get(f"/api/tasks/{view['stepList'][-1]['taskId']}/result").json()
    assert last["result"] == {"process_chunk_1": None, "process_chunk_2": None}


@pytest.mark.parametrize(
    ("steps", "at", "says"),
    [
        ([], "/steps", "is empty"),
        ([step("a"), step("a")], "/steps/1/id", "'a'"),
        ([step("a", "a")], "/steps/0/dependencies/0", "the step itself"),
        ([step("fetch"), step("b", "fetsh")], "/steps/1/dependencies/0", "did you mean 'fetch'"),
        ([step("a", "b"), step("b", "a")], "/steps/0/dependencies", "a → b → a|b → a → b"),
        ([step("a", softDependencies=["b"]), step("b", "a")], "/steps/0/dependencies", "cycle"),
        ([step("a"), step("b", "a", softDependencies=["a"])], "/steps/1/softDependencies/0", "a second time"),
        ([step("a", type="parallel", payload={"sourceCode": "1"})], "/steps/0/items", "'a' is missing"),
        ([step("a", items=[1])], "/steps/0/items", "'a' needs type parallel"),
        ([step("a", payload={"runtime": "isolate"})], "/steps/0/payload", "'a'"),
        ([step("a", payload={"sourceCode": " "})], "/steps/0/payload/sourceCode", "'a' is empty"),
    ],
)
def test_a_graph_that_makes_no_sense_is_refused_with_the_place_and_the_step(
    server: Served, steps: list[dict[str, Any]], at: str, says: str
) -> None:
    answer = server.client.post("/api/dags", json={"name": "g", "steps": steps})
    assert_problem(answer, 400, "invalid_graph", says=says)
    assert answer.json()["errors"][0]["pointer"].startswith(at)


def test_every_fault_is_named_at_once_and_nothing_is_accepted(server: Served) -> None:
    before = server.client.get("/api/dags").headers["x-total-count"]
    steps = [step("a", "x"), step("b", "y"), step("c", "z")]
    answer = server.client.post("/api/dags", json={"name": "g", "steps": steps})
    assert [one["pointer"] for one in answer.json()["errors"]] == [f"/steps/{at}/dependencies/0" for at in range(3)]
    assert server.client.get("/api/dags").headers["x-total-count"] == before


@pytest.mark.parametrize(
    ("body", "at", "hints"),
    [
        ({"name": "", "steps": []}, "/name", "."),
        ({"name": "g", "steps": [{"id": "a", "dependancies": []}]}, "/steps/0/dependancies", "'dependencies'"),
        ({"name": "g", "steps": [{"id": "a", "enough": 2}]}, "/steps/0/enough", "."),
        ({"name": "g", "steps": [{"id": ""}]}, "/steps/0/id", "."),
        ({"name": "g", "steps": [{"id": "a", "dependencies": "b"}]}, "/steps/0/dependencies", "."),
    ],
)
def test_a_field_that_does_not_fit_is_named(server: Served, body: dict[str, Any], at: str, hints: str) -> None:
    assert_problem(server.client.post("/api/dags", json=body), 400, "invalid_field", at=at, hints=hints)


def test_more_steps_than_a_graph_may_have_are_refused(server: Served) -> None:
    steps = ",".join(f'{{"id":"{number}"}}' for number in range(STEPS_MAX + 1))
    body = f'{{"name":"g","steps":[{steps}]}}'
    answer = server.client.post("/api/dags", content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, 400, "invalid_field", at="/steps", says="100000")


def test_blobs_that_a_step_names_have_to_be_there(server: Served) -> None:
    payload = {"module": f"sha256:{'0' * 64}"}
    answer = server.client.post("/api/dags", json={"name": "g", "tasks": [step("a", payload=payload, type="wasm")]})
    assert_problem(answer, 422, "blob_missing", at="/tasks/0/payload/module")


def test_the_same_request_with_its_key_is_the_same_run(server: Served) -> None:
    body = {"name": "once", "steps": [step("a")]}
    key = {"Idempotency-Key": "graph-1"}
    first = server.client.post("/api/dags", json=body, headers=key)
    again = server.client.post("/api/dags", json=body, headers=key)
    older = server.client.post("/api/dag/schedule", json=body, headers=key)
    assert (first.status_code, again.status_code, older.status_code) == (201, 201, 201)
    assert first.json()["id"] == again.json()["id"] == older.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    other = server.client.post("/api/dags", json={**body, "name": "other"}, headers=key)
    assert_problem(other, 422, "idempotency_key_reused")
    again_from = [
        server.client.post(f"/api/dags/{first.json()['id']}/rerun", json={}, headers={"Idempotency-Key": "r"}).json()
        for _ in range(2)
    ]
    assert again_from[0]["id"] == again_from[1]["id"] != first.json()["id"]


def test_a_run_shows_each_step_from_waiting_to_its_end(own_server: Served, puppet: Session) -> None:
    client = own_server.client
    run = schedule(client, code("a"), code("b", "a"), code("c", "b"), code("d", softDependencies=["b"]), step("e", "d"))
    [first] = puppet.assigned()
    view = look(client, run)
    assert view["state"] == "running"
    assert {one["id"]: one["state"] for one in view["stepList"]} | {"a": ""} == {
        **dict.fromkeys("bcde", "waiting"),
        "a": "",
    }
    assert [one["level"] for one in view["stepList"]] == [0, 1, 2, 2, 3]
    task = client.get(f"/api/tasks/{view['stepList'][0]['taskId']}").json()
    assert (task["dagId"], task["step"], task["headId"]) == (run, 0, None)
    puppet.report([success(first, 1)])
    [second] = puppet.assigned()
    puppet.report([failure(second, "script_error", "No luck.")])
    [fourth] = puppet.assigned()
    puppet.report([success(fourth, "end")])
    view = until_over(client, run)
    assert (view["state"], view["reason"]["code"]) == ("failed", "step_failed")
    assert "'b'" in view["reason"]["message"]
    assert states(client, run) == {
        "a": "succeeded",
        "b": "failed",
        "c": "skipped",
        "d": "succeeded",
        "e": "succeeded",
    }
    assert view["counts"] == {"succeeded": 3, "failed": 1, "skipped": 1}
    assert [(one["id"], one["reason"]["message"]) for one in view["failures"]] == [("b", "No luck.")]
    assert client.get(f"/api/dags/{run}/steps", params={"state": "skipped"}).json()[0]["taskId"] is None

    # What failed runs again, and nothing else.
    again = client.post(f"/api/dags/{run}/rerun", json={"onlyFailed": True})
    assert again.status_code == 201, again.text
    [retried] = puppet.assigned()
    puppet.report([success(retried, 1)])
    rest = puppet.assigned(2)
    puppet.report([success(item, 1) for item in rest])
    view = until_over(client, again.json()["id"])
    assert (view["state"], view["rerunOf"]) == ("succeeded", run)
    assert states(client, view["id"])["a"] == "reused"


def test_whoever_waits_for_a_change_hears_of_it_and_costs_nothing_meanwhile(
    own_server: Served, puppet: Session
) -> None:
    run = schedule(own_server.client, code("a"), step("b", "a"))
    [item] = puppet.assigned()
    until = time.monotonic() + RUN_SECONDS
    while (view := look(own_server.client, run))["stepList"][0]["state"] != "running":
        assert time.monotonic() < until
    found: list[dict[str, Any]] = []
    waiting = threading.Thread(
        target=lambda: found.append(look(own_server.client, run, wait=20, version=view["version"]))
    )
    began = time.monotonic()
    waiting.start()
    unchanged = look(own_server.client, run, wait=0.2, version=view["version"])
    assert unchanged["version"] == view["version"]
    puppet.report([success(item, 1)])
    waiting.join(RUN_SECONDS)
    assert time.monotonic() - began < RUN_SECONDS / 2
    assert found[0]["counts"].get("succeeded", 0) >= 1


def test_a_cancelled_run_begins_nothing_any_more(own_server: Served, puppet: Session) -> None:
    client = own_server.client
    run = schedule(client, code("a"), code("b", "a"), code("c", **NOWHERE))
    [item] = puppet.assigned()
    answer = client.post(f"/api/dags/{run}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelling")
    puppet.report([failure(item, "cancelled")])
    view = until_over(client, run)
    assert (view["state"], view["counts"]) == ("cancelled", {"cancelled": 2, "skipped": 1})
    assert client.post(f"/api/dags/{run}/cancel").status_code == 202
    done = schedule(client, step("a"))
    assert_problem(client.post(f"/api/dags/{done}/cancel"), 409, "already_finished")


def test_reruns_that_make_no_sense_are_refused(server: Served) -> None:
    client = server.client
    run = schedule(client, step("a"), step("b", "a"))
    live = schedule(client, code("a", **NOWHERE))
    for body, status, what in (
        ({"from": "z"}, 404, "not_found"),
        ({"item": {"step": "a", "number": 0}}, 404, "not_found"),
        ({"from": "a", "onlyFailed": True}, 400, "invalid_request"),
        ({"item": {"step": "a"}}, 400, "invalid_field"),
        ({"form": "a"}, 400, "invalid_field"),
    ):
        assert_problem(client.post(f"/api/dags/{run}/rerun", json=body), status, what)
    assert_problem(client.post(f"/api/dags/{live}/rerun", json={}), 409, "not_finished")
    from_b = client.post(f"/api/dags/{run}/rerun", json={"from": "b"}).json()["id"]
    until_over(client, from_b)
    assert states(client, from_b) == {"a": "reused", "b": "succeeded"}


def test_a_graph_is_checked_and_not_run(server: Served) -> None:
    before = server.client.get("/api/dags").headers["x-total-count"]
    good = server.client.post("/api/dags/check", json={"steps": [step("a"), step("b", "a")]})
    assert (good.status_code, good.json()) == (200, {"steps": 2, "faults": []})
    bad = server.client.post("/api/dags/check", json={"steps": [step("a", "b"), step("b", "a")]}).json()
    assert [fault["pointer"] for fault in bad["faults"]] == ["/steps/0/dependencies"]
    assert "a → b → a" in bad["faults"][0]["message"]
    assert_problem(server.client.post("/api/dags/check", json={"steps": [{"idd": "a"}]}), 400, "invalid_field")
    assert server.client.get("/api/dags").headers["x-total-count"] == before


def test_lists_of_runs_and_steps_go_on_where_their_links_say(own_server: Served) -> None:
    client = own_server.client
    made = [schedule(client, step("a")) for _ in range(5)]
    live = schedule(client, code("a", **NOWHERE), *(step(f"s{number}") for number in range(7)))
    pages = [client.get("/api/dags", params={"limit": 4, "state": "succeeded"})]
    assert pages[0].headers["x-total-count"] == "5"
    pages.append(client.get(pages[0].links["next"]["url"]))
    assert [run["id"] for page in pages for run in page.json()] == made[::-1]
    assert [run["id"] for run in client.get("/api/dags", params={"state": "running"}).json()] == [live]
    assert client.get("/api/dags", params={"kind": "mapreduce"}).json() == []
    assert {run["counts"] is None for run in client.get("/api/dags").json()} == {True}
    counted = client.get("/api/dags", params={"counts": "true", "limit": 1})
    until = time.monotonic() + RUN_SECONDS
    while counted.json()[0]["counts"] != {"queued": 1, "succeeded": 7}:
        assert time.monotonic() < until, counted.json()
        counted = client.get("/api/dags", params={"counts": "true", "limit": 1})
    assert counted.json()[0]["owner"] == look(client, live)["owner"]
    assert client.get(counted.links["next"]["url"]).json()[0]["counts"] == {"succeeded": 1}
    found: list[str] = []
    answer = client.get(f"/api/dags/{live}/steps", params={"state": "succeeded", "limit": 3})
    assert answer.headers["x-total-count"] == "7"
    while True:
        found += [one["id"] for one in answer.json()]
        if "next" not in answer.links:
            break
        answer = client.get(answer.links["next"]["url"])
    assert found == [f"s{number}" for number in range(7)]
    assert look(client, live, steps=3)["stepList"] is None
    assert_problem(client.get("/api/dags", params={"state": "asleep"}), 400, "invalid_query")
    assert_problem(client.get("/api/dags", params={"cursor": "task_0"}), 400, "invalid_cursor")
    stats = client.get("/api/queue/stats").json()["dag"]
    assert (stats["active"], stats["completed"]) == (1, 5)


def test_a_graph_is_given_back_and_drawn_whatever_its_steps_are_called(server: Served) -> None:
    odd = 'q"]; x --> y <b>#quot; \\'
    run = schedule(server.client, step("a", labels=["l"]), step(odd, softDependencies=["a"]))
    graph = server.client.get(f"/api/dags/{run}/graph").json()
    assert [one["id"] for one in graph["steps"]] == ["a", odd]
    again = server.client.post("/api/dags", json=graph)
    assert again.status_code == 201, again.text
    dot = server.client.get(f"/api/dags/{run}/graph", params={"format": "dot"})
    assert dot.headers["content-type"] == "text/plain; charset=utf-8"
    assert "s0 -> s1 [style=dashed];" in dot.text
    assert 'label="q\\"]; x --> y <b>#quot; \\\\\\nsucceeded"' in dot.text
    mermaid = server.client.get(f"/api/dags/{run}/graph", params={"format": "mermaid"}).text
    assert "s0 -.-> s1" in mermaid
    assert '  s1["q#34;#93;#59; x --#62; y #60;b#62;#35;quot#59; #92;<br/>succeeded"]' in mermaid


def test_nobody_sees_the_run_of_somebody_else(server: Served) -> None:
    ada, bob, eve = (
        server.as_holder_of(server.key(*who))
        for who in (
            ("ada", "submitter"),
            ("bob", "submitter"),
            ("eve", "viewer"),
        )
    )
    with ada, bob, eve:
        run = schedule(ada, step("a"))
        for path in ("", "/steps", "/graph"):
            assert_problem(bob.get(f"/api/dags/{run}{path}"), 404, "not_found")
            assert eve.get(f"/api/dags/{run}{path}").status_code == 200
        assert_problem(bob.post(f"/api/dags/{run}/cancel"), 404, "not_found")
        assert_problem(bob.post(f"/api/dags/{run}/rerun", json={}), 404, "not_found")
        assert bob.get("/api/dags").json() == []
        assert [one["id"] for one in ada.get("/api/dags").json()] == [run]
        assert eve.post(f"/api/dags/{run}/cancel").status_code == 403


def test_a_large_graph_is_seen_by_its_levels(server: Served) -> None:
    wide = [step("start"), *(step(f"w{number}", "start") for number in range(1500)), step("late", "w0")]
    run = schedule(server.client, *wide)
    view = until_over(server.client, run)
    assert view["stepList"] is None
    assert [(one["first"], one["last"], one["counts"]["succeeded"]) for one in view["levels"]] == [
        (0, 0, 1),
        (1, 1, 1500),
        (2, 2, 1),
    ]
    chain = [step("s0"), *(step(f"s{number}", f"s{number - 1}") for number in range(1, 250))]
    deep = until_over(server.client, schedule(server.client, *chain))
    assert len(deep["levels"]) <= 100
    assert sum(one["counts"]["succeeded"] for one in deep["levels"]) == 250
    assert deep["levels"][-1]["last"] == 249
