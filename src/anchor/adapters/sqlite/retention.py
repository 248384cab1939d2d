"""Forgetting: finished tasks leave with everything that belongs to them, a bounded number at a time."""

import sqlite3
from collections import Counter

from anchor.adapters.sqlite.commits import Each, GroupCommit
from anchor.adapters.sqlite.marks import mark_last_key
from anchor.adapters.sqlite.part import Part
from anchor.adapters.sqlite.pulse import forget_ended
from anchor.adapters.sqlite.reads import Reads
from anchor.adapters.sqlite.rows import COLUMNS, IDS, STATES, as_ids, is_verified, task_from
from anchor.adapters.sqlite.tallies import add_tallies
from anchor.adapters.sqlite.tasks import add_counts
from anchor.core.ids import first_key_of

_ROWS_MAX = 20_000
"""Tasks that one call looks at, at most."""
_SPARED = """
    SELECT part.id FROM tasks AS part INDEXED BY tasks_parts
    WHERE part.part_of IS NOT NULL AND part.id BETWEEN ? AND ? AND (
        EXISTS (SELECT 1 FROM runs WHERE runs.id = part.part_of AND over = 0)
        OR EXISTS (SELECT 1 FROM tasks AS head NOT INDEXED WHERE head.id = part.part_of AND head.state < 5)
    )
"""


class Retention(Part):
    """The part of the store that forgets."""

    def __init__(self, commits: GroupCommit, reads: Reads) -> None:
        super().__init__(commits, reads)
        self._looked_up_to = 0

    async def remove_finished(self, before_ms: int, limit: int) -> int:
        """Remove up to `limit` tasks that ended before `before_ms`, with payload, output and fulfilled claims.

        What is part of a run or task that is not over stays. Says how many went. Calls go on where the last one
        stopped looking and start over at the end, so 0 from one call means nothing was found in this stretch.
        """
        newest = first_key_of(before_ms)
        after = self._looked_up_to
        self._looked_up_to, found = await self._reads.run(lambda db: _finished(db, after, newest, before_ms, limit))
        for task in found:
            self._live.forget(task)
        removed = await self._commits.submit(_REMOVE, found) if found else 0
        await self._commits.submit(_REMOVE_CLAIMS, (before_ms, limit))
        await self._commits.submit(_FORGET_ENDED, before_ms)
        return removed


def _finished(db: sqlite3.Connection, after: int, newest: int, before_ms: int, limit: int) -> tuple[int, list[int]]:
    """Where to go on looking (0 for the start) and the ids found, which are terminal and so change no more."""
    rows = db.execute(
        "SELECT id, state > 4 AND finished_at < ? FROM tasks NOT INDEXED WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
        (before_ms, after, newest, _ROWS_MAX),
    ).fetchall()
    found = [task for task, over in rows if over]
    if found:
        spared = {task for (task,) in db.execute(_SPARED, (found[0], found[-1]))}
        found = [task for task in found if task not in spared]
    if len(found) > limit:
        return found[limit - 1], found[:limit]
    return (rows[-1][0] if len(rows) == _ROWS_MAX else 0), found


def _remove(db: sqlite3.Connection, tasks: list[int]) -> int:
    ids = as_ids(tasks)
    heads = db.execute(
        f"SELECT {COLUMNS} FROM tasks WHERE id IN ({IDS}) AND state > 4 AND parts IS NOT NULL", (ids,)
    ).fetchall()
    gone = db.execute(
        f"DELETE FROM tasks WHERE id IN ({IDS}) AND state > 4 RETURNING owner, state, copy_of", (ids,)
    ).fetchall()
    db.execute(f"DELETE FROM payloads WHERE task IN ({IDS})", (ids,))
    db.execute(f"DELETE FROM logs WHERE task IN ({IDS})", (ids,))
    counted = Counter((owner, STATES[code]) for owner, code, head in gone if head is None)
    add_counts(db, {key: -n for key, n in counted.items()})
    rounds = Counter((head.owner, head.state) for head in map(task_from, heads) if is_verified(head))
    add_tallies(db, "round", {key: -n for key, n in rounds.items()})
    # The keys handed out must go on rising even if nothing remembers the newest one.
    mark_last_key(db, max(tasks))
    return len(gone)


def _remove_claims(db: sqlite3.Connection, what: tuple[int, int]) -> int:
    """A claim goes once it is old and none of its tasks is left: a repeat of its request is then a new request."""
    return db.execute(
        "DELETE FROM claims WHERE (owner, key) IN (SELECT owner, key FROM claims AS c INDEXED BY claims_at"
        " WHERE c.at < ? AND NOT EXISTS (SELECT 1 FROM tasks WHERE id BETWEEN c.first AND c.last)"
        " ORDER BY c.at LIMIT ?)",
        what,
    ).rowcount


_FORGET_ENDED = Each(forget_ended)
_REMOVE = Each(_remove)
_REMOVE_CLAIMS = Each(_remove_claims)
