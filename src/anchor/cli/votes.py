"""Votes and verdicts for people."""

from collections.abc import Sequence

from anchor.cli import show
from anchor.wire.verification import VerificationView, VoteView

DIGEST_SHOWN = 16
_SHA256_DIGITS = 64


def show_votes(votes: Sequence[VoteView]) -> None:
    """Who answered what, a line each."""
    show.as_table(
        ("COPY", "NODE", "OWNER", "VOTE", "ANSWER", "TOOK"),
        (
            (
                vote.copy_id or str(vote.copy),
                vote.node_id,
                vote.owner,
                "agreed" if vote.agreed else "differs",
                _short(vote.answer),
                show.duration((vote.ended_at - vote.leased_at).total_seconds()),
            )
            for vote in votes
        ),
    )


def verdict_of(round_: VerificationView | None) -> str:
    """How far a verification is, in a few words; empty where there is none."""
    if round_ is None:
        return ""
    if round_.spared:
        return "one answer, taken unchecked: its node has earned trust"
    if round_.votes:
        return f"{round_.state}: {round_.agreed} of {len(round_.votes)} answers agree"
    return f"{round_.state}: {round_.copies} copies, at most {round_.copies_max}"


def _short(answer: str) -> str:
    return f"{answer[:DIGEST_SHOWN]}…" if len(answer) == _SHA256_DIGITS else answer
