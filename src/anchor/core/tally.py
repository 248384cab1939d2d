"""Votes are counted: what a round decides, or how many more copies it asks for."""

from collections.abc import Callable, Sequence

import msgspec

from anchor.core.verification import Round, Undecided, Verdict, Verify, Vote


class Ballot(msgspec.Struct, frozen=True):
    """What one copy brought. `answer` is the digest of its answer, or the code of its failure."""

    copy: int
    node: str
    owner: str
    answer: str
    is_failure: bool
    leased_at: int
    ended_at: int


class Open(msgspec.Struct, frozen=True):
    """Nothing is decided yet; `more` copies are asked for now (0: others are still under way)."""

    more: int


Same = Callable[[int, int], bool]
"""Whether the answers of two copies, by their numbers, are the same."""


def counted(
    policy: Verify, round_: Round, ballots: Sequence[Ballot], *, live: int, same: Same, spared: bool
) -> Verdict | Open:
    """What these ballots decide while `live` copies are still under way.

    A second ballot of a node or of an owner is void. `spared` says that the one answer of an adaptive round need not be
    checked. Agreed is what at least `agree` ballots have in common and no other group has as much; a ballot belongs
    to every candidate it is the same as, so that closeness need not be transitive.
    """
    valid = _valid(ballots, same_owner=policy.same_owner)
    if policy.policy == "adaptive" and round_.asked == 1 and live == 0 and len(valid) == 1:
        [only] = valid
        if spared and not only.is_failure:
            return Verdict(True, only.copy, (_vote(only, agreed=True),), spared=True)
        return Open(policy.agree - 1)
    groups = [[other for other in valid if other is one or _agree(one, other, same)] for one in valid]
    best = max(range(len(valid)), key=lambda at: (len(groups[at]), -at), default=None)
    largest = len(groups[best]) if best is not None else 0
    if best is not None and largest >= policy.agree and not _has_rival(valid, groups, best):
        with_it = {ballot.copy for ballot in groups[best]}
        votes = tuple(_vote(ballot, agreed=ballot.copy in with_it) for ballot in valid)
        return Verdict(True, valid[best].copy, votes)
    wanted = max(policy.agree - largest, 1)
    if live >= wanted:
        return Open(0)
    more = min(wanted - live, round_.cap - round_.asked)
    if more > 0 or live > 0:
        return Open(max(more, 0))
    return Verdict(False, votes=tuple(_vote(ballot, agreed=False) for ballot in valid), why=_why(policy, groups))


def poisoned(ballots: Sequence[Ballot]) -> Verdict:
    """The end of a round one of whose copies took its nodes down: no more of them are risked."""
    votes = tuple(_vote(ballot, agreed=False) for ballot in _valid(ballots, same_owner=True))
    return Verdict(False, votes=votes, why=Undecided.POISON)


def _valid(ballots: Sequence[Ballot], *, same_owner: bool) -> list[Ballot]:
    """One ballot a node and, unless `same_owner`, one an owner: the one that came first."""
    valid: list[Ballot] = []
    for ballot in sorted(ballots, key=lambda one: (one.ended_at, one.copy)):
        if all(ballot.node != other.node and (same_owner or ballot.owner != other.owner) for other in valid):
            valid.append(ballot)
    return valid


def _agree(one: Ballot, other: Ballot, same: Same) -> bool:
    if one.is_failure or other.is_failure:
        return one.is_failure and other.is_failure and one.answer == other.answer
    return same(one.copy, other.copy)


def _has_rival(valid: Sequence[Ballot], groups: Sequence[Sequence[Ballot]], best: int) -> bool:
    winners = groups[best]
    return any(
        len(group) == len(winners) and ballot not in winners for ballot, group in zip(valid, groups, strict=True)
    )


def _why(policy: Verify, groups: Sequence[Sequence[Ballot]]) -> Undecided:
    if len(groups) > 1 and all(len(group) == 1 for group in groups):
        return Undecided.NOT_DETERMINISTIC
    return Undecided.TOO_FEW_ANSWERS if len(groups) < policy.agree else Undecided.NO_MAJORITY


def _vote(ballot: Ballot, *, agreed: bool) -> Vote:
    return Vote(
        copy=ballot.copy,
        node=ballot.node,
        owner=ballot.owner,
        answer=ballot.answer,
        agreed=agreed,
        leased_at=ballot.leased_at,
        ended_at=ballot.ended_at,
    )
