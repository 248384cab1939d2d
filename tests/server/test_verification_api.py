"""Rounds over the API: what nobody may see before the verdict, what everybody may after it, and receipts."""

import asyncio
import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace
from puppet import Puppet, Session, failure, sealed, success
from served import Served, assert_problem

from anchor.adapters.sqlite.store import SqliteStore
from anchor.core.attempt import OutputFile, Usage
from anchor.core.ids import STEP, wire_id
from anchor.core.progress import progress_text
from anchor.core.spec import Payload, TaskSpec, need_of, shape_of
from anchor.core.task import Origin, State, Task, queued
from anchor.core.verification import Round, Verify
from anchor.server.app import ROUTES
from anchor.wire.link import Assignment, Recorded
from anchor.wire.proofs import proof_of, proves
from anchor.wire.receipts import Receipt

HEAD = 1 << 50
FIRST = HEAD + STEP
COPIES = 3
SECRET = "the-answer-is-forty-two"
PAYLOAD = Payload(source_code="return 42", runtime="isolate")


def puppet_of(server: Served, owner: str) -> Puppet:
    """A machine of somebody."""
    client = server.as_holder_of(server.key(owner, "operator"))
    joining: Any = SimpleNamespace(client=client, url=server.url)
    try:
        return Puppet(joining, name=owner, slots=1, confinement={"isolate": "confined"}, features=("files", "seals"))
    finally:
        client.close()


async def _open_a_round(data: Path, *, verify: Verify) -> None:
    """Write a verified task as it is while its copies wait for nodes."""
    spec = TaskSpec(name="checked", payload=PAYLOAD, verify=verify)
    shape = shape_of(need_of(spec))
    head = queued(key=HEAD, owner="local", spec=spec, shape=shape, now=1_700_000_000_000)
    far = 1_900_000_000_000
    head = replace(head, state=State.VERIFYING, wake_at=far, parts=Round(first=FIRST, cap=COPIES, asked=COPIES))
    copies: list[Task] = []
    for number in range(COPIES):
        origin = Origin(head=HEAD, number=number, apart=(FIRST, COPIES), owners_apart=True, is_copy=True)
        copy = queued(
            key=FIRST + number * STEP,
            owner="local",
            spec=replace(spec, verify="none"),
            shape=shape,
            now=1_700_000_000_000,
            part_of=HEAD,
            origin=origin,
        )
        copies.append(copy)
    store = await SqliteStore.open(data)
    await store.insert([head, *copies])
    await store.close()


class Opened:
    """A server with a round under way: copies succeeded, failed and running, all with tell-tale output."""

    def __init__(self, directory: Path) -> None:
        self.server = Served(directory, lease_seconds=3600)
        asyncio.run(_open_a_round(self.server.data, verify=Verify(copies=3, agree=3, copies_max=3)))
        self.sessions: list[Session] = []
        self.items: list[Assignment] = []

    def open(self) -> None:
        self.server.start()
        blob = SECRET.encode()
        digest = hashlib.sha256(blob).hexdigest()
        for owner in ("ada", "bob", "cyd"):
            session = puppet_of(self.server, owner).connect()
            self.sessions.append(session)
            [item] = session.assigned()
            self.items.append(item)
            session.print(item, 1, f"{SECRET}\n")
            session.print(item, 2, progress_text(0.4242424, SECRET), stream="progress")
        first, second, _ = self.items
        with self.server.as_holder_of(self.sessions[0].token) as node:
            assert node.put(f"/api/blobs/{digest}", content=blob).status_code == 201
        answer = success(first, SECRET)
        assert answer.result is not None
        answer = replace(
            answer,
            result=replace(answer.result, files=(OutputFile("told.txt", digest, len(blob)),)),
            usage=Usage(cpu_seconds=4242.4242),
        )
        self.sessions[0].report([sealed(self.sessions[0], first, answer)])
        self.sessions[1].report([sealed(self.sessions[1], second, failure(second, "invalid_payload", SECRET))])

    def end(self) -> None:
        for session in self.sessions:
            session.close()
        self.server.end()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    house = Opened(tmp_path_factory.mktemp("round"))
    try:
        house.open()
        yield house
    finally:
        house.end()


def copy_ids() -> list[str]:
    return [wire_id("task", FIRST + number * STEP) for number in range(COPIES)]


def test_no_route_tells_what_a_copy_answered_while_its_round_is_open(opened: Opened) -> None:
    """Every route that reads, and whatever is done to a copy, against every copy and against the task itself."""
    for task in copy_ids():
        _eventually(opened.server, task)
    head = wire_id("task", HEAD)
    told: list[str] = []
    tried = 0
    for route in ROUTES:
        done_to_copies = route.method == "POST" and route.path.startswith("/api/tasks/{id}")
        if "{sha256}" in route.path or not (route.method == "GET" or done_to_copies):
            continue
        for task in [*copy_ids(), *([] if done_to_copies else [head])] if "{id}" in route.path else [head]:
            path = route.path.replace("{id}", task).replace("{name}", "told.txt")
            answer = opened.server.client.request(route.method, path)
            tried += 1
            if any(word in answer.text for word in (SECRET, "4242.4242", "0.4242424", "invalid_payload")):
                told.append(f"{route.method} {path}: {answer.text[:200]}")
    assert told == []
    assert tried > 50


def _eventually(server: Served, task: str) -> dict[str, Any]:
    """The copy once what its node reported is recorded; the one that still runs as it is."""
    number = copy_ids().index(task)
    for _ in range(200):
        view = server.task(task)
        if number == 2 or view["state"] in ("succeeded", "failed"):
            return view
        httpx.get(f"{server.url}/api/tasks/{task}/result?wait=1", trust_env=False)
    raise AssertionError(view)


def test_of_a_copy_in_an_open_round_its_state_and_node_are_shown(opened: Opened) -> None:
    states = []
    for number, task in enumerate(copy_ids()):
        view = _eventually(opened.server, task)
        states.append(view["state"])
        assert view["nodeId"] == opened.sessions[number].puppet.node
        hidden = {name: view[name] for name in ("result", "reason", "usage", "progress", "resultBlob")}
        assert hidden == dict.fromkeys(hidden)
        assert (view["files"], view["attempt"]) == ([], 0)
        assert all(attempt["outcome"] is None for attempt in view["attempts"])
    assert states[:2] == ["succeeded", "failed"]
    head = opened.server.task(wire_id("task", HEAD))
    assert (head["state"], head["result"], head["attempts"]) == ("verifying", None, [])
    assert head["verify"] == {"agree": 3, "copiesMax": 3}
    assert head["verification"] == {
        "state": "open",
        "copies": 3,
        "copiesMax": 3,
        "agreed": 0,
        "spared": False,
        "votes": [],
        "caseId": None,
    }


def test_what_would_tell_is_refused_with_the_reason(opened: Opened) -> None:
    for task in copy_ids():
        for path in ("logs", "logs?follow=1", "files/told.txt", "receipt"):
            answer = opened.server.client.get(f"/api/tasks/{task}/{path}")
            assert_problem(answer, 404, "votes_are_secret", says="before the verdict", hints=wire_id("task", HEAD))
        for verb in ("cancel", "retry"):
            answer = opened.server.client.post(f"/api/tasks/{task}/{verb}")
            assert_problem(answer, 409, "copy_of_a_task", says="made to verify it")


def test_copies_are_in_no_list(opened: Opened) -> None:
    listed = {row["id"] for row in opened.server.client.get("/api/tasks", params={"limit": 1000}).json()}
    assert wire_id("task", HEAD) in listed
    assert listed.isdisjoint(copy_ids())


SCRIPT = {"name": "t", "type": "script", "payload": {"sourceCode": "return 1", "runtime": "isolate"}}


@pytest.fixture
def session(server: Served) -> Iterator[Session]:
    with Puppet(server, confinement={"isolate": "confined"}, features=("files", "seals")).connect() as session:
        yield session


def over(server: Served, task: str) -> dict[str, Any]:
    found: dict[str, Any] = server.client.get(f"/api/tasks/{task}/result", params={"wait": 20}).json()
    return found


def test_a_receipt_proves_a_finished_task_without_the_server(server: Served, session: Session) -> None:
    task = server.submit(**SCRIPT)
    [item] = session.assigned()
    assert_problem(server.client.get(f"/api/tasks/{task}/receipt"), 409, "not_finished")
    session.report([sealed(session, item, success(item, {"größe": 1}))])
    assert over(server, task)["state"] == "succeeded"
    answer = server.client.get(f"/api/tasks/{task}/receipt")
    assert answer.status_code == 200
    receipt = msgspec.json.decode(answer.content, type=Receipt)
    keys = {session.puppet.node: session.puppet.key.public_key().public_bytes_raw()}
    assert proves(proof_of(receipt, keys)), proof_of(receipt, keys)
    assert list(receipt.results.values()) == ['{"größe":1}']
    assert answer.json()["keys"] == {name: base64.b64encode(key).decode() for name, key in keys.items()}
    with server.as_holder_of(server.key("stranger", "submitter")) as stranger:
        assert_problem(stranger.get(f"/api/tasks/{task}/receipt"), 404, "not_found")


def test_a_receipt_of_a_failure_proves_the_failure(server: Served, session: Session) -> None:
    task = server.submit(**SCRIPT, retry={"attempts": 1})
    [item] = session.assigned()
    session.report([sealed(session, item, failure(item, "script_error"))])
    assert over(server, task)["state"] == "failed"
    content = server.client.get(f"/api/tasks/{task}/receipt").content
    receipt = msgspec.json.decode(content, type=Receipt)
    assert proves(proof_of(receipt, {}))
    assert receipt.answer is not None
    assert not proves(proof_of(replace(receipt, answer=replace(receipt.answer, code="timeout")), {}))


def test_an_answer_without_a_seal_is_recorded_and_its_receipt_says_so(server: Served, session: Session) -> None:
    task = server.submit(**SCRIPT)
    [item] = session.assigned()
    session.report([success(item, 1)])
    assert over(server, task)["state"] == "succeeded"
    receipt = msgspec.json.decode(server.client.get(f"/api/tasks/{task}/receipt").content, type=Receipt)
    wrong = [line.says for line in proof_of(receipt, {}) if line.holds is False]
    assert wrong == [f"{session.puppet.node} (attempt 1 of {task}) has signed nothing."]


def test_an_answer_of_a_copy_counts_only_with_the_seal_of_exactly_that_answer(tmp_path: Path) -> None:
    """No seal, another key's, and another answer's are errors of the node; the attempts are tried again."""
    server = Served(tmp_path, lease_seconds=3600)
    asyncio.run(_open_a_round(server.data, verify=Verify(copies=3, agree=3, copies_max=3)))
    server.start()
    sessions = [puppet_of(server, owner).connect() for owner in ("ada", "bob", "cyd")]
    try:
        items = [session.assigned()[0] for session in sessions]
        forged = Ed25519PrivateKey.generate()
        sessions[0].report([success(items[0], 1)])
        sessions[1].report([sealed(sessions[1], items[1], success(items[1], 1), forged)])
        other = sealed(sessions[2], items[2], success(items[2], 2)).seal
        sessions[2].report([replace(success(items[2], 1), seal=other)])
        for session, item in zip(sessions, items, strict=True):
            assert [held.task for held in session.next(Recorded).recorded] == [item.task]
            assert server.task(wire_id("task", item.task))["state"] in ("backoff", "queued", "leased")
    finally:
        for session in sessions:
            session.close()
        server.end()
    for copy in asyncio.run(_kept(server.data, [item.task for item in items])):
        assert copy is not None
        [past] = copy.attempts
        assert past.reason is not None
        assert (past.outcome, past.reason.code, past.seal, copy.result) == ("errored", "seal_invalid", b"", None)


async def _kept(data: Path, ids: list[int]) -> list[Task | None]:
    store = await SqliteStore.open(data)
    found = await store.get(ids)
    await store.close()
    return found
