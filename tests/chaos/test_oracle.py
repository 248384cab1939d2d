"""The judge of chaos: what it lets pass, and every breach that it has to see."""

from typing import Any

import pytest
from tests.chaos.history import Event, Seen
from tests.chaos.oracle import Verdict, judge, last_events

EXPECTED = {"s1/0": frozenset({"succeeded"}), "s1/1": frozenset({"succeeded"})}


def task(number: int, **changes: Any) -> dict[str, Any]:
    """A task as the API shows it: by default it succeeded at its second attempt."""
    attempts = [{"number": 1, "outcome": "lost"}, {"number": 2, "outcome": "succeeded"}]
    shown = {"id": f"t{number}", "name": f"s1/{number}", "state": "succeeded", "attempt": 2, "nodeId": "N",
             "finishedAt": "then", "reason": None, "result": {"task": f"t{number}", "attempt": 2, "nonce": 0.5},
             "attempts": attempts}  # fmt: skip
    return shown | changes


def seen(number: int, **changes: Any) -> Seen:
    result = f'{{"task":"t{number}","attempt":2,"nonce":0.5}}'
    fields: dict[str, Any] = {"state": "succeeded", "attempt": 2, "node": "N", "finished": "then", "result": result}
    return Seen(**fields | changes)


SUBMITTED = [
    Event(1, "anna", "submit", key="s1", names=["s1/0", "s1/1"]),
    Event(2, "anna", "accepted", key="s1", names=["s1/0", "s1/1"], ids=["t0", "t1"]),
]
TRUTH = [task(0), task(1)]


def verdict(*events: Event, truth: list[dict[str, Any]] | None = None) -> Verdict:
    return judge([*SUBMITTED, *events], TRUTH if truth is None else truth, EXPECTED)


def test_what_was_acknowledged_ended_and_stayed_as_it_was_is_good() -> None:
    again = Event(3, "bert", "accepted", key="s1", names=["s1/0", "s1/1"], ids=["t0", "t1"])
    reads = [Event(at, "reader", "read", task="t0", seen=seen(0)) for at in (4, 5)]
    running = Event(2.5, "reader", "read", task="t0", seen=Seen("running", 1, "M"))
    found = verdict(running, again, *reads)
    assert found.is_good
    assert (found.acknowledged, found.reads, found.ended) == (2, 3, {"succeeded": 2})


CANCELLED = task(1, state="cancelled", result=None, attempts=[], attempt=0)
ABSENT = {
    "not there at the end": verdict(truth=[task(0)]),
    "not found on the way": verdict(Event(3, "reader", "gone", task="t0")),
    "a cancel that was acknowledged": verdict(Event(3, "canceller", "cancel taken", task="t0")),
}
REWRITTEN = {
    "two answers to one key": verdict(Event(3, "bert", "accepted", key="s1", names=["s1/0", "s1/1"], ids=["t0", "t7"]),
                                      truth=[*TRUTH, task(7, name="s1/1")]),
    "one name twice": verdict(truth=[*TRUTH, task(7, name="s1/1")]),
    "a task nobody asked for": verdict(truth=[*TRUTH, task(7, name="s9/0")]),
    "another result at the end": verdict(Event(3, "reader", "read", task="t0", seen=seen(0, result="7"))),
    "another result on the way": verdict(Event(3, "reader", "read", task="t0", seen=seen(0)),
                                         Event(4, "reader", "read", task="t0", seen=seen(0, finished="later"))),
    "an end taken back": verdict(Event(3, "reader", "read", task="t0", seen=seen(0)),
                                 Event(4, "reader", "read", task="t0", seen=Seen("queued", 2))),
    "two attempts succeeded": verdict(truth=[task(0), task(1, attempts=[{"number": 1, "outcome": "succeeded"},
                                                                       {"number": 2, "outcome": "succeeded"}])]),
    "an attempt number left out": verdict(truth=[task(0), task(1, attempts=[{"number": 2, "outcome": "succeeded"}])]),
    "a result of another attempt": verdict(truth=[task(0), task(1, result={"task": "t1", "attempt": 1})]),
    "a result of another task": verdict(truth=[task(0), task(1, result={"task": "t0", "attempt": 2})]),
}  # fmt: skip


@pytest.mark.parametrize("name", ABSENT)
def test_what_was_acknowledged_and_is_absent_is_found(name: str) -> None:
    assert ABSENT[name].absent


@pytest.mark.parametrize("name", REWRITTEN)
def test_what_was_recorded_twice_or_rewritten_is_found(name: str) -> None:
    assert REWRITTEN[name].rewritten


def test_a_task_that_is_not_over_or_ended_otherwise_than_it_should_is_found() -> None:
    assert verdict(truth=[task(0), task(1, state="leased", attempts=[])]).unended
    assert verdict(truth=[task(0), CANCELLED]).unexpected
    asked = Event(3, "canceller", "cancel", task="t1")
    assert verdict(asked, truth=[task(0), CANCELLED]).is_good


@pytest.mark.parametrize(("fallen", "is_right"), [("ABC", True), ("AAB", False)])
def test_a_task_is_called_poison_rightly_only_where_three_nodes_went_down_with_it(fallen: str, is_right: bool) -> None:
    attempts = [{"number": at, "outcome": "lost", "nodeId": node} for at, node in enumerate(fallen, start=1)]
    poison = task(1, state="failed", attempt=3, result=None, attempts=attempts, reason={"code": "poison"})
    assert verdict(truth=[task(0), poison]).is_good is is_right


def test_the_last_events_of_a_breach_are_its_own_and_the_strikes_between_them() -> None:
    other = Event(2.5, "reader", "read", task="t9", seen=seen(9))
    strike = Event(3, "nemesis", "strike", note="kill server0")
    events = [*SUBMITTED, other, strike, *[Event(4 + at, "reader", "gone", task="t0") for at in range(60)]]
    [fault, *_] = judge(events, TRUTH, EXPECTED).absent
    assert len(last_events(events, fault)) == 50
    assert last_events(events[:4], fault) == [*SUBMITTED, strike]
