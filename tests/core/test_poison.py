"""A task that takes nodes down is given up, a node that goes down with every task is quarantined."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from anchor.core.attempt import Ending, Outcome, Reason, took_its_node_down
from anchor.core.errors import FailureCode
from anchor.core.node import Node, Profile, Status, crashed, greet, is_suspect, pardoned, proven, with_status
from anchor.core.spec import RetryPolicy, TaskSpec
from anchor.core.task import State, Task, cancel, lease, nodes_taken_down, queued, settle

NODE = Node(id="REX-A1B2C3", owner="ann", public_key=b"k" * 32, joined_at=0)
WENT_DOWN = [
    (Outcome.LOST, FailureCode.LEASE_LOST),
    (Outcome.CRASHED, FailureCode.AGENT_RESTARTED),
]
FAILED_FAIRLY = [
    (Outcome.ERRORED, FailureCode.SCRIPT_ERROR),
    (Outcome.TIMED_OUT, FailureCode.TIMEOUT),
    (Outcome.LIMIT_EXCEEDED, FailureCode.MEMORY_LIMIT),
    (Outcome.CRASHED, FailureCode.CRASHED),
    (Outcome.REJECTED, FailureCode.RUNTIME_UNAVAILABLE),
    (Outcome.RELEASED, FailureCode.RELEASED),
]


def tried(task: Task, node: str, outcome: Outcome, code: FailureCode) -> Task:
    """The task after one more attempt on this node."""
    held = lease(replace(task, state=State.QUEUED), node=node, session=1, now=0, lease_ms=1)
    return settle(held, Ending(1, held.attempt, outcome, reason=Reason(code, "it ended")), now=0, chance=0.5)


def fresh(attempts: int = 100) -> Task:
    spec = TaskSpec(name="t", type="noop", retry=RetryPolicy(attempts=attempts))
    return queued(key=1, owner="ann", spec=spec, shape="{}", now=0)


def with_crashes(*sessions: Sequence[int], node: Node = NODE) -> Node:
    for session, tasks in enumerate(sessions, start=1):
        node = crashed(node, session=session, tasks=tasks, explained=False)
    return node


@pytest.mark.parametrize(("outcome", "code"), WENT_DOWN)
def test_a_task_that_took_three_nodes_down_is_given_up_whatever_attempts_it_has_left(
    outcome: Outcome, code: FailureCode
) -> None:
    task = fresh()
    for node in ("A", "B"):
        task = tried(task, node, outcome, code)
        assert task.state is State.BACKOFF
    task = tried(task, "C", outcome, code)
    assert (task.state, task.finished_at, task.wake_at, task.charged) == (State.FAILED, 0, None, 3)
    assert task.reason is not None
    assert task.reason.code == FailureCode.POISON
    assert "A, B, C" in task.reason.message
    assert task.reason.hint
    assert task.attempts[-1].reason == Reason(code, "it ended")


def test_what_takes_the_same_node_down_over_and_over_is_charged_and_nothing_else() -> None:
    task = fresh()
    for node in "ABABABABA":
        task = tried(task, node, *WENT_DOWN[0])
    assert (task.state, task.charged) == (State.BACKOFF, 9)
    assert nodes_taken_down(task.attempts) == ["A", "B"]


@pytest.mark.parametrize(("outcome", "code"), FAILED_FAIRLY)
def test_a_task_that_fails_on_many_nodes_is_no_poison(outcome: Outcome, code: FailureCode) -> None:
    task = fresh()
    for node in "ABCDEFGHIJ":
        task = tried(task, node, outcome, code)
        assert task.state is not State.FAILED
    assert nodes_taken_down(task.attempts) == []


def test_fair_failures_in_between_neither_count_nor_excuse() -> None:
    task = fresh()
    for node, end in zip(
        "ABCDE", [WENT_DOWN[0], FAILED_FAIRLY[0], WENT_DOWN[1], FAILED_FAIRLY[1], WENT_DOWN[1]], strict=True
    ):
        assert task.state is not State.FAILED
        task = tried(task, node, *end)
    assert task.state is State.FAILED
    assert task.reason is not None
    assert "A, C, E" in task.reason.message


def test_a_poison_that_somebody_cancelled_is_cancelled() -> None:
    task = fresh()
    for node in "AB":
        task = tried(task, node, *WENT_DOWN[0])
    held = lease(replace(task, state=State.QUEUED), node="C", session=1, now=0, lease_ms=1)
    after = settle(cancel(held, by="ann", now=0), Ending(1, 3, Outcome.LOST), now=0, chance=0.5)
    assert after.state is State.CANCELLED


def test_a_process_that_dies_by_itself_does_not_take_its_node_down() -> None:
    assert not took_its_node_down(Ending(1, 1, Outcome.CRASHED, reason=Reason(FailureCode.CRASHED, "V8 died")))
    assert not took_its_node_down(Ending(1, 1, Outcome.CRASHED))
    assert took_its_node_down(Ending(1, 1, Outcome.LOST))


def test_a_node_that_went_down_with_three_different_tasks_in_a_row_is_quarantined() -> None:
    assert with_crashes([1], [2]).status is Status.READY
    node = with_crashes([1], [2], [3])
    assert node.status is Status.QUARANTINED
    assert node.reason is not None
    assert node.reason.code == "quarantined"
    assert f"anchor node resume {NODE.id}" in node.reason.hint
    assert node.ver == NODE.ver + 3


def test_a_session_that_ends_is_one_event_however_many_tasks_it_held() -> None:
    assert with_crashes([1, 2, 3, 4]).status is Status.READY
    node = NODE
    for task in range(1, 10):
        node = crashed(node, session=1, tasks=[task], explained=False)
    assert (node.status, len(node.crashes)) == (Status.READY, 1)


def test_a_task_that_a_node_goes_down_with_again_is_counted_once() -> None:
    node = with_crashes([7, 1], [7, 2], [7, 3], [7, 4], [7, 5])
    assert node.status is Status.READY
    assert len(node.crashes) <= 2


def test_a_task_that_took_down_other_nodes_before_is_to_blame_itself() -> None:
    node = NODE
    for session in range(1, 10):
        node = crashed(node, session=session, tasks=[session], explained=True)
    assert node.status is Status.READY


def test_a_session_is_explained_by_any_one_of_its_tasks_whenever_that_comes_out() -> None:
    node = with_crashes([1], [2])
    late = crashed(crashed(node, session=3, tasks=[3], explained=True), session=3, tasks=[4], explained=False)
    assert late.status is Status.READY


def test_a_success_breaks_the_row() -> None:
    node = proven(with_crashes([1], [2]))
    assert node.crashes == ()
    assert crashed(node, session=3, tasks=[3], explained=False).status is Status.READY


def test_a_success_of_a_node_without_crashes_changes_nothing() -> None:
    assert proven(NODE) is NODE
    assert not is_suspect(NODE)


def test_only_its_owner_ends_a_quarantine() -> None:
    node = with_crashes([1], [2], [3])
    assert not is_suspect(node)
    assert proven(node) is node
    again = greet(node, profile=Profile(), slots=1, now=1, lease_ms=1)
    assert again.status is Status.QUARANTINED
    back = with_status(again, Status.READY, None)
    assert (back.status, back.crashes, back.reason) == (Status.READY, (), None)


def test_a_quarantine_is_taken_back_when_one_of_its_tasks_takes_down_another_node_too() -> None:
    node = with_crashes([1], [2, 20], [3])
    assert pardoned(node, [99]) is node
    back = pardoned(node, [20])
    assert (back.status, back.reason, back.ver) == (Status.READY, None, node.ver + 1)
    assert crashed(back, session=4, tasks=[4], explained=False).status is Status.QUARANTINED


@pytest.mark.parametrize("status", [Status.DRAINING, Status.BLOCKED])
def test_what_its_owner_decided_about_a_node_stands(status: Status) -> None:
    decided = with_status(NODE, status, Reason(str(status), "by ann"))
    node = with_crashes([1], [2], [3], [4], node=decided)
    assert (node.status, node.reason) == (status, decided.reason)


def test_what_a_node_is_remembered_for_is_bounded() -> None:
    node = with_crashes(range(10_000), range(10_000, 20_000), [1], [2])
    assert sum(len(crash.tasks) for crash in node.crashes) <= 300
