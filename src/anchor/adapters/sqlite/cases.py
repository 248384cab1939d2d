"""Cases: evidence of dissent, one small document each, and how many tasks are verified by copies."""

import sqlite3

import msgspec

from anchor.adapters.sqlite.commits import Each
from anchor.adapters.sqlite.part import Part
from anchor.adapters.sqlite.tallies import tallies_of
from anchor.core.case import Case
from anchor.core.task import State

_decode = msgspec.json.Decoder(Case).decode


class Cases(Part):
    """The case part of the store."""

    async def insert_case(self, case: Case) -> bool:
        """Write a new case; False where the id exists already (it is left as it is)."""
        return await self._commits.submit(_INSERT, case)

    async def swap_case(self, old: Case, new: Case) -> bool:
        """Compare-and-set on `ver`."""
        return await self._commits.submit(_SWAP, (old, new))

    async def case(self, case_id: int) -> Case | None:
        """One case as it is now."""
        row = await self._reads.run(lambda db: db.execute("SELECT json FROM cases WHERE id = ?", (case_id,)).fetchone())
        return None if row is None else _decode(row[0])

    async def cases_page(self, *, below: int | None, limit: int, owner: str | None) -> list[Case]:
        """Cases by falling id below `below`."""
        rows = await self._reads.run(
            lambda db: db.execute(
                "SELECT json FROM cases WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR owner = ?2)"
                " ORDER BY id DESC LIMIT ?3",
                (below, owner, limit),
            ).fetchall()
        )
        return [_decode(json) for (json,) in rows]

    async def round_counts(self, owner: str | None) -> dict[State, int]:
        """How many tasks that are verified by copies are in each state."""
        tallies = await self._reads.run(lambda db: tallies_of(db, "round", owner))
        return {state: tallies.get(state, 0) for state in State}

    async def remove_cases(self, before_ms: int, limit: int) -> int:
        """Remove up to `limit` cases opened before `before_ms`; says how many."""
        return await self._commits.submit(_REMOVE, (before_ms, limit))


def _insert(db: sqlite3.Connection, case: Case) -> bool:
    values = (case.id, case.ver, case.owner, case.opened_at, msgspec.json.encode(case))
    statement = "INSERT OR IGNORE INTO cases (id, ver, owner, opened_at, json) VALUES (?, ?, ?, ?, ?)"
    return db.execute(statement, values).rowcount == 1


def _swap(db: sqlite3.Connection, change: tuple[Case, Case]) -> bool:
    old, new = change
    values = (new.ver, msgspec.json.encode(new), old.id, old.ver)
    return db.execute("UPDATE cases SET ver = ?, json = ? WHERE id = ? AND ver = ?", values).rowcount == 1


def _remove(db: sqlite3.Connection, what: tuple[int, int]) -> int:
    return db.execute(
        "DELETE FROM cases WHERE id IN (SELECT id FROM cases WHERE opened_at < ? ORDER BY opened_at LIMIT ?)", what
    ).rowcount


_INSERT = Each(_insert)
_SWAP = Each(_swap)
_REMOVE = Each(_remove)
