"""Runs of graphs: one small document each, the plan apart, so that a change of state does not write it again."""

import sqlite3
from collections import Counter
from typing import Any

import msgspec
from msgspec.structs import replace

from anchor.adapters.sqlite.commits import Each
from anchor.adapters.sqlite.marks import mark_last_key
from anchor.adapters.sqlite.part import Part
from anchor.adapters.sqlite.rows import IDS, as_ids
from anchor.adapters.sqlite.tallies import add_tallies, tallies_of
from anchor.core.dag import RUN_OVER, Run, RunState
from anchor.core.ids import STEP

WHOLE = "SELECT runs.json, plans.json FROM runs LEFT JOIN plans ON run = id"
"""What `run_from` makes a run of."""
_decode = msgspec.json.Decoder(Run).decode


class Runs(Part):
    """The run part of the store."""

    async def insert_run(self, run: Run) -> bool:
        """Write a new run; False where the id exists already (it is left as it is)."""
        return await self._commits.submit(_INSERT, run)

    async def swap_run(self, old: Run, new: Run) -> bool:
        """Compare-and-set on `ver`."""
        return await self._commits.submit(_SWAP, (old, new))

    async def run(self, run_id: int) -> Run | None:
        """One run as it is now."""
        row = await self._reads.run(lambda db: db.execute(f"{WHOLE} WHERE id = ?", (run_id,)).fetchone())
        return None if row is None else run_from(row)

    async def runs_due(self, now: int, limit: int) -> list[Run]:
        """Runs that are not over and whose `wake_at` has come, longest waiting first."""
        rows = await self._reads.run(
            lambda db: db.execute(
                f"{WHOLE} WHERE over = 0 AND wake_at <= ? ORDER BY wake_at LIMIT ?", (now, limit)
            ).fetchall()
        )
        return [run_from(row) for row in rows]

    async def runs_page(
        self, *, below: int | None, limit: int, state: RunState | None, kind: str | None, owner: str | None
    ) -> list[Run]:
        """Runs by falling id below `below`, without `plan`."""
        rows = await self._reads.run(
            lambda db: db.execute(
                "SELECT json FROM runs WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR state = ?2)"
                " AND (?3 IS NULL OR kind = ?3) AND (?4 IS NULL OR owner = ?4) ORDER BY id DESC LIMIT ?5",
                (below, state, kind, owner, limit),
            ).fetchall()
        )
        return [_decode(json) for (json,) in rows]

    async def run_counts(self, owner: str | None) -> dict[RunState, int]:
        """How many runs are in each state."""
        tallies = await self._reads.run(lambda db: tallies_of(db, "run", owner))
        return {state: tallies.get(state, 0) for state in RunState}

    async def remove_runs(self, before_ms: int, limit: int) -> int:
        """Remove up to `limit` runs that ended before `before_ms`; says how many."""
        return await self._commits.submit(_REMOVE, (before_ms, limit))


def run_from(row: tuple[Any, ...]) -> Run:
    """The run of a row of `WHOLE`."""
    json, plan = row
    run = _decode(json)
    return run if plan is None else replace(run, plan=plan)


def _values(run: Run) -> tuple[Any, ...]:
    json = msgspec.json.encode(replace(run, plan=b""))
    return (run.ver, run.state, run.state in RUN_OVER, run.wake_at, run.finished_at, json)


def _insert(db: sqlite3.Connection, run: Run) -> bool:
    inserted = db.execute(
        "INSERT OR IGNORE INTO runs (id, owner, kind, ver, state, over, wake_at, finished_at, json)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (run.id, run.owner, run.kind, *_values(run)),
    )
    if inserted.rowcount != 1:
        return False
    if run.plan:
        db.execute("INSERT INTO plans (run, json) VALUES (?, ?)", (run.id, run.plan))
    add_tallies(db, "run", {(run.owner, run.state): 1})
    # Its steps have these keys, though no task does yet.
    mark_last_key(db, run.id + run.steps * STEP)
    return True


def _swap(db: sqlite3.Connection, change: tuple[Run, Run]) -> bool:
    old, new = change
    updated = db.execute(
        "UPDATE runs SET ver = ?, state = ?, over = ?, wake_at = ?, finished_at = ?, json = ? WHERE id = ? AND ver = ?",
        (*_values(new), old.id, old.ver),
    )
    if updated.rowcount != 1:
        return False
    if new.state is not old.state:
        add_tallies(db, "run", {(old.owner, old.state): -1, (old.owner, new.state): 1})
    return True


def _remove(db: sqlite3.Connection, what: tuple[int, int]) -> int:
    gone = db.execute(
        "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE over = 1 AND finished_at < ? ORDER BY finished_at"
        " LIMIT ?) RETURNING id, owner, state",
        what,
    ).fetchall()
    db.execute(f"DELETE FROM plans WHERE run IN ({IDS})", (as_ids([run for run, _, _ in gone]),))
    add_tallies(db, "run", {key: -n for key, n in Counter((owner, state) for _, owner, state in gone).items()})
    return len(gone)


_INSERT = Each(_insert)
_SWAP = Each(_swap)
_REMOVE = Each(_remove)
