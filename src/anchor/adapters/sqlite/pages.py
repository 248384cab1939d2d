"""Lists of tasks, newest first: whatever is asked for, one page looks at a bounded number of rows."""

import sqlite3
from typing import Any

import msgspec

from anchor.adapters.sqlite.rows import CODES, COLUMNS, IDS, as_ids, task_from
from anchor.core.task import TERMINAL, State
from anchor.ports.store import Page

BOUND = 20_000
"""Rows that one page looks at, at most."""
_ID_MAX = (1 << 63) - 1


def are_few(db: sqlite3.Connection, state: State) -> bool:
    """Whether at most BOUND tasks are in a live state, copies included."""
    rows = "SELECT 1 FROM tasks INDEXED BY tasks_due WHERE state < 5 AND state = ? LIMIT 1 OFFSET ?"
    return db.execute(rows, (CODES[state], BOUND)).fetchone() is None


def page_of(
    db: sqlite3.Connection, *, below: int | None, limit: int, state: State | None, label: str | None, owner: str | None
) -> Page:
    """The newest `limit` tasks below `below` that fit; fewer, with a place to go on, where the bound came first."""
    source, known = _source(db, state)
    place: dict[str, Any] = {"below": _ID_MAX if below is None else below, "bound": BOUND, **known}
    # A task that is part of nothing has no entry in the small index asked here.
    fits = [
        "NOT EXISTS (SELECT 1 FROM tasks AS part INDEXED BY tasks_parts WHERE part.part_of IS NOT NULL"
        " AND part.id = found.id AND part.copy_of IS NOT NULL)"
    ]
    if state is not None:
        fits.append("state = :code")
        place["code"] = CODES[state]
    if owner is not None:
        fits.append("owner = :owner")
        place["owner"] = owner
    if label is not None:
        # Finds the label's JSON text and, rarely, something that only looks like it: checked below.
        fits.append("labels IS NOT NULL AND instr(labels, :label) > 0")
        place["label"] = msgspec.json.encode(label)
    matching = f"SELECT id FROM ({source}) AS found WHERE {' AND '.join(fits)} LIMIT :limit"
    ids = db.execute(matching, place | {"limit": limit + 1}).fetchall()
    going_on: int | None = None
    if len(ids) > limit:
        ids.pop()
        going_on = ids[-1][0]
    else:
        floor = db.execute(f"SELECT id FROM ({source}) LIMIT 1 OFFSET :bound - 1", place).fetchone()
        going_on = floor[0] if floor else None
    wanted = as_ids([task for (task,) in ids])
    rows = db.execute(f"SELECT {COLUMNS} FROM tasks WHERE id IN ({IDS}) ORDER BY id DESC", (wanted,))
    tasks = [task_from(row) for row in rows]
    return Page([task for task in tasks if label is None or label in task.spec.labels], going_on)


def _source(db: sqlite3.Connection, state: State | None) -> tuple[str, dict[str, Any]]:
    columns = "SELECT id, state, owner, labels FROM tasks"
    order = "id < :below ORDER BY id DESC LIMIT :bound"
    if state in TERMINAL and state is not State.SUCCEEDED:
        return f"{columns} INDEXED BY tasks_rare WHERE state > 5 AND state = :of AND {order}", {"of": CODES[state]}
    if state is not None and state not in TERMINAL and are_few(db, state):
        return f"{columns} INDEXED BY tasks_due WHERE state < 5 AND state = :of AND {order}", {"of": CODES[state]}
    return f"{columns} NOT INDEXED WHERE {order}", {}
