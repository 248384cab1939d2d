"""One lease of a task to a node: how it ended, and the fence that lets only the live one speak."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from anchor.core.errors import FailureCode

Finite = Annotated[float, Meta(ge=-1e15, le=1e15)]
"""A measurement as it comes from a machine nobody fully trusts: no NaN, no infinity, which JSON cannot keep."""

Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    ERRORED = "errored"
    TIMED_OUT = "timed_out"
    LIMIT_EXCEEDED = "limit_exceeded"
    LOST = "lost"
    CRASHED = "crashed"
    RELEASED = "released"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


NOT_CHARGED = frozenset({Outcome.RELEASED, Outcome.REJECTED, Outcome.CANCELLED})
"""Endings that are nobody's fault: they do not use up one of the task's attempts."""


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why something is as it is: a code for programs, a sentence for people, and what to do next."""

    code: str
    message: str
    hint: str = ""


class Usage(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What an attempt used, as measured by the node. Bytes are those moved in (input, files, module) and out (output,
    result, files); fuel is what wasm counted, 0 where nothing counts it."""

    wall_seconds: Finite = 0.0
    cpu_seconds: Finite = 0.0
    peak_memory_mb: Finite = 0.0
    bytes_in: Count = 0
    bytes_out: Count = 0
    fuel: Count = 0


class OutputFile(msgspec.Struct, frozen=True):
    """A file an attempt left behind: its path in the working directory, and the blob (64 hex digits) that holds it."""

    name: Annotated[str, Meta(min_length=1, max_length=255)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    size: Count


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of a task: JSON text inline, or the SHA-256 of the blob that holds it; and the files it left."""

    json: bytes = b""
    blob: str = ""
    size: int = 0
    truncated: bool = False
    files: Annotated[tuple[OutputFile, ...], Meta(max_length=200)] = ()


class Ending(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node reports about an attempt it held. `result` goes with success, `reason` with everything else. `seal`
    is the node's signature over this one ending (see wire.seals), so that it can be checked without the others."""

    task: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    attempt: Annotated[int, Meta(ge=0, lt=1 << 31)]
    outcome: Outcome
    result: Result | None = None
    reason: Reason | None = None
    usage: Usage | None = None
    output_truncated: bool = False
    seal: Annotated[bytes, Meta(max_length=72)] = b""


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt that is over, as kept in the task's history. Times are Unix milliseconds."""

    number: int
    node: str
    session: int
    outcome: Outcome
    leased_at: int
    ended_at: int
    reason: Reason | None = None
    usage: Usage | None = None
    output_truncated: bool = False
    seal: bytes = b""


def took_its_node_down(ended: Ending | AttemptRecord) -> bool:
    """Whether an attempt ended because its agent did, or because its node was not heard of any more.

    A process that ran the attempt and died by itself is no such thing: the agent saw it die, and goes on.
    """
    if ended.outcome is Outcome.CRASHED:
        return ended.reason is not None and ended.reason.code == FailureCode.AGENT_RESTARTED
    return ended.outcome is Outcome.LOST
