"""The agents' sockets: who may open a session, what is believed in it, and that nothing sent can harm the server."""

import contextlib
import hashlib
import itertools
import os
import random
import time
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from puppet import Puppet, Session, failure, success
from served import Served
from websockets.exceptions import ConnectionClosed

from anchor.core.attempt import Ending, Outcome, Result, Usage
from anchor.core.node import Profile
from anchor.server.link import NOT_UNDERSTOOD
from anchor.wire import link
from anchor.wire.link import Assignment, Challenge, Chunk, Held, Nack, Output, Recorded, Refused, Renewed, Stop, Welcome

NAN, INFINITY = float("nan"), float("inf")
_labels = (f"puppet-{number}" for number in itertools.count())


@pytest.fixture
def puppet(server: Served) -> Puppet:
    """A machine that only this test's tasks go to."""
    return Puppet(server, labels=(next(_labels),))


def work_for(puppet: Puppet, **fields: Any) -> str:
    return puppet.server.submit(requirements={"labels": list(puppet.profile.labels)}, **fields)


def given_work(puppet: Puppet, session: Session, **fields: Any) -> tuple[str, Assignment]:
    task = work_for(puppet, **fields)
    [item] = session.assigned()
    return task, item


def still_works(session: Session) -> None:
    session.beat()
    assert session.next(Renewed).session == session.number


def wait_for(condition: Any, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def closed(session: Session, seconds: float = 20) -> None:
    """The server hangs up."""
    with pytest.raises(ConnectionClosed):
        session.next(Challenge, seconds)


# --- hello


def refusal(puppet: Puppet, first: Any) -> Refused:
    with puppet.call() as session:
        challenge = session.next(Challenge)
        session.send(first(challenge.nonce) if callable(first) else first)
        refused = session.next(Refused)
        closed(session)
    assert refused.message
    assert refused.hint
    return refused


def test_a_proper_hello_opens_a_session_and_every_one_a_newer_session(puppet: Puppet) -> None:
    with puppet.connect() as session:
        assert session.number == 1
        still_works(session)
    with puppet.connect() as session:
        assert session.number == 2
    assert puppet.server.client.get(f"/api/nodes/{puppet.node}").json()["specs"]["cores"] == 4


def test_a_hello_of_somebody_else_opens_nothing(puppet: Puppet) -> None:
    stranger = Ed25519PrivateKey.generate()
    unsigned = {
        "another key": lambda nonce: puppet.hello(nonce, signature=stranger.sign(b"hello")),
        "another nonce": lambda nonce: puppet.hello(bytes(32)),
        "another time": lambda nonce: puppet.hello(nonce, now=5),
        "another node": lambda nonce: puppet.hello(nonce, node="NOB-000000"),
        "no signature": lambda nonce: puppet.hello(nonce, signature=b""),
    }
    for name, first in unsigned.items():
        assert refusal(puppet, first).code == "unknown_node", name
    assert puppet.server.client.get(f"/api/nodes/{puppet.node}").json()["status"] == "offline"


def test_a_hello_cannot_be_said_again_to_another_challenge(puppet: Puppet) -> None:
    with puppet.call() as session:
        heard = puppet.hello(session.next(Challenge).nonce)
        session.send(heard)
        session.next(Welcome)
    assert refusal(puppet, heard).code == "unknown_node"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"protocol_min": 5, "protocol_max": 6}, "upgrade_required"),
        ({"protocol_min": 1, "protocol_max": 1}, "upgrade_required"),
        ({"now": -1}, "not_a_hello"),
        ({"now": 2**64 - 1}, "not_a_hello"),
        ({"held": [Held(2**64 - 1, 1)]}, "not_a_hello"),
        ({"profile": Profile(ram=NAN)}, "not_a_hello"),
        ({"profile": Profile(disk=INFINITY)}, "not_a_hello"),
    ],
)
def test_a_hello_that_makes_no_sense_is_refused(puppet: Puppet, changes: dict[str, Any], code: str) -> None:
    assert refusal(puppet, lambda nonce: puppet.hello(nonce, **changes)).code == code


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\xc1",
        b"\x91" * 100_000,
        "hello",
        link.encode(Nack("hello")),
        b"\x81\xa4kind\xa5hello",
        os.urandom(900_000),
    ],
    ids=["empty", "no MessagePack", "deep", "text", "another frame", "map", "noise"],
)
def test_what_is_no_hello_is_refused(puppet: Puppet, first: Any) -> None:
    assert refusal(puppet, first).code == "not_a_hello"


def test_a_hello_cut_anywhere_is_refused(puppet: Puppet) -> None:
    whole = link.encode(puppet.hello(bytes(32)))
    for length in (1, len(whole) // 2, len(whole) - 1):
        assert refusal(puppet, whole[:length]).code == "not_a_hello"


def test_a_clock_that_is_far_off_is_no_obstacle(puppet: Puppet) -> None:
    for now in (0, int(time.time() * 1000) + 10**11):
        with puppet.call() as session:
            nonce = session.next(Challenge).nonce
            signature = puppet.key.sign(link.hello_bytes(nonce, puppet.node, now))
            session.send(puppet.hello(nonce, now=now, signature=signature))
            assert session.next(Welcome).session
    assert "the agent's clock is off" in puppet.server.said()


def test_a_blocked_node_is_refused_until_it_is_taken_back(puppet: Puppet) -> None:
    act = f"/api/nodes/{puppet.node}"
    with puppet.connect() as session:
        puppet.server.client.post(f"{act}/block")
        assert puppet.server.client.get(act).json()["status"] == "blocked"
        session.close()
    assert refusal(puppet, puppet.hello).code == "blocked"
    puppet.server.client.post(f"{act}/resume")
    with puppet.connect() as session:
        still_works(session)


def test_who_says_nothing_is_hung_up_on(puppet: Puppet) -> None:
    silent = [puppet.call() for _ in range(30)]
    for session in silent:
        assert session.next(Refused, 15).code == "no_hello"
        closed(session)
        session.close()
    with puppet.connect() as session:
        still_works(session)


# --- reports


def test_a_report_is_recorded_once_and_may_be_repeated(puppet: Puppet) -> None:
    with puppet.connect() as session:
        task, item = given_work(puppet, session)
        for _ in range(3):
            session.report([success(item, {"n": 1})])
            recorded = session.next(Recorded)
            assert (recorded.recorded, recorded.stale) == ([Held(item.task, item.attempt)], [])
        session.report([success(item, {"n": 2})])
        session.next(Recorded)
    view = puppet.server.task(task)
    assert (view["state"], view["result"], len(view["attempts"])) == ("succeeded", {"n": 1}, 1)


def test_a_report_signed_by_another_key_changes_nothing(puppet: Puppet) -> None:
    with puppet.connect() as session:
        task, item = given_work(puppet, session)
        proper, puppet.key = puppet.key, Ed25519PrivateKey.generate()
        session.report([success(item)])
        assert "signature is wrong" in session.next(Nack).message
        puppet.key = proper
        assert puppet.server.task(task)["state"] in {"leased", "running"}
        session.report([success(item)])
        session.next(Recorded)


@pytest.mark.parametrize("changes", [{"session": 1}, {"session": 3}, {"node": "NOB-000000"}])
def test_a_report_signed_for_another_session_or_node_changes_nothing(puppet: Puppet, changes: dict[str, Any]) -> None:
    puppet.connect().close()
    with puppet.connect() as session:
        task, item = given_work(puppet, session)
        session.report([success(item)], **changes)
        assert "another session" in session.next(Nack).message
        assert puppet.server.task(task)["state"] in {"leased", "running"}
        session.report([success(item)])
        session.next(Recorded)


def test_a_report_that_was_overheard_is_worth_nothing_in_a_later_session(puppet: Puppet) -> None:
    with puppet.connect() as session:
        task, item = given_work(puppet, session)
        body = msgspec.msgpack.encode(link.ReportBody(puppet.node, session.number, 1, [success(item)]))
        signature = puppet.key.sign(link.report_bytes(body))
    with puppet.connect(held=[(item.task, item.attempt)]) as session:
        session.send(link.Report(body, signature))
        session.next(Nack)
        assert puppet.server.task(task)["state"] in {"leased", "running"}
        session.report([success(item, "new")])
        session.next(Recorded)
    assert puppet.server.task(task)["result"] == "new"


def test_nobody_ends_the_task_of_somebody_else(puppet: Puppet) -> None:
    other = Puppet(puppet.server)
    with puppet.connect() as session, other.connect() as thief:
        task, item = given_work(puppet, session)
        for attempt in (item.attempt - 1, item.attempt, item.attempt + 1):
            thief.report([Ending(item.task, attempt, Outcome.SUCCEEDED)])
            assert thief.next(Recorded).recorded == []
        thief.print(item, 1, "forged")
        still_works(thief)
        session.print(item, 1, "real")
        session.report([success(item, "real")])
        session.next(Recorded)
    assert puppet.server.task(task)["result"] == "real"
    lines = puppet.server.client.get(f"/api/tasks/{task}/logs").json()
    assert [line["text"] for line in lines] == ["real"]


UNREADABLE = {
    "no JSON": Result(json=b"{", size=1),
    "nothing": Result(),
    "not UTF-8": Result(json=b'"\xff"', size=3),
    "NaN": Result(json=b"NaN", size=3),
    "deep": Result(json=b"[" * 5000 + b"]" * 5000, size=10_000),
    "too large": Result(json=b'"' + b"x" * 70_000 + b'"', size=70_002),
    "a blob that is not there": Result(blob="0" * 64, size=1),
    "a path": Result(blob="../../../etc/passwd", size=1),
}


@pytest.mark.parametrize("result", UNREADABLE.values(), ids=UNREADABLE)
def test_a_result_that_nobody_could_read_is_an_error_of_the_node(puppet: Puppet, result: Result) -> None:
    with puppet.connect() as session:
        task, item = given_work(puppet, session, retry={"attempts": 1})
        session.report([Ending(item.task, item.attempt, Outcome.SUCCEEDED, result)])
        assert session.next(Recorded).recorded
    view = puppet.server.task(task)
    assert (view["state"], view["reason"]["code"], view["result"]) == ("failed", "result_invalid", None)
    assert view["reason"]["hint"]


def test_a_result_in_a_blob_is_named_by_its_digest(puppet: Puppet) -> None:
    content = b'"large"'
    digest = hashlib.sha256(content).hexdigest()
    with puppet.connect() as session, puppet.server.as_holder_of(session.token) as client:
        assert client.put(f"/api/blobs/{digest}", content=content).status_code == 201
        task, item = given_work(puppet, session)
        session.report([Ending(item.task, item.attempt, Outcome.SUCCEEDED, Result(blob=digest, size=len(content)))])
        session.next(Recorded)
    assert puppet.server.task(task)["resultBlob"] == f"sha256:{digest}"
    kept = puppet.server.client.get(f"/api/blobs/{digest}")
    assert kept.content == content
    assert kept.headers["content-security-policy"] == "sandbox"
    assert kept.headers["content-disposition"] == "attachment"


def test_an_endless_reason_is_cut(puppet: Puppet) -> None:
    with puppet.connect() as session:
        task, item = given_work(puppet, session, retry={"attempts": 1})
        session.report([failure(item, "c" * 1000, "m" * 500_000)])
        session.next(Recorded)
    reason = puppet.server.task(task)["reason"]
    assert (len(reason["code"]), len(reason["message"])) == (100, 8000)


NASTY = {
    "usage that is no number": {"usage": Usage(wall_seconds=NAN)},
    "endless usage": {"usage": Usage(cpu_seconds=INFINITY)},
    "a task beyond 63 bits": {"task": 2**64 - 1},
    "a negative task": {"task": -1},
    "an attempt beyond all": {"attempt": 2**63},
}


@pytest.mark.parametrize("changes", NASTY.values(), ids=NASTY)
def test_a_signed_report_with_nasty_numbers_is_refused_whole(puppet: Puppet, changes: dict[str, Any]) -> None:
    with puppet.connect() as session:
        task, item = given_work(puppet, session)
        session.report([success(item), msgspec.structs.replace(success(item), **changes)])
        assert "refused" in session.next(Nack).message
        assert puppet.server.task(task)["state"] in {"leased", "running"}
        session.send_signed(b"\x91" * 1000)
        assert "refused" in session.next(Nack).message
        session.report([success(item)])
        session.next(Recorded)


# --- other frames


@pytest.mark.parametrize("metrics", [{"cpu_usage": NAN}, {"free_ram": INFINITY}, {"ram_usage": -INFINITY}])
def test_metrics_that_are_no_numbers_do_not_spoil_the_list_of_nodes(puppet: Puppet, metrics: dict[str, float]) -> None:
    with puppet.connect() as session:
        session.beat(**metrics)
        assert "Not understood" in session.next(Nack).message
        still_works(session)
    assert puppet.server.client.get("/api/nodes").status_code == 200


@pytest.mark.parametrize(
    "changes", [{"seq": 0}, {"seq": 2**60}, {"at": 2**62}, {"at": -1}, {"stream": "stdin"}, {"task": 2**64 - 1}]
)
def test_output_that_could_not_be_shown_is_not_kept(puppet: Puppet, changes: dict[str, Any]) -> None:
    with puppet.connect() as session:
        task, item = given_work(puppet, session)
        chunk = Chunk(item.task, item.attempt, 1, 1, "stdout", "x")
        session.send(Output([msgspec.structs.replace(chunk, **changes)]))
        session.next(Nack)
        session.report([success(item)])
        session.next(Recorded)
    assert puppet.server.client.get(f"/api/tasks/{task}/logs").json() == []


def test_the_same_output_again_is_kept_once(puppet: Puppet) -> None:
    with puppet.connect() as session:
        task, item = given_work(puppet, session)
        for _ in range(3):
            session.print(item, 1, "once")
        session.report([success(item)])
        session.next(Recorded)
    assert len(puppet.server.client.get(f"/api/tasks/{task}/logs").json()) == 1


def test_noise_is_answered_and_does_no_harm(puppet: Puppet) -> None:
    dice = random.Random(7)
    with puppet.connect() as session:
        whole = link.encode(puppet.hello(bytes(32)))
        frames: list[Any] = ["text", b"", *(dice.randbytes(dice.randrange(1, 300)) for _ in range(200))]
        frames += [whole[: dice.randrange(len(whole))] for _ in range(50)]
        for frame in frames:
            session.send(frame)
        for _ in frames:
            session.next(Nack)
        session.send(puppet.hello(bytes(32)))
        assert "hello already" in session.next(Nack).message
        still_works(session)


def test_a_frame_beyond_the_limit_ends_the_connection(puppet: Puppet) -> None:
    with puppet.connect() as session:
        session.send(b"\xc6" + bytes(link.FRAME_BYTES_MAX + 1))
        with pytest.raises(ConnectionClosed) as ended:
            session.next(Nack)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1009
    with puppet.connect() as session:
        still_works(session)


def test_a_flood_of_frames_is_told_to_come_back_later(puppet: Puppet) -> None:
    with puppet.connect() as session:
        frame = link.encode(link.Accepted([]))
        with pytest.raises(ConnectionClosed):  # noqa: PT012 - the flood is one act
            for _ in range(100_000):
                session.socket.send(frame)
        assert session.next(Stop) == Stop("too many frames", True)
    with puppet.connect() as session:
        still_works(session)


def test_a_slow_reader_is_cut_and_costs_a_bounded_amount_of_memory(own_server: Served) -> None:
    puppet = Puppet(own_server, slots=5000)
    before = own_server.memory_mib()
    with puppet.connect():
        task = {"name": "t", "payload": {"sourceCode": "x" * 60_000}}
        for _ in range(6):
            answer = own_server.client.post("/api/tasks", json=[task] * 200)
            assert answer.status_code == 201
        wait_for(lambda: "agent reads too slowly" in own_server.said())
        wait_for(lambda: own_server.client.get(f"/api/nodes/{puppet.node}").json()["active"] is None)
    assert own_server.memory_mib() < before + 250
    assert own_server.is_well()


def test_a_second_connection_of_a_node_takes_over_with_what_it_holds(puppet: Puppet) -> None:
    with puppet.connect() as first:
        task, item = given_work(puppet, first)
        with puppet.connect(held=[(item.task, item.attempt)]) as second:
            assert "took over" in first.next(Stop).reason
            closed(first)
            assert second.number == first.number + 1
            second.report([success(item, "second")])
            second.next(Recorded)
            other, _ = given_work(puppet, second)
    assert puppet.server.task(task)["result"] == "second"
    assert puppet.server.task(other)["nodeId"] == puppet.node


# --- decoding, without a server


@given(st.binary(max_size=400))
def test_reading_any_bytes_ends_in_a_frame_or_a_known_error(content: bytes) -> None:
    for read in (link.decode_from_agent, link.decode_report):
        with contextlib.suppress(*NOT_UNDERSTOOD):
            read(content)


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.sampled_from(["hello", "accepted", "output", "report", "heartbeat", "nack", "stop"]),
    st.lists(json_like, max_size=9),
)
def test_reading_a_frame_of_anything_ends_in_a_frame_or_a_known_error(kind: str, fields: list[Any]) -> None:
    with contextlib.suppress(*NOT_UNDERSTOOD):
        link.decode_from_agent(msgspec.msgpack.encode([kind, *fields]))
