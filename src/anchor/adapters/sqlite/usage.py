"""What was used, by day, owner, node and app: counted in the transaction that writes a task's end."""

import sqlite3
from collections.abc import Sequence

from anchor.adapters.sqlite.commits import Each
from anchor.adapters.sqlite.part import Part
from anchor.core.usage import By, Sum, Use

_SUMS = "sum(tasks), sum(failed), sum(attempts), sum(cpu_ms), sum(wall_ms)"


class Usages(Part):
    """The usage part of the store."""

    async def usage(self, by: By, *, since: int, owner: str | None) -> list[Sum]:
        """The sums of an owner (None: of everybody) since a day (since 1970, UTC), by one thing."""
        rows = await self._reads.run(
            lambda db: db.execute(
                f"SELECT {by}, {_SUMS} FROM usage WHERE day >= ?1 AND (?2 IS NULL OR owner = ?2)"
                f" AND (?3 <> 'app' OR app <> '') GROUP BY {by}",
                (since, owner, by),
            ).fetchall()
        )
        return [Sum(str(name), *amounts) for name, *amounts in rows]

    async def add_usage(self, uses: Sequence[Use]) -> None:
        """Add to what was used."""
        if uses:
            await self._commits.submit(_ADD, uses)

    async def count_restored(self) -> None:
        """Nothing to do: tasks are counted as they end, and not when they are inserted."""

    async def forget_usage(self, before: int) -> None:
        """Forget the days before one."""
        await self._commits.submit(_FORGET, before)


def add_uses(db: sqlite3.Connection, uses: Sequence[Use]) -> None:
    """Add to what was used."""
    for use in uses:
        db.execute(
            "INSERT INTO usage (day, owner, node, app, tasks, failed, attempts, cpu_ms, wall_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET tasks = tasks + excluded.tasks,"
            " failed = failed + excluded.failed, attempts = attempts + excluded.attempts,"
            " cpu_ms = cpu_ms + excluded.cpu_ms, wall_ms = wall_ms + excluded.wall_ms",
            (use.day, use.owner, use.node, use.app, use.tasks, use.failed, use.attempts, use.cpu_ms, use.wall_ms),
        )


def _forget(db: sqlite3.Connection, before: int) -> None:
    db.execute("DELETE FROM usage WHERE day < ?", (before,))


_ADD = Each(add_uses)
_FORGET = Each(_forget)
