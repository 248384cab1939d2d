"""A task as a document, and back.

The fields are the columns of SQLite's table with the same values, so that both engines give back the same task. Beside
them: `payload` (JSON bytes, read only when asked for), `labels` as an array for the sake of queries, `ended` (the
store's own time when a terminal state was written), `copy` and `verified` on what they are true of, and the marks
`born` and `ops` of `writes`. `part_of`, `origin` and `parts` are there only where a task has them.
"""

from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.writes import Change, New, change, new
from anchor.core.attempt import AttemptRecord, Reason, Result
from anchor.core.ids import keys_from
from anchor.core.items import Items
from anchor.core.spec import TaskSpec
from anchor.core.task import TERMINAL, Origin, State, Task
from anchor.core.verification import Round
from anchor.ports.store import Swap

CODES: Final[dict[State, int]] = {
    State.VERIFYING: -1,
    State.WAITING: 0,
    State.QUEUED: 1,
    State.LEASED: 2,
    State.BACKOFF: 3,
    State.CANCELLING: 4,
    State.SUCCEEDED: 5,
    State.FAILED: 6,
    State.CANCELLED: 7,
    State.INCONCLUSIVE: 8,
}
"""The numbers states have in the documents, for ever: below 5 a task is live."""
STATES: Final = {code: state for state, code in CODES.items()}
READ: Final = {"payload": 0, "born": 0, "ops": 0, "labels": 0, "ended": 0, "copy": 0, "verified": 0}
"""The projection of what `task_from` reads."""

_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_spec_from = msgspec.json.Decoder(TaskSpec).decode
_reason_from = msgspec.json.Decoder(Reason).decode
_attempts_from = msgspec.json.Decoder(tuple[AttemptRecord, ...]).decode
_origin_from = msgspec.json.Decoder(Origin).decode
_parts_from: Final = msgspec.json.Decoder(Items | Round).decode
# A result carries raw bytes, which JSON could only hold as base64.
_result_from = msgspec.msgpack.Decoder(Result).decode


def new_task(task: Task, *, now: datetime) -> New:
    """A new task's document; `now` is the store's time, for a task that is terminal from the start."""
    spec = task.spec
    document: Document = {
        "_id": task.id,
        "owner": task.owner,
        "priority": spec.priority,
        "shape": task.shape,
        "created_at": task.created_at,
        "retry_of": task.retry_of,
        "payload_blob": task.payload_blob,
        "ver": task.ver,
        **_changing(task),
    }
    if spec.payload is not None:
        document["payload"] = _json(spec.payload)
        spec = replace(spec, payload=None)
    if spec.labels:
        document["labels"] = list(spec.labels)
    if task.part_of:
        document["part_of"] = task.part_of
    if task.origin is not None:
        document["origin"] = _json(task.origin)
        if task.origin.head and task.origin.is_copy:
            document["copy"] = True
    if isinstance(task.parts, Round):
        document["verified"] = True
    if task.state in TERMINAL:
        document["ended"] = now
    document["spec"] = _json(spec)
    return new(document)


def changed_task(swap: Swap) -> Change:
    """The fields that a swap rewrites: never the spec or the payload."""
    task = swap.new
    old = swap.old
    fence = {"state": CODES[old.state], "attempt": old.attempt, "node": old.node, "session": old.session}
    return change(task.id, old.ver, task.ver, _changing(task), stamped=task.state in TERMINAL, fence=fence)


def task_from(doc: Document) -> Task:
    """The task of a document read with `READ`; its spec comes without the payload."""
    reason, attempts, result = doc["reason"], doc["attempts"], doc["result"]
    origin, parts = doc.get("origin"), doc.get("parts")
    # The driver gives 64-bit numbers a type of its own.
    return Task(
        id=int(doc["_id"]),
        owner=doc["owner"],
        shape=doc["shape"],
        created_at=int(doc["created_at"]),
        retry_of=int(doc["retry_of"]),
        payload_blob=doc["payload_blob"],
        part_of=int(doc.get("part_of", 0)),
        origin=None if origin is None else _origin_from(origin),
        spec=_spec_from(doc["spec"]),
        ver=int(doc["ver"]),
        state=STATES[doc["state"]],
        attempt=int(doc["attempt"]),
        charged=int(doc["charged"]),
        node=doc["node"],
        session=int(doc["session"]),
        wake_at=_time(doc["wake_at"]),
        leased_at=_time(doc["leased_at"]),
        finished_at=_time(doc["finished_at"]),
        reason=None if reason is None else _reason_from(reason),
        attempts=attempts_from(attempts),
        result=None if result is None else _result_from(result),
        parts=None if parts is None else _parts_from(parts),
    )


def attempts_from(field: bytes | None) -> tuple[AttemptRecord, ...]:
    """The attempts of a document."""
    return () if field is None else _attempts_from(field)


def last_key_of(parts: Items | Round) -> int:
    """The highest key that an item or copy may have."""
    count = 2 * parts.count if isinstance(parts, Items) else parts.cap
    return keys_from(parts.first, max(count, 1))[-1]


def _changing(task: Task) -> Document:
    fields: Document = {
        "state": CODES[task.state],
        "attempt": task.attempt,
        "charged": task.charged,
        "node": task.node,
        "session": task.session,
        "wake_at": task.wake_at,
        "leased_at": task.leased_at,
        "finished_at": task.finished_at,
        "reason": None if task.reason is None else _json(task.reason),
        "attempts": _json(task.attempts) if task.attempts else None,
        "result": None if task.result is None else _pack(task.result),
    }
    if task.parts is not None:
        fields["parts"] = _json(task.parts)
    return fields


def _time(value: Any) -> int | None:
    return None if value is None else int(value)
