"""A node's name: earned by checked answers, lost by dissent, halved by time, restored where it was wronged."""

import pytest

from anchor.core.attempt import Ending, Outcome, Reason
from anchor.core.case import Case, CaseState, is_to_blame
from anchor.core.ids import STEP, first_key_of
from anchor.core.node import DISSENTS_MAX, Finding, Node, Status, absolved, at_fault, found, with_status
from anchor.core.reputation import HALF_LIFE_MS, TRUSTED_AFTER, Cause, cause_of, check_chance, reliability
from anchor.core.verification import Vote

NOW = 1_790_000_000_000
FRESH = Node(id="N", owner="o", public_key=b"", joined_at=NOW)
FIRST = first_key_of(NOW)


def after(node: Node, *valid: bool, first: int = 0, now: int = NOW, runtime: str = "wasm") -> Node:
    for number, one in enumerate(valid, first):
        node = found(node, [Finding("N", runtime, FIRST + number * STEP, one)], now=now)
    return node


def case(number: int, voters: str, dissenter: str, state: CaseState = CaseState.OPEN) -> Case:
    votes = tuple(Vote(at, node, node, "", node != dissenter, 0, 0) for at, node in enumerate(voters))
    return Case(
        id=number, owner="", task_name="", runtime="wasm", opened_at=NOW, votes=votes, dissenters=(dissenter,),
        differs="", evidence="", state=state,
    )  # fmt: skip


def test_only_what_a_round_found_right_ten_times_in_a_row_may_stand_alone_and_never_always() -> None:
    nearly = after(FRESH, *[True] * (TRUSTED_AFTER - 1)).reputation["wasm"]
    trusted = after(FRESH, *[True] * TRUSTED_AFTER).reputation["wasm"]
    old = after(FRESH, *[True] * 60).reputation["wasm"]
    assert [check_chance(one, share=0.05) for one in (None, nearly, trusted, old)] == [1.0, 1.0, 0.1, 0.05]


def test_a_dissent_breaks_the_row_in_its_runtime_only() -> None:
    node = after(after(FRESH, *[True] * 12), *[True] * 12, first=20, runtime="python")
    node = after(node, False, first=50)
    assert [check_chance(node.reputation[name], share=0) for name in ("wasm", "python")] == [1.0, 1 / 12]
    assert reliability(node, "wasm") < reliability(node, "python")
    assert reliability(node, "isolate") == 0.5


def test_no_round_counts_twice() -> None:
    once = after(FRESH, True, False)
    assert after(once, True, False) is once


def test_what_was_checked_long_ago_counts_half() -> None:
    node = after(after(FRESH, True, True), True, first=5, now=NOW + HALF_LIFE_MS)
    assert node.reputation["wasm"].valid == pytest.approx(2.0)


def test_three_dissents_quarantine_and_an_explained_one_takes_back_all_it_did() -> None:
    row = after(FRESH, *[True] * 12)
    node = after(row, *[False] * DISSENTS_MAX, first=12)
    assert (node.status, node.faults) == (Status.QUARANTINED, {"node": 3})
    back = absolved(node, {FIRST + 12 * STEP}, now=NOW)
    assert (back.status, back.reputation["wasm"].valid_in_row, back.faults) == (Status.READY, 12, {"node": 2})
    assert absolved(back, {FIRST + 12 * STEP}, now=NOW) is back


def test_a_node_taken_back_by_its_owner_begins_with_a_clean_slate_but_not_with_a_new_name() -> None:
    node = with_status(after(FRESH, *[False] * 3), Status.READY, None)
    again = after(node, False, False, first=5)
    assert again.status is Status.READY
    assert again.reputation["wasm"].invalid == 5
    assert after(again, False, first=9).status is Status.QUARANTINED


def test_dissents_of_long_ago_quarantine_nobody() -> None:
    later = NOW + 2 * HALF_LIFE_MS
    node = found(after(FRESH, False, False), [Finding("N", "wasm", first_key_of(later), False)], now=later)
    assert (node.status, len(node.dissents)) == (Status.READY, 1)


def test_a_program_on_whose_answers_most_nodes_differ_is_to_blame_and_liars_in_the_minority_are_not_spared() -> None:
    assert is_to_blame([case(1, "ABC", "A"), case(2, "ABC", "B"), case(3, "ABC", "C")])
    assert not is_to_blame([case(1, "ABC", "A"), case(2, "ABC", "B")])
    assert not is_to_blame([case(1, "ABC", "A"), case(2, "ADE", "A"), case(3, "FGH", "F")])
    cleared = [case(number, "ABC", node, CaseState.CLEARED) for number, node in enumerate("ABC")]
    assert not is_to_blame(cleared)


@pytest.mark.parametrize(
    ("outcome", "code", "cause"),
    [
        (Outcome.SUCCEEDED, "", None),
        (Outcome.CANCELLED, "cancelled", None),
        (Outcome.ERRORED, "script_error", Cause.TASK),
        (Outcome.TIMED_OUT, "timeout", Cause.TASK),
        (Outcome.CRASHED, "crashed", Cause.TASK),
        (Outcome.CRASHED, "agent_restarted", Cause.NODE),
        (Outcome.ERRORED, "runtime_unavailable", Cause.NODE),
        (Outcome.ERRORED, "seal_invalid", Cause.NODE),
        (Outcome.ERRORED, "input_unavailable", Cause.NETWORK),
        (Outcome.LOST, "lease_lost", Cause.NETWORK),
        (Outcome.RELEASED, "released", Cause.OWNER),
        (Outcome.REJECTED, "rejected", Cause.OWNER),
    ],
)
def test_what_goes_wrong_is_counted_by_whose_fault_it_was(outcome: Outcome, code: str, cause: Cause | None) -> None:
    ending = Ending(1, 1, outcome, reason=Reason(code, "") if code else None)
    assert cause_of(ending) is cause
    assert at_fault(FRESH, [ending, ending]).faults == ({} if cause is None else {cause.value: 2})


def test_a_poison_task_counts_against_the_nodes_it_ran_on_and_quarantines_none() -> None:
    crash = Ending(1, 1, Outcome.ERRORED, reason=Reason("memory_limit", ""))
    nodes = [at_fault(FRESH, [crash] * 5) for _ in range(20)]
    assert {node.status for node in nodes} == {Status.READY}
