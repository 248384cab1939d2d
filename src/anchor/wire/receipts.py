"""Receipts: everything needed to check a finished task offline, as one JSON document."""

from typing import Final, Literal

import msgspec

from anchor.core.attempt import AttemptRecord, Outcome, Result
from anchor.core.ids import wire_id
from anchor.core.spec import ResolvedLimits
from anchor.core.verification import Verify
from anchor.wire.seals import limit_numbers, result_digest, sealed_session

FORMAT: Final = "anchor-receipt-1"


class _Part(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class ReceiptLimits(_Part, frozen=True):
    """The limits the node was given."""

    memory_mib: int
    timeout_ms: int
    output_bytes: int
    disk_mib: int
    fuel: int


class ReceiptFile(_Part, frozen=True):
    """A file the attempt left; its bytes are not in the receipt."""

    name: str
    sha256: str


class ReceiptAnswer(_Part, frozen=True):
    """How one attempt ended, as its node sealed it. `task` is the task the node was given: of a verified one, a copy.

    `result` is the SHA-256 of the result's JSON, empty where there is none. `seal` is empty where the node made none.
    `session` is the one it was sealed in. Times are Unix milliseconds.
    """

    task: str
    attempt: int
    node: str
    session: int
    outcome: str
    code: str
    result: str
    files: list[ReceiptFile]
    seal: bytes
    leased_at: int
    ended_at: int


class ReceiptVote(_Part, frozen=True):
    """One vote of a round. `compared` is the digest of what was compared, or the code of the failure."""

    copy: int
    owner: str
    agreed: bool
    compared: str
    answer: ReceiptAnswer


class ReceiptRound(_Part, frozen=True):
    """How a task was verified; `winner` is the number of the copy whose answer became the task's, -1 for none. An
    answer that is `spared` was taken unchecked."""

    policy: Verify
    agreed: bool
    winner: int
    spared: bool
    votes: list[ReceiptVote]


class Receipt(_Part, frozen=True):
    """A finished task. `payload` is its code and input, as JSON text, byte for byte as nodes were given it.

    `answer` is the attempt that ended the task; null where none did. `results` are the results named by answers, as
    JSON text by their SHA-256; one that is too large is left out. `keys` are the raw Ed25519 public keys of the
    nodes in here, in base64. Names, owners, states, times and the policy are the server's word;
    all else is sealed by nodes.
    """

    format: Literal["anchor-receipt-1"]
    task: str
    name: str
    owner: str
    state: str
    runtime: str
    limits: ReceiptLimits
    payload: str
    payload_sha256: str
    answer: ReceiptAnswer | None
    results: dict[str, str]
    keys: dict[str, bytes]
    verification: ReceiptRound | None = None


def limits_shown(limits: ResolvedLimits) -> ReceiptLimits:
    """Limits as a receipt names them."""
    return ReceiptLimits(*limit_numbers(limits))


def answer_shown(task: int, past: AttemptRecord, result: Result | None) -> ReceiptAnswer:
    """An attempt that is over, with the result that came of it."""
    kept = result if past.outcome is Outcome.SUCCEEDED else None
    return ReceiptAnswer(
        task=wire_id("task", task),
        attempt=past.number,
        node=past.node,
        session=sealed_session(past.seal) if past.seal else past.session,
        outcome=past.outcome.value,
        code="" if past.reason is None else past.reason.code,
        result="" if kept is None else result_digest(kept),
        files=[] if kept is None else [ReceiptFile(file.name, file.sha256) for file in kept.files],
        seal=past.seal,
        leased_at=past.leased_at,
        ended_at=past.ended_at,
    )
