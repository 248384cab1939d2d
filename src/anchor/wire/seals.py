"""What a node signs about one attempt, so that its answer can be checked by itself: later, elsewhere, by anybody."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from anchor.core.attempt import Ending, Outcome, Result
from anchor.core.ids import wire_id
from anchor.core.spec import ResolvedLimits, limits_for, need_of_shape
from anchor.core.task import Task
from anchor.wire.link import SIGNATURE_DOMAIN

SEAL_DOMAIN = SIGNATURE_DOMAIN + b"seal:"
SESSION_BYTES = 8
SEAL_BYTES = SESSION_BYTES + 64
"""A seal is the session it was made in, as a big-endian integer, and an Ed25519 signature."""

_encode = msgspec.json.Encoder().encode


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """Everything a seal says, as one JSON array in this order, without blanks.

    Digests are SHA-256 in hex: `payload` of the payload's JSON as the node was given it, `result` of the result's JSON
    (empty where the attempt did not succeed), `files` by name, sorted. `limits` are memory in MiB, time in ms, output
    in bytes, disk in MiB, fuel. `code` says why it did not succeed. All numbers are integers and the encoding of texts
    is that of RFC 8785, so the bytes are the same whoever writes them down.
    """

    node: str
    session: int
    task: str
    attempt: int
    runtime: str
    limits: tuple[int, int, int, int, int]
    payload: str
    outcome: str
    code: str
    result: str
    files: tuple[tuple[str, str], ...]


class Given(msgspec.Struct, frozen=True):
    """What a node was given: the task (its key), which attempt, the runtime, the limits, the payload's SHA-256."""

    task: int
    attempt: int
    runtime: str
    limits: ResolvedLimits
    payload: str


def given_of(task: Task, attempt: int, payload: str) -> Given:
    """What a node was given with an attempt of a task; `payload` is its SHA-256."""
    runtime = need_of_shape(task.shape).runtime
    return Given(task.id, attempt, runtime, limits_for(runtime, task.spec.limits), payload)


def statement(
    given: Given, *, node: str, session: int, outcome: Outcome, code: str, result: Result | None
) -> Statement:
    """What a node states about how an attempt ended."""
    return Statement(
        node=node,
        session=session,
        task=wire_id("task", given.task),
        attempt=given.attempt,
        runtime=given.runtime,
        limits=limit_numbers(given.limits),
        payload=given.payload,
        outcome=outcome.value,
        code=code,
        result="" if result is None else result_digest(result),
        files=() if result is None else tuple(sorted((file.name, file.sha256) for file in result.files)),
    )


def statement_of(given: Given, ending: Ending, *, node: str, session: int) -> Statement:
    """What a node states with an ending."""
    code = "" if ending.reason is None else ending.reason.code
    return statement(given, node=node, session=session, outcome=ending.outcome, code=code, result=ending.result)


def limit_numbers(limits: ResolvedLimits) -> tuple[int, int, int, int, int]:
    """Limits as a seal names them."""
    return (
        limits.memory_mib,
        round(limits.timeout_seconds * 1000),
        limits.output_bytes,
        limits.disk_mib,
        limits.fuel,
    )


def result_digest(result: Result) -> str:
    """The SHA-256 of a result's JSON, wherever that rests."""
    return result.blob or sha256(result.json).hexdigest()


def statement_bytes(said: Statement) -> bytes:
    """What a seal's signature covers."""
    return SEAL_DOMAIN + _encode(said)


def seal_from(session: int, signature: bytes) -> bytes:
    """A seal from its parts."""
    return session.to_bytes(SESSION_BYTES, "big") + signature


def sealed_session(seal: bytes) -> int:
    """The session a seal says it was made in. An attempt may be recorded in a later session of its node."""
    return int.from_bytes(seal[:SESSION_BYTES], "big")


def is_sealed(seal: bytes, keys: Sequence[bytes], said: Statement) -> bool:
    """Whether the seal is one of the statement by the holder of one of these raw Ed25519 keys; the session is read off
    the seal, and may not be later than the one that the statement names."""
    if len(seal) != SEAL_BYTES or sealed_session(seal) > said.session:
        return False
    content = statement_bytes(msgspec.structs.replace(said, session=sealed_session(seal)))
    for key in keys:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(seal[SESSION_BYTES:], content)
        except (InvalidSignature, ValueError):
            continue
        return True
    return False
