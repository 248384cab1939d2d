"""A task as a row of its table, and back."""

import functools
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from anchor.core.attempt import AttemptRecord, Reason, Result
from anchor.core.ids import keys_from
from anchor.core.items import Items
from anchor.core.spec import TaskSpec
from anchor.core.task import Origin, State, Task
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
"""The numbers states have in the file, for ever: below 5 a task is live."""
STATES: Final = {code: state for state, code in CODES.items()}

FIXED: Final = (
    "id", "owner", "labels", "priority", "shape", "created_at", "retry_of", "payload_blob", "spec",
)  # fmt: skip
"""Columns that never change after the insert."""
CHANGING: Final = (
    "ver", "state", "attempt", "charged", "node", "session", "wake_at", "leased_at", "finished_at", "reason",
    "attempts", "result",
)  # fmt: skip
"""Columns that a swap rewrites."""
MADE_FOR: Final = ("part_of", "copy_of", "origin", "parts")
"""Columns that most tasks leave empty, so that most statements do without them; a swap rewrites `parts` alone."""
PLAIN_COLUMNS: Final = ", ".join(FIXED + CHANGING)
COLUMNS: Final = ", ".join(FIXED + CHANGING + MADE_FOR)
ROWS_PER_STATEMENT: Final = 64
IDS: Final = "SELECT value FROM json_each(?)"
"""Stands for any number of ids given as one parameter, made by `as_ids`."""

_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_spec_from = msgspec.json.Decoder(TaskSpec).decode
_reason_from = msgspec.json.Decoder(Reason).decode
_attempts_from = msgspec.json.Decoder(tuple[AttemptRecord, ...]).decode
_origin_from = msgspec.json.Decoder(Origin).decode
_parts_from: Final = msgspec.json.Decoder(Items | Round).decode
# A result carries raw bytes, which JSON could only hold as base64.
_result_from = msgspec.msgpack.Decoder(Result).decode


def insert_values(task: Task, values: list[Any]) -> bytes:
    """Append the values of a new row (`COLUMNS`, or `PLAIN_COLUMNS` of a plain task) and return the payload as JSON
    bytes, which rests in its own table."""
    spec = task.spec
    payload = b""
    if spec.payload is not None:
        payload = _json(spec.payload)
        spec = replace(spec, payload=None)
    labels = _json(spec.labels) if spec.labels else None
    values += (
        task.id, task.owner, labels, spec.priority, task.shape, task.created_at, task.retry_of, task.payload_blob,
        _json(spec),
    )  # fmt: skip
    _add_changing(task, values)
    if not is_plain(task):
        origin = task.origin
        values += (
            task.part_of or None,
            origin.head if origin is not None and origin.is_copy else None,
            None if origin is None else _json(origin),
            _parts(task),
        )
    return payload


def swap_values(swap: Swap, values: list[Any]) -> None:
    """Append the values of one row of `update_statement`."""
    values += (swap.new.id, swap.old.ver)
    _add_changing(swap.new, values)
    if swap.new.parts is not None:
        values.append(_parts(swap.new))


def is_plain(task: Task) -> bool:
    """Whether a task was made for nothing else and has no parts."""
    return task.origin is None and task.parts is None and not task.part_of


def _parts(task: Task) -> bytes | None:
    return None if task.parts is None else _json(task.parts)


def _add_changing(task: Task, values: list[Any]) -> None:
    values += (
        task.ver, CODES[task.state], task.attempt, task.charged, task.node, task.session, task.wake_at, task.leased_at,
        task.finished_at,
        None if task.reason is None else _json(task.reason),
        _json(task.attempts) if task.attempts else None,
        None if task.result is None else _pack(task.result),
    )  # fmt: skip


def task_from(row: tuple[Any, ...]) -> Task:
    """The task of a row of `COLUMNS`; its spec comes without the payload."""
    reason, attempts, result, part_of, _, origin, parts = row[18:]
    return Task(
        id=row[0],
        owner=row[1],
        shape=row[4],
        created_at=row[5],
        retry_of=row[6],
        payload_blob=row[7],
        spec=_spec_from(row[8]),
        part_of=part_of or 0,
        origin=None if origin is None else _origin_from(origin),
        ver=row[9],
        state=STATES[row[10]],
        attempt=row[11],
        charged=row[12],
        node=row[13],
        session=row[14],
        wake_at=row[15],
        leased_at=row[16],
        finished_at=row[17],
        reason=None if reason is None else _reason_from(reason),
        attempts=() if attempts is None else _attempts_from(attempts),
        result=None if result is None else _result_from(result),
        parts=None if parts is None else _parts_from(parts),
    )


def is_verified(task: Task) -> bool:
    """Whether a task's answer is checked by copies."""
    return type(task.parts) is Round


def is_copy(task: Task) -> bool:
    """Whether a task is one of the copies that check an answer: they are in no list and no count."""
    return task.origin is not None and task.origin.is_copy


def last_key_of(parts: Items | Round) -> int:
    """The highest key that an item or copy may have."""
    count = 2 * parts.count if isinstance(parts, Items) else parts.cap
    return keys_from(parts.first, max(count, 1))[-1]


def as_ids(ids: Sequence[int]) -> str:
    """Ids as the one parameter of `IDS`."""
    return _json(ids).decode()


@functools.cache
def insert_statement(table: str, columns: str, width: int, rows: int, *, ignore: bool = False) -> str:
    """An INSERT of several rows at once: one statement costs far less than one per row."""
    verb = "INSERT OR IGNORE" if ignore else "INSERT"
    return f"{verb} INTO {table} ({columns}) VALUES {_groups(width, rows)}"


@functools.cache
def update_statement(rows: int, *, with_parts: bool) -> str:
    """An UPDATE of several tasks at once, each only where its version is still the expected one."""
    names = (*CHANGING, "parts") if with_parts else CHANGING
    sets = ", ".join(f"{name} = v.column{at}" for at, name in enumerate(names, start=3))
    return (
        f"UPDATE tasks SET {sets} FROM (VALUES {_groups(len(names) + 2, rows)}) AS v"
        " WHERE tasks.id = v.column1 AND tasks.ver = v.column2"
    )


def chunks(count: int) -> list[tuple[int, int]]:
    """`count` rows as (first, rows) with power-of-two sizes up to 64, so that few distinct statements are prepared."""
    parts: list[tuple[int, int]] = []
    first = 0
    while first < count:
        rows = min(ROWS_PER_STATEMENT, 1 << ((count - first).bit_length() - 1))
        parts.append((first, rows))
        first += rows
    return parts


def _groups(width: int, rows: int) -> str:
    group = f"({', '.join('?' * width)})"
    return ", ".join([group] * rows)
