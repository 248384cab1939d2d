"""Rounds and cases as the REST API shows them."""

import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from anchor.core.attempt import Reason


class _View(msgspec.Struct, frozen=True, rename="camel", omit_defaults=False):
    pass


class VoteView(_View, frozen=True):
    """One vote of a decided round. `answer` is the SHA-256 of what was compared, or the code of the failure; `copy_id`
    is the copy, a task of its own; null where the round is past its retention."""

    copy: int
    copy_id: str | None
    node_id: str
    owner: str
    agreed: bool
    answer: str
    leased_at: datetime.datetime
    ended_at: datetime.datetime


class VerificationView(_View, frozen=True):
    """How far the verification of a task is. `state` is open, agreed, inconclusive or cancelled; `copies` were asked
    for so far, of at most `copies_max`. Votes are shown once the round is decided; `agreed` counts those that decided.
    `spared`: one answer was taken unchecked, since its node had earned trust. `case_id` names the evidence of dissent,
    while it is kept."""

    state: str
    copies: int
    copies_max: int
    agreed: int
    spared: bool
    votes: list[VoteView]
    case_id: str | None


class CaseRow(_View, frozen=True):
    """A case in a list: somebody answered otherwise than was agreed on. `state` is open, cleared or blocked."""

    id: str
    task_id: str
    task_name: str
    owner: str
    runtime: str
    state: str
    dissenters: list[str]
    differs: str
    opened_at: datetime.datetime
    reason: Reason | None


class VoterView(_View, frozen=True):
    """A node that voted in a case, as it is now. `status` as in `NodeView`, `gone` where there is no such node any
    more; `version` is its agent's; `checked` counts its answers in this runtime that were checked and found right
    (those of 30 days ago count half) and `in_row` the latest of them without a dissent; `flags` are the cases of the
    last 30 days in which it answered otherwise and nobody has explained it."""

    node_id: str
    status: str
    version: str
    checked: int
    in_row: int
    flags: list[str]


class CaseView(CaseRow, frozen=True):
    """A case, whole. `evidence` is what it can be checked by: code, input, every vote with its answer, timings and its
    node's signature; null where it is too large to show or gone, then `evidence_blob` names it; it is removed after
    `evidence_until`. `reruns` are the tasks that ran it again, `voters` the nodes that voted as they are now; `alike`
    are cases of the same program where that, and no node, is to blame for them."""

    votes: list[VoteView]
    reruns: list[str]
    evidence: Any
    evidence_blob: str
    evidence_until: datetime.datetime | None
    voters: list[VoterView]
    alike: list[str]


class CaseAction(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What is done about a case, and why."""

    reason: Annotated[str, Meta(max_length=500)] = ""
