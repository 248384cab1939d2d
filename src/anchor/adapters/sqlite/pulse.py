"""How the queue moves: endings counted by the minute, and the age of the oldest that waits or runs."""

import sqlite3
from collections.abc import Mapping

from anchor.adapters.sqlite.rows import CODES, STATES
from anchor.core.ids import born_ms
from anchor.core.task import State
from anchor.ports.store import PULSE_MINUTES, Pulse

MINUTE_MS = 60_000


def add_ended(db: sqlite3.Connection, ended: Mapping[tuple[int, str, State], int]) -> None:
    """Count tasks that ended, by minute, owner and state."""
    for (minute, owner, state), n in ended.items():
        db.execute(
            "INSERT INTO ended (minute, owner, state, n) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET n = n + excluded.n",
            (minute, owner, CODES[state], n),
        )


def forget_ended(db: sqlite3.Connection, before_ms: int) -> None:
    """Forget the counts of minutes long past."""
    db.execute("DELETE FROM ended WHERE minute < ?", (before_ms // MINUTE_MS,))


def pulse_of(db: sqlite3.Connection, owner: str | None, now: int, oldest_queued: int | None) -> Pulse:
    """The pulse at `now` (Unix ms), given the id of the oldest queued task."""
    minute = now // MINUTE_MS
    rows = db.execute(
        "SELECT state, sum(n) FROM ended WHERE minute >= ?1 AND minute < ?2 AND (?3 IS NULL OR owner = ?3)"
        " GROUP BY state",
        (minute - PULSE_MINUTES, minute, owner),
    )
    ended = {STATES[code]: n for code, n in rows}
    # No more tasks are leased than the nodes have slots, so looking at each is cheap.
    (leased,) = db.execute(
        "SELECT min(id) FROM tasks INDEXED BY tasks_due WHERE state < 5 AND state = ?1 AND (?2 IS NULL OR owner = ?2)",
        (CODES[State.LEASED], owner),
    ).fetchone()
    return Pulse(_born(oldest_queued), _born(leased), ended)


def endings_of(db: sqlite3.Connection, owner: str | None, first: int, until: int) -> dict[tuple[int, State], int]:
    """How many tasks ended by minute and state, from minute `first` to before `until`."""
    rows = db.execute(
        "SELECT minute, state, sum(n) FROM ended WHERE minute >= ?1 AND minute < ?2 AND (?3 IS NULL OR owner = ?3)"
        " GROUP BY minute, state",
        (first, until, owner),
    )
    return {(minute, STATES[code]): n for minute, code, n in rows}


def _born(task: int | None) -> int | None:
    return None if task is None else born_ms(task)
