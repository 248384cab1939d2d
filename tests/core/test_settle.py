"""What a task becomes when its live attempt ends, for every way it can end."""

import pytest
from msgspec.structs import replace

from anchor.core.attempt import NOT_CHARGED, Ending, Outcome, Reason, Result, Usage
from anchor.core.errors import NEVER_RETRIED, FailureCode
from anchor.core.spec import RetryPolicy, TaskSpec
from anchor.core.task import FREE_MAX, State, Task, cancel, lease, queued, settle

NODE = "REX-A1B2C3"
FAILURES = [outcome for outcome in Outcome if outcome is not Outcome.SUCCEEDED]
CHARGED_FAILURES = [outcome for outcome in FAILURES if outcome not in NOT_CHARGED]


def leased(*, attempts: int = 3, charged: int = 0) -> Task:
    spec = TaskSpec(name="t", type="noop", retry=RetryPolicy(attempts=attempts))
    task = queued(key=1, owner="ann", spec=spec, shape="{}", now=0)
    return replace(lease(task, node=NODE, session=4, now=100, lease_ms=15_000), charged=charged)


def ending(outcome: Outcome, code: str = FailureCode.SCRIPT_ERROR) -> Ending:
    return Ending(1, 1, outcome, reason=Reason(code, "it broke", "mend it"), usage=Usage(wall_seconds=1.5))


def test_success_keeps_the_result_and_ends_the_task() -> None:
    done = settle(leased(), Ending(1, 1, Outcome.SUCCEEDED, result=Result(json=b"42", size=2)), now=300, chance=0.5)
    assert (done.state, done.result, done.finished_at, done.wake_at) == (
        State.SUCCEEDED, Result(json=b"42", size=2), 300, None,
    )  # fmt: skip
    assert (done.node, done.reason, done.charged) == (NODE, None, 1)


@pytest.mark.parametrize("outcome", CHARGED_FAILURES)
def test_a_failure_with_attempts_left_rests_before_the_next_one(outcome: Outcome) -> None:
    after = settle(leased(), ending(outcome), now=300, chance=0.5)
    assert (after.state, after.charged, after.wake_at) == (State.BACKOFF, 1, 300 + 2_000)
    assert after.reason == Reason(FailureCode.SCRIPT_ERROR, "it broke", "mend it")
    assert (after.node, after.session, after.finished_at) == ("", 0, None)


@pytest.mark.parametrize("outcome", CHARGED_FAILURES)
def test_a_failure_of_the_last_attempt_ends_the_task(outcome: Outcome) -> None:
    after = settle(leased(charged=2), ending(outcome), now=300, chance=0.5)
    assert (after.state, after.charged, after.finished_at, after.wake_at) == (State.FAILED, 3, 300, None)
    assert after.reason == Reason(FailureCode.SCRIPT_ERROR, "it broke", "mend it")
    assert after.node == NODE


@pytest.mark.parametrize("code", sorted(NEVER_RETRIED))
def test_a_failure_that_no_attempt_could_mend_ends_the_task_at_once(code: str) -> None:
    assert settle(leased(attempts=100), ending(Outcome.ERRORED, code), now=300, chance=0.5).state is State.FAILED


@pytest.mark.parametrize("outcome", sorted(NOT_CHARGED))
def test_an_ending_that_is_nobodys_fault_costs_the_task_nothing(outcome: Outcome) -> None:
    after = settle(leased(attempts=1), ending(outcome), now=300, chance=0.5)
    assert after.charged == 0
    assert after.state in {State.QUEUED, State.BACKOFF}


def test_released_work_is_queued_at_once() -> None:
    after = settle(leased(), ending(Outcome.RELEASED, FailureCode.RELEASED), now=300, chance=0.5)
    assert (after.state, after.node, after.wake_at) == (State.QUEUED, "", 300 + 30_000)


def test_refused_work_rests_first_lest_it_runs_in_circles() -> None:
    after = settle(leased(), ending(Outcome.REJECTED, FailureCode.RUNTIME_UNAVAILABLE), now=300, chance=0.5)
    assert (after.state, after.wake_at) == (State.BACKOFF, 300 + 2_000)


@pytest.mark.parametrize("outcome", sorted(NOT_CHARGED))
def test_work_that_is_given_back_over_and_over_is_charged_in_the_end(outcome: Outcome) -> None:
    task = leased(attempts=1)
    for times in range(FREE_MAX):
        task = replace(settle(task, ending(outcome), now=times, chance=0.5), state=State.LEASED)
        assert task.charged == 0
    after = settle(task, ending(outcome), now=300, chance=0.5)
    assert (after.state, after.charged) == (State.FAILED, 1)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_task_that_is_being_cancelled_is_cancelled_however_its_attempt_ends(outcome: Outcome) -> None:
    cancelling = cancel(leased(), by="ann", now=200)
    assert (cancelling.state, cancelling.wake_at) == (State.CANCELLING, 200)
    after = settle(cancelling, replace(ending(outcome), result=Result(json=b"1", size=1)), now=300, chance=0.5)
    assert (after.state, after.finished_at, after.wake_at, after.result) == (State.CANCELLED, 300, None, None)
    assert after.reason == Reason(FailureCode.CANCELLED, "Cancelled by ann.")


def test_a_task_that_nobody_holds_is_cancelled_at_once() -> None:
    task = queued(key=1, owner="ann", spec=TaskSpec(name="t", type="noop"), shape="{}", now=0)
    after = cancel(task, by="ann", now=200)
    assert (after.state, after.finished_at, after.wake_at) == (State.CANCELLED, 200, None)


@pytest.mark.parametrize("outcome", FAILURES)
def test_the_history_keeps_what_the_node_said(outcome: Outcome) -> None:
    [record] = settle(leased(), replace(ending(outcome), output_truncated=True), now=300, chance=0.5).attempts
    assert (record.number, record.node, record.session, record.outcome) == (1, NODE, 4, outcome)
    assert (record.leased_at, record.ended_at, record.output_truncated) == (100, 300, True)
    assert (record.reason, record.usage) == (Reason(FailureCode.SCRIPT_ERROR, "it broke", "mend it"), Usage(1.5))


def test_a_node_that_does_not_say_why_is_taken_to_have_crashed() -> None:
    after = settle(leased(), Ending(1, 1, Outcome.LOST), now=300, chance=0.5)
    assert after.reason is not None
    assert after.reason.code == FailureCode.CRASHED


def test_a_new_attempt_forgets_the_reason_of_the_one_before() -> None:
    rested = replace(settle(leased(), ending(Outcome.ERRORED), now=300, chance=0.5), state=State.QUEUED)
    assert lease(rested, node=NODE, session=5, now=400, lease_ms=15_000).reason is None
