"""Answers checked by copies: the policy a user asks for, the votes that come in, and what they decide."""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from anchor.core.errors import FailureCode, Fault

COPIES_MAX = 25


class Verify(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """How an answer is checked.

    `quorum` runs `copies` at once, on nodes of different owners, and takes the answer that `agree` of them gave; while
    none has so many, more copies run, up to `copies_max` (0: twice `copies`). `adaptive` starts with one copy, and asks
    for `agree` in all unless its node has earned trust. `compare` says when two answers are the same: `bytes`, `json`
    (canonical, without the JSON pointers in `ignore`), `numeric` (within `absolute` or `relative` of each other),
    `lines`. With `same_owner` copies need different nodes only: that finds machines that are broken, not an owner whose
    machines all lie, and says nothing of anybody's reputation.
    """

    policy: Literal["none", "quorum", "adaptive"] = "quorum"
    copies: Annotated[int, Meta(ge=1, le=COPIES_MAX)] = 3
    agree: Annotated[int, Meta(ge=1, le=COPIES_MAX)] = 2
    copies_max: Annotated[int, Meta(ge=0, le=COPIES_MAX)] = 0
    compare: Literal["bytes", "json", "numeric", "lines"] = "bytes"
    ignore: Annotated[list[Annotated[str, Meta(max_length=500)]], Meta(max_length=100)] = []
    absolute: Annotated[float, Meta(ge=0, le=1e300)] = 0.0
    relative: Annotated[float, Meta(ge=0, le=1)] = 0.0
    same_owner: bool = False


class Vote(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of one copy, as the verdict saw it. `answer` is the SHA-256 (hex) of what was compared, or the code of
    the failure; `agreed` whether it is among those that decided. Times are Unix milliseconds."""

    copy: int
    node: str
    owner: str
    answer: str
    agreed: bool
    leased_at: int
    ended_at: int


class Undecided(StrEnum):
    """Why a round ended without an answer that enough of its copies gave."""

    NOT_DETERMINISTIC = "not_deterministic"
    NO_MAJORITY = "no_majority"
    TOO_FEW_ANSWERS = "too_few_answers"
    POISON = "poison"


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a round decided, once and for ever: `winner` is the copy whose answer became the task's (-1: none). An
    answer that is `spared` was the only one, taken unchecked because its node had earned trust."""

    agreed: bool
    winner: int = -1
    votes: tuple[Vote, ...] = ()
    spared: bool = False
    why: Undecided | None = None


class Round(msgspec.Struct, frozen=True, omit_defaults=True, tag="round"):
    """One verification of a task. Its copies have the keys first, first + STEP, …; `cap` at most, `asked` so far."""

    first: int
    cap: int
    asked: int
    verdict: Verdict | None = None


MACHINES_OWN = frozenset(
    {
        FailureCode.TIMEOUT,
        FailureCode.MEMORY_LIMIT,
        FailureCode.PROCESS_LIMIT,
        FailureCode.DISK_LIMIT,
        FailureCode.DEPENDENCY_ERROR,
    }
)
"""Failures that depend on the machine as much as on the task: honest nodes may differ in them."""
NO_ANSWER = frozenset(
    {
        FailureCode.RUNTIME_UNAVAILABLE,
        FailureCode.CANCELLED,
        FailureCode.RELEASED,
        FailureCode.CRASHED,
        FailureCode.AGENT_RESTARTED,
        FailureCode.LEASE_LOST,
        FailureCode.INPUT_UNAVAILABLE,
        FailureCode.SEAL_INVALID,
    }
)
"""Failures by which a node, its owner or the network kept a copy from an answer: no vote, so another copy is asked."""


def policy_of(wish: Verify | str) -> Verify | None:
    """The policy behind what a user wrote, None where nothing is to be checked."""
    if wish == "none":
        return None
    policy = wish if isinstance(wish, Verify) else Verify(policy=_NAMED[wish])
    return None if policy.policy == "none" else policy


_NAMED: dict[str, Literal["none", "quorum", "adaptive"]] = {"none": "none", "quorum": "quorum", "adaptive": "adaptive"}


def opened(policy: Verify, *, first: int) -> Round:
    """A round at its beginning."""
    return Round(first=first, cap=cap_of(policy), asked=1 if policy.policy == "adaptive" else policy.copies)


def cap_of(policy: Verify) -> int:
    """How many copies a round may ask for in all."""
    return max(policy.copies_max or min(2 * policy.copies, COPIES_MAX), policy.agree)


def dissenters(verdict: Verdict) -> list[Vote]:
    """Votes that contradict what was agreed on. A limit of the machine contradicts nothing, nor does an answer where
    the others ran into one."""
    if not verdict.agreed or not any(vote.agreed and vote.answer not in MACHINES_OWN for vote in verdict.votes):
        return []
    return [vote for vote in verdict.votes if not vote.agreed and vote.answer not in MACHINES_OWN]


def faults_in_policy(policy: Verify, at: str) -> list[Fault]:
    """Every rule of meaning that a policy breaks; `at` is its JSON pointer."""
    if policy.policy == "none":
        return []
    faults: list[Fault] = []
    if policy.agree < 2:
        faults.append(Fault(f"{at}/agree", "has to be at least 2: one answer checks nothing (policy none says so)"))
    if policy.agree > policy.copies:
        faults.append(Fault(f"{at}/agree", f"is more than the {policy.copies} copies; lower it or raise copies"))
    elif 2 * policy.agree <= policy.copies:
        least = policy.copies // 2 + 1
        wrong = f"is not more than half of the {policy.copies} copies, so two answers could win; raise it to {least}"
        faults.append(Fault(f"{at}/agree", wrong))
    if 0 < policy.copies_max < policy.copies:
        faults.append(Fault(f"{at}/copiesMax", f"is less than the {policy.copies} copies; raise it or leave it out"))
    if policy.ignore and policy.compare != "json":
        faults.append(Fault(f"{at}/ignore", f"goes with compare json, not with {policy.compare}"))
    for number, pointer in enumerate(policy.ignore):
        if not pointer.startswith("/"):
            faults.append(Fault(f"{at}/ignore/{number}", "is not a JSON pointer; write one such as /time"))
    for name, value in (("absolute", policy.absolute), ("relative", policy.relative)):
        if value and policy.compare != "numeric":
            faults.append(Fault(f"{at}/{name}", f"goes with compare numeric, not with {policy.compare}"))
    return faults
