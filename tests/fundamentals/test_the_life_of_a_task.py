"""Start here: what happens to a task, told with the pure functions that decide it. Nothing waits, nothing is faked."""

import pytest
from msgspec.structs import replace

from anchor.core.attempt import Ending, Outcome, Reason, Result
from anchor.core.errors import FailureCode
from anchor.core.node import Node, Profile, beat, greet, lease_has_ended
from anchor.core.placement import unmet_by
from anchor.core.spec import Need, Payload, TaskSpec, need_of, shape_of
from anchor.core.spec_faults import faults_in
from anchor.core.task import (
    IllegalTransition,
    State,
    Task,
    adopt,
    cancel,
    holds,
    lease,
    queued,
    settle,
    wake,
)

LEASE_MS = 15_000
HELLO = TaskSpec(name="hello", payload=Payload(source_code="return 6 * 7"))


def submitted() -> Task:
    return queued(key=1, owner="ann", spec=HELLO, shape=shape_of(need_of(HELLO)), now=0)


def leased(task: Task, *, now: int = 0) -> Task:
    return lease(task, node="REX-A1B2C3", session=1, now=now, lease_ms=LEASE_MS)


def answer(task: Task) -> Ending:
    return Ending(task.id, task.attempt, Outcome.SUCCEEDED, result=Result(json=b"42", size=2))


def failure(task: Task) -> Ending:
    return Ending(task.id, task.attempt, Outcome.ERRORED, reason=Reason(FailureCode.SCRIPT_ERROR, "it threw"))


def test_a_task_is_queued_then_leased_then_succeeds() -> None:
    task = submitted()
    assert task.state is State.QUEUED
    task = leased(task)
    assert task.state is State.LEASED
    task = settle(task, answer(task), now=5, chance=0.5)
    assert task.state is State.SUCCEEDED
    assert task.result == Result(json=b"42", size=2)


def test_a_task_that_fails_twice_succeeds_on_the_third_attempt() -> None:
    task, now = submitted(), 0
    for _ in range(2):
        task = leased(task, now=now)
        task = settle(task, failure(task), now=now, chance=0.5)
        assert task.state is State.BACKOFF
        assert task.wake_at is not None
        now = task.wake_at
        task = wake(task, now=now)
    task = leased(task, now=now)
    task = settle(task, answer(task), now=now, chance=0.5)
    assert task.state is State.SUCCEEDED
    assert [attempt.outcome for attempt in task.attempts] == [Outcome.ERRORED, Outcome.ERRORED, Outcome.SUCCEEDED]


def test_a_task_that_fails_three_times_has_failed_and_says_why() -> None:
    task = submitted()
    for _ in range(3):
        task = leased(replace(task, state=State.QUEUED))
        task = settle(task, failure(task), now=0, chance=0.5)
    assert task.state is State.FAILED
    assert task.reason == Reason(FailureCode.SCRIPT_ERROR, "it threw")


def test_a_finished_task_never_changes() -> None:
    task = leased(submitted())
    done = settle(task, answer(task), now=5, chance=0.5)
    for change in (
        lambda: settle(done, failure(done), now=6, chance=0.5),
        lambda: leased(done),
        lambda: cancel(done, by="ann", now=6),
        lambda: wake(done, now=6),
    ):
        with pytest.raises(IllegalTransition):
            change()


def test_a_stale_attempt_cannot_end_a_task() -> None:
    first = leased(submitted())
    lost = settle(first, Ending(1, 1, Outcome.LOST), now=20_000, chance=0.5)
    second = lease(wake(lost, now=30_000), node="BOB-Z9Y8X7", session=1, now=30_000, lease_ms=LEASE_MS)
    assert not holds(second, node="REX-A1B2C3", session=1, attempt=1)
    assert holds(second, node="BOB-Z9Y8X7", session=1, attempt=2)


def test_a_drained_nodes_work_returns_uncharged() -> None:
    task = leased(submitted())
    given_back = Ending(task.id, task.attempt, Outcome.RELEASED, reason=Reason(FailureCode.RELEASED, "draining"))
    task = settle(task, given_back, now=5, chance=0.5)
    assert task.state is State.QUEUED
    assert task.charged == 0


def test_a_task_that_runs_is_cancelled_only_when_its_node_has_let_go() -> None:
    task = cancel(leased(submitted()), by="ann", now=5)
    assert task.state is State.CANCELLING
    task = settle(task, Ending(1, 1, Outcome.CANCELLED), now=6, chance=0.5)
    assert task.state is State.CANCELLED


def test_a_node_that_is_not_heard_from_loses_everything_it_holds_at_once() -> None:
    node = greet(node_of("REX-A1B2C3"), profile=Profile(), slots=4, now=0, lease_ms=LEASE_MS)
    node = beat(node, node.metrics, now=10_000, lease_ms=LEASE_MS)
    assert not lease_has_ended(node, 1, now=24_999)
    assert lease_has_ended(node, 1, now=25_000)


def test_a_node_that_reconnects_goes_on_with_what_it_holds() -> None:
    task = leased(submitted())
    task = adopt(task, session=2, until=20_000)
    assert task.attempt == 1
    assert holds(task, node="REX-A1B2C3", session=2, attempt=1)
    assert not holds(task, node="REX-A1B2C3", session=1, attempt=1)


def test_a_machine_that_lacks_something_says_what() -> None:
    laptop = Profile(cores=4, ram=8.0, runtimes={"isolate": "0.14"})
    assert unmet_by(laptop, need_of(HELLO)) is None
    assert unmet_by(laptop, Need(min_ram_gib=16)) == "has 8 GiB of RAM of the 16 required"


def test_a_task_that_makes_no_sense_is_refused_with_the_place_that_is_wrong() -> None:
    [fault] = faults_in(TaskSpec(name="hello", payload=Payload()), "")
    assert (fault.pointer, fault.message) == ("/payload/sourceCode", "is missing; runtime isolate needs it")


def node_of(name: str) -> Node:
    return Node(id=name, owner="ann", public_key=b"k" * 32, joined_at=0)
