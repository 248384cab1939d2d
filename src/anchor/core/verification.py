"""Answers checked by copies: the policy a user asks for, the votes that come in, and what they decide."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

COPIES_MAX = 25


class Verify(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """How an answer is checked.

    `quorum` runs `copies` at once, on nodes of different owners, and takes the answer that `agree` of them gave; while
    none has so many, one more copy runs, up to `copies_max` (0: twice `copies`). `adaptive` starts with one copy, and
    asks for others unless its node has earned trust. `compare` says when two answers are the same: `bytes`, `json`
    (canonical, without the JSON pointers in `ignore`), `numeric` (within `absolute` or `relative` of each other),
    `lines`.
    """

    policy: Literal["none", "quorum", "adaptive"] = "quorum"
    copies: Annotated[int, Meta(ge=1, le=COPIES_MAX)] = 3
    agree: Annotated[int, Meta(ge=1, le=COPIES_MAX)] = 2
    copies_max: Annotated[int, Meta(ge=0, le=COPIES_MAX)] = 0
    compare: Literal["bytes", "json", "numeric", "lines"] = "bytes"
    ignore: Annotated[list[Annotated[str, Meta(max_length=500)]], Meta(max_length=100)] = []
    absolute: Annotated[float, Meta(ge=0, le=1e300)] = 0.0
    relative: Annotated[float, Meta(ge=0, le=1)] = 0.0


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


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a round decided, once and for ever: `winner` is the copy whose result became the task's (-1: none)."""

    agreed: bool
    winner: int = -1
    votes: tuple[Vote, ...] = ()


class Round(msgspec.Struct, frozen=True, omit_defaults=True, tag="round"):
    """One verification of a task. Its copies have the keys first, first + STEP, …; `cap` at most, `asked` so far."""

    first: int
    cap: int
    asked: int
    verdict: Verdict | None = None
