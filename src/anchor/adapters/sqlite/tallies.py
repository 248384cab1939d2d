"""How many runs, and how many tasks verified by copies, are in each state: counted as they move."""

import sqlite3
from collections.abc import Mapping
from typing import Literal

What = Literal["run", "round"]


def add_tallies(db: sqlite3.Connection, what: What, deltas: Mapping[tuple[str, str], int]) -> None:
    """Change how many of an owner's are in a state, by (owner, state)."""
    for (owner, state), change in deltas.items():
        if change:
            db.execute(
                "INSERT INTO tallies (what, owner, state, n) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET n = n + excluded.n",
                (what, owner, state, change),
            )


def tallies_of(db: sqlite3.Connection, what: What, owner: str | None) -> dict[str, int]:
    """How many are in each state that any ever was in; of everybody where no owner is given."""
    return dict(
        db.execute(
            "SELECT state, sum(n) FROM tallies WHERE what = ?1 AND (?2 IS NULL OR owner = ?2) GROUP BY state",
            (what, owner),
        ).fetchall()
    )
