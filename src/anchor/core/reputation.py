"""What a node's checked answers say of it, by runtime; and whose fault it was when an attempt did not succeed."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from anchor.core.attempt import AttemptRecord, Ending, Outcome
from anchor.core.errors import FailureCode

HALF_LIFE_MS: Final = 30 * 86_400_000
"""What was checked this long ago counts half."""
TRUSTED_AFTER: Final = 10
"""Answers in a row that have to be checked and found right before a node's answer may stand alone (BOINC's rule)."""
COUNTED_MAX: Final = 64
DISSENT_WEIGHT: Final = 5.0
"""A dissent weighs as much as this many answers found right."""


class Reputation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answers of one node in one runtime that a decided round has checked. `valid` and `invalid` decay with time, as of
    `at` (Unix ms); `valid_in_row` is broken by a dissent; `counted` are the newest rounds that are in here, so that
    none counts twice."""

    valid_in_row: int = 0
    valid: float = 0.0
    invalid: float = 0.0
    at: int = 0
    counted: tuple[int, ...] = ()


class Cause(StrEnum):
    """Whose fault it was that an attempt did not succeed."""

    TASK = "task"
    NODE = "node"
    NETWORK = "network"
    OWNER = "owner"


class Rated(Protocol):
    """A node as its reputation is looked at."""

    @property
    def reputation(self) -> Mapping[str, Reputation]:
        """By runtime."""


def confirmed(old: Reputation, round_: int, *, now: int) -> Reputation:
    """After a round found this node's answer right; unchanged where that round is in already."""
    if round_ in old.counted:
        return old
    new = _decayed(old, now)
    return replace(new, valid=new.valid + 1, valid_in_row=new.valid_in_row + 1, counted=_and(old.counted, round_))


def contradicted(old: Reputation, round_: int, *, now: int) -> Reputation:
    """After a round agreed on another answer than this node's; unchanged where that round is in already."""
    if round_ in old.counted:
        return old
    new = _decayed(old, now)
    return replace(new, invalid=new.invalid + 1, valid_in_row=0, counted=_and(old.counted, round_))


def restored(old: Reputation, *, row: int, now: int) -> Reputation:
    """After a dissent was taken back that had ended a row of `row` answers found right."""
    new = _decayed(old, now)
    return replace(new, invalid=max(new.invalid - 1, 0.0), valid_in_row=new.valid_in_row + row)


def check_chance(reputation: Reputation | None, *, share: float) -> float:
    """How likely a node's answer to an adaptive task has to be checked: always while it is on probation, else 1 in the
    number of its answers found right in a row, and never less than `share`, the spot checks of the trusted."""
    if reputation is None or reputation.valid_in_row < TRUSTED_AFTER:
        return 1.0
    return max(1.0 / reputation.valid_in_row, share)


def reliability(node: Rated, runtime: str) -> float:
    """From 0 to 1: how far a node's answers in a runtime are to be relied on; 0.5 where nothing was checked yet."""
    known = node.reputation.get(runtime)
    if known is None:
        return 0.5
    return (known.valid + 1.0) / (known.valid + DISSENT_WEIGHT * known.invalid + 2.0)


def cause_of(ended: Ending | AttemptRecord) -> Cause | None:
    """Whose fault an ending is; None where nothing went wrong, or somebody wanted the end."""
    code = ended.reason.code if ended.reason is not None else ""
    match ended.outcome:
        case Outcome.SUCCEEDED | Outcome.CANCELLED:
            return None
        case Outcome.RELEASED | Outcome.REJECTED:
            return Cause.OWNER
        case Outcome.LOST:
            return Cause.NETWORK
        case Outcome.CRASHED if code == FailureCode.AGENT_RESTARTED:
            return Cause.NODE
        case _ if code in (FailureCode.RUNTIME_UNAVAILABLE, FailureCode.SEAL_INVALID):
            return Cause.NODE
        case _ if code == FailureCode.INPUT_UNAVAILABLE:
            return Cause.NETWORK
        case _:
            return Cause.TASK


def _decayed(old: Reputation, now: int) -> Reputation:
    if now <= old.at:
        return old
    kept = 0.5 ** ((now - old.at) / HALF_LIFE_MS)
    return replace(old, valid=old.valid * kept, invalid=old.invalid * kept, at=now)


def _and(counted: tuple[int, ...], round_: int) -> tuple[int, ...]:
    return (*counted, round_)[-COUNTED_MAX:]
