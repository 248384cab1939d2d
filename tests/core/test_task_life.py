"""The life of a task is the table TRANSITIONS: nothing else may happen, and everything in it does."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from anchor.core.attempt import NOT_CHARGED, Ending, Outcome, Reason
from anchor.core.errors import FailureCode
from anchor.core.spec import TaskSpec
from anchor.core.task import (
    HELD,
    TERMINAL,
    TRANSITIONS,
    Event,
    IllegalTransition,
    State,
    Task,
    cancel,
    concluded,
    copied,
    lease,
    queued,
    settle,
    stopped,
    verified,
    wake,
)
from anchor.core.verification import Round, Undecided, Verdict

NOW = 1_000_000
FRESH = queued(key=1, owner="ann", spec=TaskSpec(name="t", type="noop"), shape="{}", now=NOW)

Action = Callable[[Task], Task]


def ends(outcome: Outcome, code: FailureCode = FailureCode.SCRIPT_ERROR) -> Action:
    return lambda task: settle(
        task, Ending(task.id, task.attempt, outcome, reason=Reason(code, "it broke")), now=NOW, chance=0.5
    )


ROUND = Round(first=1 << 30, cap=6, asked=3)
VERIFIED = verified(FRESH, ROUND)


def copy_that(state: State) -> Task:
    return replace(
        copied(VERIFIED, ROUND, 0, now=NOW), state=state, reason=Reason(FailureCode.SCRIPT_ERROR, "it broke")
    )


OF_HEADS = {"decided", "decided as failed", "undecided", "stopped"}
"""What happens to a task that no node runs, and to no other."""
ACTIONS: dict[str, tuple[Event, Action]] = {
    "leased": (Event.LEASE, lambda task: lease(task, node="REX-A1B2C3", session=1, now=NOW, lease_ms=15_000)),
    "succeeded": (Event.SUCCEED, ends(Outcome.SUCCEEDED)),
    "errored": (Event.FAIL, ends(Outcome.ERRORED)),
    "errored for good": (Event.GIVE_UP, ends(Outcome.ERRORED, FailureCode.INVALID_MODULE)),
    "released": (Event.RETURN, ends(Outcome.RELEASED)),
    "woken": (Event.WAKE, lambda task: wake(task, now=NOW)),
    "decided": (Event.SUCCEED, lambda task: concluded(task, Verdict(True, 0), copy_that(State.SUCCEEDED), now=NOW)),
    "decided as failed": (
        Event.GIVE_UP,
        lambda task: concluded(task, Verdict(True, 0), copy_that(State.FAILED), now=NOW),
    ),
    "undecided": (
        Event.DISAGREE,
        lambda task: concluded(task, Verdict(False, why=Undecided.NO_MAJORITY), None, now=NOW),
    ),
    "stopped": (Event.STOP, lambda task: stopped(task, now=NOW)),
    "cancelled": (Event.CANCEL, lambda task: cancel(task, by="ann", now=NOW)),
}
"""What may be tried on a task, and the event it stands for while nobody has asked for its end."""


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("state", State)
def test_an_action_follows_the_table_or_is_refused(state: State, name: str) -> None:
    event, act = ACTIONS[name]
    if (
        state is State.CANCELLING
        and name not in OF_HEADS
        and event in {Event.SUCCEED, Event.FAIL, Event.GIVE_UP, Event.RETURN}
    ):
        event = Event.STOP
    task = replace(FRESH, state=state, attempt=1)
    has_parts = state in (State.WAITING, State.VERIFYING)
    if state not in TERMINAL | {State.CANCELLING} and has_parts != (name in OF_HEADS) and event is not Event.CANCEL:
        return  # an attempt ends only where a node holds one, a round only where there is one
    if (state, event) in TRANSITIONS:
        assert act(task).state is TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"{event} while {state}"):
            act(task)


def test_every_event_of_the_table_has_an_action_tried_on_it_here() -> None:
    assert {event for event, _ in ACTIONS.values()} | {Event.STOP} == set(Event)
    assert {event for _, event in TRANSITIONS} == set(Event)


def test_nothing_leads_out_of_a_terminal_state() -> None:
    assert not [state for state, _ in TRANSITIONS if state in TERMINAL]


def test_every_state_can_be_reached_from_those_a_task_begins_in() -> None:
    assert reachable_from(State.QUEUED) | reachable_from(State.WAITING) | reachable_from(State.VERIFYING) == set(State)


@pytest.mark.parametrize("state", sorted(set(State) - TERMINAL))
def test_every_living_state_can_still_end_in_a_terminal_one(state: State) -> None:
    assert reachable_from(state) & TERMINAL


def test_a_held_task_is_leased_or_being_cancelled() -> None:
    assert {State.LEASED, State.CANCELLING} == HELD


def test_a_new_task_is_queued_and_has_had_no_attempt() -> None:
    assert (FRESH.state, FRESH.attempt, FRESH.charged, FRESH.attempts) == (State.QUEUED, 0, 0, ())


def test_a_queued_task_is_looked_at_again_within_thirty_seconds() -> None:
    assert FRESH.wake_at == NOW + 30_000


def test_a_woken_task_is_queued_and_looked_at_again_within_thirty_seconds() -> None:
    woken = wake(replace(FRESH, state=State.BACKOFF), now=NOW + 5)
    assert (woken.state, woken.wake_at) == (State.QUEUED, NOW + 5 + 30_000)


@given(st.lists(st.sampled_from(sorted(ACTIONS))))
def test_whatever_happens_in_whatever_order_the_counts_of_a_task_stay_true(names: list[str]) -> None:
    task = FRESH
    for name in names:
        before = task
        try:
            task = ACTIONS[name][1](task)
        except IllegalTransition:
            continue
        assert before.state not in TERMINAL
        assert task.ver == before.ver + 1
        assert task.attempt == before.attempt + (name == "leased")
        assert task.charged == sum(past.outcome not in NOT_CHARGED for past in task.attempts)
        assert task.charged <= task.spec.retry.attempts
        assert [past.number for past in task.attempts] == sorted({past.number for past in task.attempts})
        assert (task.wake_at is None) == (task.state in TERMINAL)
        assert (task.finished_at is None) == (task.state not in TERMINAL)


def reachable_from(start: State) -> set[State]:
    seen = {start}
    while True:
        further = {target for (state, _), target in TRANSITIONS.items() if state in seen} - seen
        if not further:
            return seen
        seen |= further
