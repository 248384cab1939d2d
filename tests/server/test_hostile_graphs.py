"""Graphs and jobs that somebody sends to do harm, and nodes that lie about what they made of them."""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import pytest
from puppet import Puppet, Session, success
from served import Served, assert_problem

from anchor.core.attempt import Ending, Outcome, OutputFile, Result
from anchor.core.dag import Drawing, Graph, Run, Step
from anchor.core.items import Walk
from anchor.core.plan import Plan
from anchor.core.spec import Payload
from anchor.orchestrator import list_memory, run_memory

MIB = 1 << 20
RUN_SECONDS = 20.0


def schedule(client: httpx.Client, *steps: dict[str, Any]) -> str:
    answer = client.post("/api/dags", json={"name": "graph", "steps": list(steps)})
    assert answer.status_code == 201, answer.text
    run: str = answer.json()["id"]
    return run


def until_over(client: httpx.Client, run: str) -> dict[str, Any]:
    until = time.monotonic() + RUN_SECONDS
    view: dict[str, Any] = client.get(f"/api/dags/{run}").json()
    while view["state"] in {"running", "cancelling"}:
        assert time.monotonic() < until, view
        view = client.get(f"/api/dags/{run}", params={"wait": 5, "version": view["version"]}).json()
    return view


def code(name: str, *after: str, **fields: Any) -> dict[str, Any]:
    payload = {"sourceCode": "return 1", "runtime": "isolate"}
    return {"id": name, "dependencies": list(after), "payload": payload, "retry": {"attempts": 1}, **fields}


@pytest.fixture(scope="module")
def puppet(server: Served) -> Iterator[Session]:
    with Puppet(server, features=("inputs", "files")).connect() as session:
        yield session


def test_steps_that_double_what_they_pass_on_fail_before_they_fill_the_disk(server: Served, puppet: Session) -> None:
    steps = [code("seed")]
    above = ["seed"]
    for level in range(30):
        pair = [f"{side}{level}" for side in "lr"]
        steps += [{"id": name, "dependencies": above} for name in pair]
        above = pair
    run = schedule(server.client, *steps)
    [item] = puppet.assigned()
    before = server.memory_mib()
    puppet.report([success(item, "x" * 60_000)])
    view = until_over(server.client, run)
    assert (view["state"], view["reason"]["code"]) == ("failed", "step_failed")
    assert "at most 64 are passed on" in view["reason"]["message"]
    kept = sum(file.stat().st_size for file in (server.data / "blobs").rglob("*") if file.is_file())
    assert kept < 300 * MIB
    assert server.memory_mib() < before + 200


def test_looking_for_what_was_meant_by_a_wrong_name_takes_no_time(server: Served) -> None:
    alike = "a" * 190
    steps = [{"id": f"{alike}{number:05}"} for number in range(5_000)]
    wrong = {"id": "z", "dependencies": [f"{alike}b{number:05}" for number in range(5_000)]}
    began = time.monotonic()
    answer = server.client.post("/api/dags", json={"name": "graph", "steps": [*steps, wrong]})
    assert_problem(answer, 400, "invalid_graph")
    assert time.monotonic() - began < 2.0
    assert len(answer.content) < 64 * 1024


@pytest.mark.parametrize(
    "name",
    ["__proto__", "constructor", "a → b", "../../etc/passwd", "a/b~c", '"];x["', "<script>", "%s%n", "\u202e", "ﬁ"],
)
def test_odd_names_of_steps_are_names(server: Served, name: str) -> None:
    run = schedule(server.client, {"id": name}, {"id": "after", "dependencies": [name]}, {"id": "other"})
    view = until_over(server.client, run)
    assert view["state"] == "succeeded"
    assert [one["id"] for one in view["stepList"]] == [name, "after", "other"]
    for kind in ("dot", "mermaid"):
        drawing = server.client.get(f"/api/dags/{run}/graph", params={"format": kind}).text
        assert "<script>" not in drawing or kind == "dot"
        assert '"];x["' not in drawing


@pytest.mark.parametrize(
    "body",
    [
        '{"name":"g","steps":' + "[" * 50_000 + "]" * 50_000 + "}",
        '{"name":"g","steps":[{"id":"a","payload":{"sourceCode":"1","input":'
        + '{"a":' * 5_000
        + "1"
        + "}" * 5_000
        + "}}]}",
        '{"name":"g","steps":[{"id":"\\ud800"}]}',
        '{"name":"g","steps":[{"id":"a\\u0000b"}]}',
        '{"name":"g","steps":[{"id":"a","items":[1],"type":"parallel","enough":NaN}]}',
        '{"name":"g","steps":[{"id":"a","priority":1e400}]}',
        '{"name":"g","steps":[{"id":"' + "a" * (10 * MIB) + '"}]}',
        '{"name":"g","steps":[{"id":"a"},{"id":"a"}]}',
        '{"name":"g","steps":[{"id":"a","id":"b"}]}',
    ],
    ids=["deep", "deep-input", "surrogate", "nul", "nan", "huge-number", "huge-name", "twice", "repeated-key"],
)
def test_a_graph_that_is_none_is_refused_in_a_sentence(server: Served, body: str) -> None:
    answer = server.client.post("/api/dags", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 413, 422}, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 8_000


@pytest.mark.parametrize(
    "pointer", ["/-1", "/01", "/\uff19", "/1e0", "/a/b", "x", "/" * 999, "/~2", "/9999999999999999999999"]
)
def test_a_pointer_that_finds_no_list_fails_its_step(server: Served, puppet: Session, pointer: str) -> None:
    run = schedule(
        server.client,
        code("list"),
        code("each", type="parallel", items={"step": "list", "pointer": pointer}),
    )
    [item] = puppet.assigned()
    puppet.report([success(item, [[1], [2]])])
    view = until_over(server.client, run)
    assert view["state"] == "failed"
    assert "It has no items" in view["reason"]["message"]


def test_a_list_of_a_hundred_thousand_and_one_items_fails_its_step(server: Served) -> None:
    run = schedule(server.client, code("each", type="parallel", items=[0] * 100_001))
    view = until_over(server.client, run)
    assert "at most 100,000 are allowed" in view["reason"]["message"]


def put(session: Session, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    with session.puppet.server.as_holder_of(session.token) as node:
        assert node.put(f"/api/blobs/{digest}", content=content).status_code == 201
    return digest


@pytest.mark.parametrize("kind", ["two-values", "no-text", "size", "small", "nothing"])
def test_a_lying_node_cannot_change_what_the_other_items_answered(server: Served, puppet: Session, kind: str) -> None:
    """Its result becomes part of the text of the list: it has to be a text of its own."""
    run = schedule(server.client, code("each", type="parallel", items=[0, 1], speculate=False))
    mine, other = puppet.assigned(2)
    wrong = {
        "two-values": b'"mine","forged"' + b" " * 70_000,
        "no-text": b'"' + b"\xff" * 70_000 + b'"',
        "size": b'"' + b"a" * 70_000 + b'"',
        "small": b'"mine","forged"',
        "nothing": b"",
    }[kind]
    digest = put(puppet, wrong) if wrong else "0" * 64
    size = 5 if kind == "size" else len(wrong)
    puppet.report([Ending(mine.task, mine.attempt, Outcome.SUCCEEDED, Result(blob=digest, size=size))])
    puppet.report([success(other, "other")])
    view = until_over(server.client, run)
    assert view["state"] == "failed"
    assert "cannot be read" in view["reason"]["message"]


def test_runs_of_others_are_not_there_for_anybody_else(server: Served) -> None:
    ids: dict[str, str] = {}
    clients = {name: server.as_holder_of(server.key(name, "submitter")) for name in ("ann", "ben")}
    try:
        for name, client in clients.items():
            answer = client.post(
                "/api/dags", json={"name": "g", "steps": [{"id": name}]}, headers={"Idempotency-Key": "the-same"}
            )
            assert answer.status_code == 201
            ids[name] = answer.json()["id"]
        assert ids["ann"] != ids["ben"]
        ben = clients["ben"]
        run = ids["ann"]
        for path in ("", "/steps", "/graph", "/graph?format=dot"):
            assert_problem(ben.get(f"/api/dags/{run}{path}"), 404, "not_found")
        assert_problem(ben.get(f"/api/mapreduce/{run}"), 404, "not_found")
        assert_problem(ben.post(f"/api/dags/{run}/cancel"), 404, "not_found")
        assert_problem(ben.post(f"/api/dags/{run}/rerun", json={"onlyFailed": True}), 404, "not_found")
        again = ben.post(
            "/api/dags", json={"name": "g", "steps": [{"id": "x"}]}, headers={"Idempotency-Key": "the-same"}
        )
        assert again.status_code == 422
        assert [one["id"] for one in ben.get("/api/dags").json()] == [ids["ben"]]
    finally:
        for client in clients.values():
            client.close()


def test_a_storm_of_cancels_and_reruns_ends_one_run(server: Served) -> None:
    nowhere = {"requirements": {"labels": ["nowhere"]}}
    run = schedule(server.client, *(code(f"s{number}", **nowhere) for number in range(200)))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.client.post(f"/api/dags/{run}/cancel").status_code, range(40)))
        again = list(pool.map(lambda _: server.client.post(f"/api/dags/{run}/rerun", json={}).status_code, range(4)))
    assert set(answers) == {202}
    assert set(again) <= {201, 409}
    assert until_over(server.client, run)["counts"] == {"cancelled": 200}
    for one in server.client.get("/api/dags", params={"state": "running"}).json():
        assert server.client.post(f"/api/dags/{one['id']}/cancel").status_code == 202


def test_large_plans_are_not_all_kept_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs of few steps may be large: what counts against the memory of a server is their text, too."""
    monkeypatch.setattr(run_memory, "WEIGHT_MAX", 10_000)
    memory = run_memory.RunMemory()
    large = Step(id="large", payload=Payload(source_code="x" * MIB))
    for number in range(1, 9):
        plan = Plan.of(Drawing(Graph(name="g", steps=[large])))
        memory.keep(run_memory.Known(Run(id=number, owner="o", name="g", created_at=0, steps=1), plan))
    assert [number for number in range(1, 9) if memory.get(number) is not None] == [7, 8]


def test_large_lists_are_not_all_kept_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their values are let go of, those looked at longest ago first; what is known of their items stays."""
    monkeypatch.setattr(list_memory, "VALUES_BYTES_MAX", 3 * MIB)
    memory = list_memory.ListMemory()
    walks = [Walk(1) for _ in range(5)]
    for head, walk in enumerate(walks):
        memory.keep(head, walk)
        walk.values = [msgspec.Raw(b"1" * MIB)]
        memory.trim(head)
    assert [bool(walk.values) for walk in walks] == [False, False, True, True, True]
    assert all(memory.get(head) is walk for head, walk in enumerate(walks))


@pytest.mark.parametrize(
    "source",
    [
        {"files": ["sha256:" + "0" * 64 + "[5:3]"]},
        {"files": ["sha256:" + "0" * 64 + "[-1:3]"]},
        {"files": ["sha256:" + "0" * 64 + "[0:9223372036854775808]"]},
        {"files": ["sha256:../../../../etc/passwd"]},
        {"files": ["/etc/passwd"]},
        {"blob": "sha256:" + "0" * 64 + "[0:5]"},
        {"blob": "sha256:" + "0" * 64},
        {"list": [1], "blob": "sha256:" + "0" * 64},
        {},
    ],
)
def test_a_job_over_what_is_no_input_is_refused(server: Served, source: dict[str, Any]) -> None:
    payload = {"sourceCode": "function map(x) { return [] } function reduce(key, values) { return 0 }"}
    answer = server.client.post(
        "/api/mapreduce", json={"name": "job", "input": source, "map": payload, "reduce": payload}
    )
    assert answer.status_code in {400, 404, 422}, answer.text
    assert "Traceback" not in answer.text


def test_files_of_a_map_that_are_not_there_fail_it_and_not_the_server(server: Served, puppet: Session) -> None:
    payload = {"sourceCode": "function map(x) { return [] } function reduce(key, values) { return 0 }"}
    job = {"name": "job", "input": {"list": [1]}, "map": payload, "reduce": payload, "retry": {"attempts": 1}}
    answer = server.client.post("/api/mapreduce", json=job)
    assert answer.status_code == 201, answer.text
    [item] = puppet.assigned()
    made = success(item, None).result
    assert made is not None
    files = (OutputFile("../part-0000", "0" * 64, 5), OutputFile("part-0001", "1" * 64, 5))
    puppet.report([Ending(item.task, item.attempt, Outcome.SUCCEEDED, Result(json=b"null", files=files))])
    view = until_over(server.client, answer.json()["id"])
    assert view["state"] == "failed"
