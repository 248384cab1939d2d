"""The client's decisions without a network: what is sent again, what is given up, what a stream says."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.client import StateChange, calls
from anchor.client.address import is_loopback, normal_url
from anchor.client.answers import Answer, NoAnswer
from anchor.client.exchange import Manners, Send, Wait, brought, exchange
from anchor.client.follow import EventParser, Following
from anchor.client.sources import source_of
from anchor.core.errors import AnchorError, Conflict, InvalidRequest, TooManyRequests, Unavailable
from anchor.wire.problems import problem_of
from anchor.wire.rest import LogLine

MANNERS = Manners("http://anchor.test", 5.0, lambda: 0.5)
JSON = {"content-type": "application/json"}
HEALTHY = Answer(200, JSON, b'{"status":"ok","version":"1","uptimeSeconds":1,"problems":[]}')


def problem(error: AnchorError, status: int, **headers: str) -> Answer:
    body = msgspec.json.encode(problem_of(error, "req_1"))
    return Answer(status, {"content-type": "application/problem+json", **headers}, body)


def play(call: calls.Call[object], answers: list[Answer | NoAnswer]) -> tuple[object, list[float]]:
    """What comes of a call when it is answered like this, and how long was waited in between."""
    steps = exchange(call, MANNERS)
    waits: list[float] = []
    told: Answer | NoAnswer | None = None
    left = list(answers)
    try:
        while True:
            step = steps.send(told)
            if isinstance(step, Wait):
                waits.append(step.seconds)
                told = None
            else:
                assert isinstance(step, Send)
                told = left.pop(0)
    except StopIteration as end:
        assert not left
        return end.value, waits


def lost(*, sent: bool = True) -> NoAnswer:
    return NoAnswer("the connection broke", sent, 0.0)


def test_a_request_without_an_answer_is_sent_again_after_a_growing_rest() -> None:
    health, waits = play(calls.health(), [lost(), lost(), HEALTHY])
    assert health.status == "ok"  # type: ignore[attr-defined]
    assert waits == [0.1, 0.2]


def test_patience_ends() -> None:
    with pytest.raises(Unavailable) as caught:
        play(calls.health(), [lost()] * 50)
    assert caught.value.code == "unreachable"


def test_what_must_not_happen_twice_is_sent_again_only_if_it_never_left() -> None:
    token = b'{"token":"t","expiresAt":"2026-01-01T00:00:00Z","command":"c"}'
    ticket, _ = play(calls.join_token(60), [lost(sent=False), Answer(201, JSON, token)])
    assert ticket.token == "t"  # type: ignore[attr-defined]
    with pytest.raises(Unavailable):
        play(calls.join_token(60), [lost(sent=True)])


def test_every_post_carries_a_key_of_its_own() -> None:
    task = {"name": "n", "type": "noop"}
    keys = {calls.submit(task).headers["Idempotency-Key"] for _ in range(3)}
    assert len(keys) == 3


LARGE = source_of(bytes(4_000_000))
ABSENT = Answer(404, JSON, b"{}")
KEPT = Answer(201, JSON, b"{}")


def here(count: int) -> Answer:
    return Answer(308, {"range": f"bytes=0-{count - 1}"} if count else {}, b"")


def bring(answers: list[Answer | NoAnswer]) -> tuple[list[str], float]:
    """What an upload of 4 MB sends when it is answered like this (methods, and what part), and how long it waits."""
    steps = brought(LARGE, MANNERS)
    sent: list[str] = []
    waited = 0.0
    told: Answer | NoAnswer | None = None
    left = list(answers)
    try:
        while True:
            step = steps.send(told)
            if isinstance(step, Wait):
                waited += step.seconds
                told = None
            else:
                sent.append(step.call.headers.get("Content-Range", step.call.method).removeprefix("bytes "))
                told = left.pop(0)
    except StopIteration:
        assert not left
        return sent, waited


def test_an_upload_goes_on_where_the_server_says_and_not_at_all_where_it_has_the_bytes() -> None:
    whole, rest, ask = "0-3999999/4000000", "1500000-3999999/4000000", "*/4000000"
    assert bring([Answer(200, {}, b"")])[0] == ["HEAD"]
    assert bring([ABSENT, KEPT])[0] == ["HEAD", whole]
    assert bring([ABSENT, lost(), here(1_500_000), KEPT])[0] == ["HEAD", whole, ask, rest]
    assert bring([ABSENT, lost(), KEPT])[0] == ["HEAD", whole, ask]


def test_an_upload_finds_its_way_between_servers_and_beside_another_of_the_same_bytes() -> None:
    elsewhere = problem(Conflict("x", code="wrong_offset"), 409)
    busy = problem(Conflict("x", code="upload_busy", retry_after_seconds=1), 409, **{"retry-after": "1"})
    assert len(bring([ABSENT, elsewhere, here(0), KEPT])[0]) == 4
    sent, waited = bring([ABSENT, busy, here(2_000_000), busy, here(3_000_000), busy, KEPT])
    assert len(sent) == 7
    assert waited == 3.0


def test_an_upload_is_given_up_when_nothing_arrives_for_too_long_or_the_server_wants_none_of_it() -> None:
    with pytest.raises(Unavailable):
        bring([ABSENT, *[lost(), here(0)] * 20])
    arriving = [answer for count in range(1, 21) for answer in (lost(), here(count * 100_000))]
    assert len(bring([ABSENT, *arriving, KEPT])[0]) == 42
    with pytest.raises(InvalidRequest):
        bring([ABSENT, problem(InvalidRequest("x", code="digest_mismatch"), 400)])


def test_a_busy_server_is_asked_again_when_it_says_so() -> None:
    busy = problem(TooManyRequests("Later."), 429, **{"retry-after": "2"})
    _, waits = play(calls.health(), [busy, HEALTHY])
    assert waits == [2.0]


def test_a_refusal_is_the_servers_own_error_and_is_final() -> None:
    with pytest.raises(Conflict) as caught:
        play(calls.cancel("task_1"), [problem(Conflict("It is over.", hint="Look.", code="is_over"), 409)])
    assert (caught.value.message, caught.value.hint, caught.value.code) == ("It is over.", "Look.", "is_over")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, {"content-type": "text/html"}, b"<html>"),
        Answer(200, {"content-type": "text/html"}, b"<html>"),
        Answer(200, JSON, b'{"some":"json"}'),
        Answer(301, {"location": "https://elsewhere"}, b""),
        Answer(400, {"content-type": "application/problem+json"}, b"{}"),
    ],
)
def test_what_is_not_anchor_is_called_so(answer: Answer) -> None:
    with pytest.raises(Unavailable) as caught:
        play(calls.health(), [answer])
    assert caught.value.code == "not_anchor"


def test_many_tasks_are_sent_in_bounded_requests_in_order() -> None:
    tasks = [{"name": str(number), "type": "noop", "labels": ["x" * 100]} for number in range(60_000)]
    sent = list(calls.submit_many(tasks))
    assert all(len(call.body) <= calls.BULK_BYTES_MAX + 100_000 for call in sent)
    batches = [msgspec.json.decode(call.body) for call in sent]
    assert all(len(batch) <= 10_000 for batch in batches)
    assert [task["name"] for batch in batches for task in batch] == [task["name"] for task in tasks]


STREAM = (
    b'event: state\ndata: {"state":"running","attempt":1}\n\n: still here\n\n'
    b'id: 1.1\nevent: output\ndata: {"id":"1.1","attempt":1,"stream":"stdout",'
    b'"at":"2026-01-01T00:00:00Z","text":"a\xe2\x80\xa8b"}\n\n'
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_says_the_same_wherever_its_bytes_are_cut(cuts: list[int]) -> None:
    parser = EventParser()
    edges = [0, *sorted(cuts), len(STREAM)]
    events = [event for start, end in itertools.pairwise(edges) for event in parser.feed(STREAM[start:end])]
    assert [(event.kind, event.id) for event in events] == [("state", ""), ("output", "1.1")]
    assert msgspec.json.decode(events[1].data)["text"] == "a\u2028b"


def test_a_broken_stream_goes_on_after_the_last_piece_received() -> None:
    following = Following("task_1", MANNERS)
    state, line = following.feed(STREAM)
    assert isinstance(state, StateChange)
    assert isinstance(line, LogLine)
    following.feed(b"id: 1.2\nevent: output\nda")
    following.broke("cut")
    assert following.call().headers["Last-Event-ID"] == "1.1"
    assert len(following.feed(STREAM)) == 2, "nothing of the broken connection is left over"


def test_a_stream_that_never_comes_back_is_given_up() -> None:
    following = Following("task_1", MANNERS)
    with pytest.raises(Unavailable):
        [following.broke("refused") for _ in range(100)]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("lab:5000", "http://lab:5000"),
        ("http://lab:5000/", "http://lab:5000"),
        ("https://lab/anchor/", "https://lab/anchor"),
        ("[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_an_address_is_understood_as_people_write_it(text: str, url: str) -> None:
    assert normal_url(text) == url


@pytest.mark.parametrize("text", ["ftp://lab", "http://", "lab:port", "two words", "http://user:pw@lab"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        normal_url(text)


def test_only_this_machine_is_loopback() -> None:
    assert all(map(is_loopback, ["http://localhost:1", "http://127.0.0.1", "http://[::1]:5"]))
    assert not any(map(is_loopback, ["http://lab", "http://10.0.0.1", "http://127.0.0.1.example.org"]))
