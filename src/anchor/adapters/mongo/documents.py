"""A task as a document, and back.

The fields are the columns of SQLite's table with the same values, so that both engines give back the same task. Beside
them: `payload` (JSON bytes, read only when asked for), `labels` as an array for the sake of queries, `ended` (the
store's own time when a terminal state was written), and the marks `born` and `ops` of `writes`.
"""

from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.writes import Change, New, change, new
from anchor.core.attempt import AttemptRecord, Reason, Result
from anchor.core.spec import TaskSpec
from anchor.core.task import TERMINAL, State, Task
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
READ: Final = {"payload": 0, "born": 0, "ops": 0, "labels": 0, "ended": 0}
"""The projection of what `task_from` reads."""

_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_spec_from = msgspec.json.Decoder(TaskSpec).decode
_reason_from = msgspec.json.Decoder(Reason).decode
_attempts_from = msgspec.json.Decoder(tuple[AttemptRecord, ...]).decode
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
    # The driver gives 64-bit numbers a type of its own.
    return Task(
        id=int(doc["_id"]),
        owner=doc["owner"],
        shape=doc["shape"],
        created_at=int(doc["created_at"]),
        retry_of=int(doc["retry_of"]),
        payload_blob=doc["payload_blob"],
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
        attempts=() if attempts is None else _attempts_from(attempts),
        result=None if result is None else _result_from(result),
    )


def _changing(task: Task) -> Document:
    return {
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


def _time(value: Any) -> int | None:
    return None if value is None else int(value)
