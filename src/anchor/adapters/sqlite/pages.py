"""Lists of tasks, newest first, and how many there are: one call looks at a bounded number of rows."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from anchor.adapters.sqlite.rows import CODES, COLUMNS, IDS, STATES, as_ids, task_from
from anchor.core.task import TERMINAL, State
from anchor.core.task_query import TaskQuery, name_has
from anchor.ports.store import Counted, Page

BOUND = 20_000
"""Rows that one call looks at, at most."""
_ID_MAX = (1 << 63) - 1
# A task that is part of nothing has no entry in the small index asked here.
_NO_COPY = (
    "NOT EXISTS (SELECT 1 FROM tasks AS part INDEXED BY tasks_parts WHERE part.part_of IS NOT NULL"
    " AND part.id = found.id AND part.copy_of IS NOT NULL)"
)
_LABELLED = (
    # Most rows are told by the first, which is cheap; the second is right.
    "labels IS NOT NULL AND instr(labels, :label_json) > 0"
    " AND EXISTS (SELECT 1 FROM json_each(CAST(labels AS TEXT)) WHERE value = :label)"
)
# SQLite knows the case of ASCII letters only: names with others are left to Python.
_NAMED = (
    "(instr(lower(spec ->> '$.name'), :name) > 0"
    " OR (length(spec) <> length(CAST(spec AS BLOB)) AND anchor_name_has(spec ->> '$.name', :name)))"
)
# Most specs are told by this, which is cheap: it holds for every one whose name has a plain text in it.
_MAY_BE_NAMED = "(instr(lower(spec), :name) > 0 OR length(spec) <> length(CAST(spec AS BLOB)))"


def are_few(db: sqlite3.Connection, state: State) -> bool:
    """Whether at most BOUND tasks are in a live state, copies included."""
    rows = "SELECT 1 FROM tasks INDEXED BY tasks_due WHERE state < 5 AND state = ? LIMIT 1 OFFSET ?"
    return db.execute(rows, (CODES[state], BOUND)).fetchone() is None


def page_of(db: sqlite3.Connection, query: TaskQuery, *, below: int | None, limit: int, skip: int) -> Page:
    """The newest `limit` tasks below `below` that fit, after `skip` of them; fewer, with a place to go on, where the
    bound came first."""
    source, fits, place = _asked(db, query, below=below, above=None)
    if skip:
        passed, looked_at, lowest = db.execute(
            f"SELECT count(*) FILTER (WHERE {fits}), count(*), min(id) FROM ({source}) AS found", place
        ).fetchone()
        if passed <= skip:
            return Page([], lowest if looked_at == BOUND else None, passed)
    matching = f"SELECT id FROM ({source}) AS found WHERE {fits} LIMIT :limit OFFSET :skip"
    ids = [task for (task,) in db.execute(matching, place | {"limit": limit + 1, "skip": skip})]
    if len(ids) > limit:
        ids.pop()
        going_on: int | None = ids[-1]
    else:
        going_on = _floor(db, source, place)
    return Page(_tasks(db, ids), going_on, skip)


def counted(db: sqlite3.Connection, query: TaskQuery, *, below: int | None, above: int | None) -> Counted:
    """How many of the newest `BOUND` rows between `above` and `below` fit, by state, and where to go on."""
    source, fits, place = _asked(db, query, below=below, above=above)
    rows = db.execute(f"SELECT state, count(*) FROM ({source}) AS found WHERE {fits} GROUP BY state", place)
    return Counted({STATES[code]: n for code, n in rows}, _floor(db, source, place))


def _tasks(db: sqlite3.Connection, ids: Sequence[int]) -> list[Any]:
    rows = db.execute(f"SELECT {COLUMNS} FROM tasks WHERE id IN ({IDS}) ORDER BY id DESC", (as_ids(ids),))
    return [task_from(row) for row in rows]


def _floor(db: sqlite3.Connection, source: str, place: dict[str, Any]) -> int | None:
    """The last id of a stretch of `BOUND` rows; None where there are fewer."""
    floor = db.execute(f"SELECT id FROM ({source}) LIMIT 1 OFFSET :bound - 1", place).fetchone()
    return None if floor is None else int(floor[0])


def _asked(
    db: sqlite3.Connection, query: TaskQuery, *, below: int | None, above: int | None
) -> tuple[str, str, dict[str, Any]]:
    """A bounded stretch of rows as SQL, what of it fits, and the values of both."""
    columns = ["id", "state"]
    place: dict[str, Any] = {"bound": BOUND, "below": _ID_MAX if below is None else below}
    fits = [_NO_COPY]
    for name in ("state", "owner", "node"):
        value = getattr(query, name)
        if value is not None:
            columns.append(name)
            fits.append(f"{name} = :{name}")
            place[name] = CODES[value] if name == "state" else value
    if query.label is not None:
        columns.append("labels")
        fits.append(_LABELLED)
        place |= {"label": query.label, "label_json": msgspec.json.encode(query.label)}
    if query.name is not None:
        columns.append("CAST(spec AS TEXT) AS spec")
        part = query.name.casefold()
        is_plain = part.isascii() and part.isprintable() and not set(part) & set('"\\')
        fits += [_MAY_BE_NAMED, _NAMED] if is_plain else [_NAMED]
        place["name"] = part
        db.create_function("anchor_name_has", 2, name_has, deterministic=True)
    if query.runtime is not None:
        columns.append("shape")
        # The runtime comes first in a shape, and is left out where it is noop.
        is_noop = query.runtime == "noop"
        fits.append("instr(shape, :runtime) <> 1" if is_noop else "instr(shape, :runtime) = 1")
        place["runtime"] = '{"runtime":' if is_noop else f'{{"runtime":{msgspec.json.encode(query.runtime).decode()}'
    for bound, compared in (("since", ">="), ("until", "<=")):
        if getattr(query, bound) is not None:
            columns.append("created_at")
            fits.append(f"created_at {compared} :{bound}")
            place[bound] = getattr(query, bound)
    if query.run is not None:
        columns.append("part_of")
        fits.append("part_of = :run")
        place["run"] = query.run
    table, known = _table(db, query)
    among = "id < :below" if above is None else "id < :below AND id > :above"
    place |= known if above is None else known | {"above": above}
    walked = f"SELECT {', '.join(dict.fromkeys(columns))} FROM {table} {among} ORDER BY id DESC LIMIT :bound"
    return walked, " AND ".join(fits), place


def _table(db: sqlite3.Connection, query: TaskQuery) -> tuple[str, dict[str, Any]]:
    """The table by the index with the fewest rows to look at."""
    state = query.state
    if query.run is not None:
        return "tasks INDEXED BY tasks_parts WHERE part_of IS NOT NULL AND", {}
    if state in TERMINAL and state is not State.SUCCEEDED:
        return "tasks INDEXED BY tasks_rare WHERE state > 5 AND state = :of AND", {"of": CODES[state]}
    if state is not None and state not in TERMINAL and are_few(db, state):
        return "tasks INDEXED BY tasks_due WHERE state < 5 AND state = :of AND", {"of": CODES[state]}
    return "tasks NOT INDEXED WHERE", {}
