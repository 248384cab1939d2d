"""A case: what is kept of a round in which somebody gave another answer than the one that was agreed on."""

from enum import StrEnum

import msgspec

from anchor.core.attempt import Reason
from anchor.core.verification import Vote


class CaseState(StrEnum):
    """What became of a case: `open` until somebody clears the dissenters, blocks them, or runs the task again."""

    OPEN = "open"
    CLEARED = "cleared"
    BLOCKED = "blocked"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence of dissent in a decided round; its id is the key of the task. Times are Unix milliseconds.

    `evidence` names the blob with all there is to check it by: code, input, every vote's answer and its node's
    signature. `differs` says in one line where the first dissenter's answer leaves the agreed one.
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
