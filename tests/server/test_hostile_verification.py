"""Nodes that want a wrong answer taken, or no answer at all: what each of them tries, and what comes of it."""

import hashlib
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from puppet import Puppet, Session, failure, success
from served import Served, assert_problem

from anchor.core.answers import COMPARED_BYTES_MAX, answer_of, same
from anchor.core.attempt import Ending, Result
from anchor.core.verification import Verify
from anchor.wire.link import Assignment, Recorded
from anchor.wire.seals import Given, seal_from, statement_bytes, statement_of

PATIENCE_SECONDS = 20.0
PAYLOAD = {"sourceCode": "return 42", "runtime": "isolate"}


def sealed(session: Session, item: Assignment, ending: Ending) -> Ending:
    payload = item.payload_blob or hashlib.sha256(item.payload).hexdigest()
    given = Given(item.task, item.attempt, item.runtime, item.limits, payload)
    said = statement_of(given, ending, node=session.puppet.node, session=session.number)
    return replace(ending, seal=seal_from(session.number, session.puppet.key.sign(statement_bytes(said))))


def machine_of(server: Served, owner: str) -> Puppet:
    client = server.as_holder_of(server.key(owner, "operator"))
    joining: Any = SimpleNamespace(client=client, url=server.url)
    try:
        return Puppet(joining, name=owner, slots=1, confinement={"isolate": "confined"}, features=("files", "seals"))
    finally:
        client.close()


@pytest.fixture(scope="module")
def sessions(server: Served) -> Iterator[list[Session]]:
    """A machine each of three owners; the first one lies."""
    opened = [machine_of(server, owner).connect() for owner in ("mallory", "ann", "ben")]
    yield opened
    for session in opened:
        session.close()


def submit(server: Served, **verify: Any) -> str:
    policy = {"policy": "quorum", "copies": 3, "agree": 2, **verify}
    body = {"name": "checked", "payload": PAYLOAD, "verify": policy, "retry": {"attempts": 1}}
    answer = server.client.post("/api/tasks", json=body)
    assert answer.status_code == 201, answer.text
    task: str = answer.json()["id"]
    return task


def over(server: Served, task: str) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE_SECONDS
    while (view := server.task(task))["state"] in ("verifying", "queued"):
        assert time.monotonic() < until, view
        server.client.get(f"/api/tasks/{task}/result", params={"wait": 2})
    return view


LIES: dict[str, Callable[[Session, Assignment], Ending]] = {
    "another answer": lambda session, item: sealed(session, item, success(item, 41)),
    "a failure of the code": lambda session, item: sealed(session, item, failure(item, "script_error")),
    "a poisonous task": lambda session, item: sealed(session, item, failure(item, "poison")),
    "an undecided round": lambda session, item: sealed(session, item, failure(item, "not_deterministic")),
    "a cancelled task": lambda session, item: sealed(session, item, failure(item, "cancelled")),
    "an answer that is no JSON": lambda session, item: sealed(
        session, item, replace(success(item), result=Result(json=b"NaN", size=3))
    ),
    "a seal of something else": lambda session, item: replace(
        success(item, 42), seal=sealed(session, item, success(item, 41)).seal
    ),
    "a seal of another attempt": lambda session, item: replace(
        success(item, 42), seal=sealed(session, replace(item, attempt=item.attempt + 1), success(item, 42)).seal
    ),
}


def taken_back(server: Served, session: Session) -> None:
    """Whoever was caught too often is put back into service."""
    assert server.client.post(f"/api/nodes/{session.puppet.node}/resume").status_code < 300


def test_one_liar_of_three_never_has_its_way(server: Served, sessions: list[Session]) -> None:
    """Each lie, in a round of its own: the answer of the two others is taken, and the lie was in vain."""
    liar, *honest = sessions
    for name, lie in LIES.items():
        task = submit(server, compare="json" if "JSON" in name else "bytes", copiesMax=3)
        items = [session.assigned()[0] for session in sessions]
        liar.report([lie(liar, items[0])])
        liar.next(Recorded)
        for session, item in zip(honest, items[1:], strict=True):
            assert server.task(task)["state"] == "verifying", name
            session.report([sealed(session, item, success(item, 42))])
        view = over(server, task)
        assert (view["state"], view["result"]) == ("succeeded", 42), name
        # What comes after the verdict changes nothing.
        liar.report([sealed(liar, items[0], success(items[0], 41))])
        liar.next(Recorded)
        assert server.task(task)["verification"] == view["verification"]
        taken_back(server, liar)


def test_a_second_session_of_a_node_is_no_second_vote(own_server: Served) -> None:
    """A node that comes back while it votes gets no other copy of the same round, nor does another one of its owner."""
    sessions = [machine_of(own_server, owner).connect() for owner in ("mallory", "ann", "ben")]
    liar, ann, ben = sessions
    task = submit(own_server, copiesMax=4)
    items = {session: session.assigned()[0] for session in sessions}
    ann.report([sealed(ann, items[ann], success(items[ann], 42))])
    liar.report([sealed(liar, items[liar], success(items[liar], 41))])
    liar.next(Recorded)
    with liar.puppet.connect() as again, machine_of(own_server, "mallory-too").connect() as other:
        again.report([sealed(again, items[liar], success(items[liar], 41))])
        again.next(Recorded)
        assert own_server.task(task)["state"] == "verifying"
        ben.report([sealed(ben, items[ben], success(items[ben], 42))])
        view = over(own_server, task)
        assert (view["state"], view["result"]) == ("succeeded", 42)
        assert {vote["nodeId"] for vote in view["verification"]["votes"]} == {one.puppet.node for one in sessions}
        assert other.puppet.node not in {vote["nodeId"] for vote in view["verification"]["votes"]}
    for session in sessions:
        session.close()


def test_cases_are_decided_by_operators_only(server: Served, sessions: list[Session]) -> None:
    task = submit(server, copiesMax=3)
    items = [session.assigned()[0] for session in sessions]
    for session, item, value in zip(sessions, items, (41, 42, 42), strict=True):
        session.report([sealed(session, item, success(item, value))])
        session.next(Recorded)
    assert over(server, task)["state"] == "succeeded"
    taken_back(server, sessions[0])
    [case] = [one for one in server.client.get("/api/verification/cases").json() if one["taskId"] == task]
    for role in ("viewer", "submitter"):
        with server.as_holder_of(server.key(role, role)) as client:
            for verb in ("clear", "block", "rerun"):
                answer = client.post(f"/api/verification/cases/{case['id']}/{verb}", json={})
                assert answer.status_code == 403, answer.text
    with server.as_holder_of(server.key("stranger", "submitter")) as stranger:
        assert_problem(stranger.get(f"/api/verification/cases/{case['id']}"), 404, "not_found")
        assert stranger.get("/api/verification/cases").json() == []
    assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("policy", "one", "other", "alike"),
    [
        (Verify(compare="json"), b'{"a":1,"b":2.0}', b'{ "b":2, "a":1e0 }', True),
        (Verify(compare="json"), b"-0.0", b"0", True),
        (Verify(compare="json"), b"1e400", b"2e400", False),
        (Verify(compare="json"), '"é"'.encode(), '"e\u0301"'.encode(), False),
        (Verify(compare="json"), b"1", b"true", False),
        (Verify(compare="json"), b"9007199254740993", b"9007199254740992", False),
        (Verify(compare="json", ignore=["/a/-", "/a/01", "/~"]), b'{"a":[1]}', b'{"a":[2]}', False),
        (Verify(compare="numeric", absolute=0.1), b"[1e308]", b"[-1e308]", False),
        (Verify(compare="numeric", relative=1.0), b"1", b'"1"', False),
        (Verify(compare="numeric", relative=1.0), b"1", b"true", False),
        (Verify(compare="numeric", absolute=1.0), b"1" + b"0" * 400, b"2" + b"0" * 400, False),
        (Verify(compare="lines"), b'"a \\nb\\n"', b'"a\\nb"', True),
        (Verify(compare="lines"), b'"a\\n\\nb"', b'"a\\nb"', False),
    ],
)
def test_answers_that_only_look_alike_are_told_apart(policy: Verify, one: bytes, other: bytes, alike: bool) -> None:
    assert same(policy, answer_of(policy, Result(), one), answer_of(policy, Result(), other)) is alike


def test_answers_of_any_depth_and_size_are_compared_at_once() -> None:
    """Nothing that a node answers makes counting the votes fail, or take long."""
    policy = Verify(compare="numeric", absolute=1.0)
    for depth in (90, 200, 300, 400, 500, 1_000, 100_000):
        pair = [b"[" * depth + text + b"]" * depth for text in (b"1.0", b"1.5")]
        assert same(policy, *(answer_of(policy, Result(), text) for text in pair)) in {True, False}
    large = [b"[" + b"[]," * COMPARED_BYTES_MAX + text + b"]" for text in (b"1", b"2")]
    began = time.monotonic()
    assert not same(policy, *(answer_of(policy, Result(), text) for text in large))
    assert time.monotonic() - began < 1.0
