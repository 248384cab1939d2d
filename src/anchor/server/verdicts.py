"""Rounds and cases of the truth as the API shows them."""

from collections.abc import Iterable
from typing import Any

from anchor.core.case import Case
from anchor.core.ids import STEP, wire_id
from anchor.core.node import Node
from anchor.core.reputation import Reputation
from anchor.core.task import TERMINAL, Task
from anchor.core.verification import Round, Vote
from anchor.wire.rest import time_of
from anchor.wire.verification import CaseRow, CaseView, VerificationView, VoterView, VoteView


def verification(task: Task, *, has_case: bool) -> VerificationView | None:
    """How far the verification of a task is; None where it is not verified."""
    parts = task.parts
    if not isinstance(parts, Round):
        return None
    verdict = parts.verdict
    votes = verdict.votes if verdict is not None else ()
    return VerificationView(
        state=_state(task, parts),
        copies=parts.asked,
        copies_max=parts.cap,
        agreed=sum(vote.agreed for vote in votes),
        spared=verdict is not None and verdict.spared,
        votes=[vote_view(vote, parts.first) for vote in votes],
        case_id=wire_id("case", task.id) if has_case else None,
    )


def may_have_case(task: Task) -> bool:
    """Whether a round was decided against somebody: only then is there evidence to look for."""
    parts = task.parts
    if not isinstance(parts, Round) or parts.verdict is None or not parts.verdict.agreed:
        return False
    return any(not vote.agreed for vote in parts.verdict.votes)


def _state(task: Task, parts: Round) -> str:
    if parts.verdict is not None:
        return "agreed" if parts.verdict.agreed else "inconclusive"
    return "cancelled" if task.state in TERMINAL else "open"


def vote_view(vote: Vote, first: int | None) -> VoteView:
    """A vote of the round whose first copy has this key (None: nobody knows any more)."""
    return VoteView(
        copy=vote.copy,
        copy_id=wire_id("task", first + vote.copy * STEP) if first is not None else None,
        node_id=vote.node,
        owner=vote.owner,
        agreed=vote.agreed,
        answer=vote.answer,
        leased_at=time_of(vote.leased_at),
        ended_at=time_of(vote.ended_at),
    )


def _row(case: Case) -> dict[str, Any]:
    return {
        "id": wire_id("case", case.id),
        "task_id": wire_id("task", case.id),
        "task_name": case.task_name,
        "owner": case.owner,
        "runtime": case.runtime,
        "state": case.state.value,
        "dissenters": list(case.dissenters),
        "differs": case.differs,
        "opened_at": time_of(case.opened_at),
        "reason": case.reason,
    }


def case_row(case: Case) -> CaseRow:
    """A case in a list."""
    return CaseRow(**_row(case))


def case_view(
    case: Case, first: int | None, evidence: Any, *, until: int | None, voters: list[VoterView], alike: Iterable[Case]
) -> CaseView:
    """A case, whole; `first` is the key of its round's first copy, `until` when it is removed (Unix ms)."""
    return CaseView(
        **_row(case),
        votes=[vote_view(vote, first) for vote in case.votes],
        reruns=[wire_id("task", task) for task in case.reruns],
        evidence=evidence,
        evidence_blob=f"sha256:{case.evidence}",
        evidence_until=time_of(until) if until is not None else None,
        voters=voters,
        alike=[wire_id("case", one.id) for one in alike],
    )


def voter_view(name: str, node: Node | None, status: str, runtime: str) -> VoterView:
    """A node that voted, as it is now; None where there is no such node any more."""
    known = node.reputation.get(runtime, Reputation()) if node is not None else Reputation()
    flags = [one.case for one in node.dissents if not one.forgiven] if node is not None else []
    return VoterView(
        node_id=name,
        status=status,
        version=node.profile.version if node is not None else "",
        checked=round(known.valid),
        in_row=known.valid_in_row,
        flags=[wire_id("case", case) for case in flags],
    )
