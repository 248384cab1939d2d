"""A case: what is kept of a round in which somebody gave another answer than the one that was agreed on."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from anchor.core.attempt import Reason, Result, Usage
from anchor.core.spec import Limits
from anchor.core.verification import Verify, Vote

CASES_MIN: Final = 3


class CaseState(StrEnum):
    """What became of a case: `open` until somebody clears the dissenters, blocks them, or runs the task again."""

    OPEN = "open"
    CLEARED = "cleared"
    BLOCKED = "blocked"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence of dissent in a decided round; its id is the key of the task. Times are Unix milliseconds.

    `evidence` names the blob with all there is to check it by: code, input, every vote's answer and its node's
    signature. `differs` says in one line where the first dissenter's answer leaves the agreed one. `code` is the
    SHA-256 of what was run, without its input: by it the cases of one program are known.
    """

    id: int
    owner: str
    task_name: str
    runtime: str
    opened_at: int
    votes: tuple[Vote, ...]
    dissenters: tuple[str, ...]
    differs: str
    evidence: str
    ver: int = 1
    state: CaseState = CaseState.OPEN
    reason: Reason | None = None
    reruns: tuple[int, ...] = ()
    code: str = ""


class Testimony(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One vote with all it rests on. `public_key` and `seal` are those of the node; bytes travel as base64."""

    copy: str
    node_id: str
    owner: str
    public_key: bytes
    session: int
    attempt: int
    agreed: bool
    answer: str
    result: Result | None
    reason: Reason | None
    usage: Usage | None
    leased_at: int
    ended_at: int
    seal: bytes


class Difference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a dissenter's answer leaves the agreed one: `offset` bytes into the result, or in a file; `agreed` and
    `dissent` are the text from there on, cut."""

    copy: str
    where: str
    offset: int = 0
    agreed: str = ""
    dissent: str = ""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All there is to check a decided round by. Times are Unix milliseconds. `payload` is code and input as JSON;
    where it is large it rests in the blob `payload_blob` instead."""

    task: str
    name: str
    owner: str
    runtime: str
    payload: msgspec.Raw
    payload_blob: str
    limits: Limits
    verify: Verify
    testimonies: list[Testimony]
    differences: list[Difference]


def is_to_blame(cases: Iterable[Case]) -> bool:
    """Whether the code of these cases, all of one program, is to blame rather than those who dissented.

    It is where, in three or more cases, most of the nodes that voted have dissented once: its answers are a matter of
    chance.
    """
    known = [case for case in cases if case.state is CaseState.OPEN]
    voters = {vote.node for case in known for vote in case.votes}
    dissent = {node for case in known for node in case.dissenters}
    return len(known) >= CASES_MIN and 2 * len(dissent) > len(voters)
