"""The store's epoch: how often it was restored."""

import sqlite3

from anchor.adapters.sqlite.commits import Each
from anchor.adapters.sqlite.part import Part


class Epoch(Part):
    """The epoch part of the store."""

    async def epoch(self) -> int:
        """How often this truth was restored from a backup."""
        return await self._reads.run(epoch_in)

    async def set_epoch(self, epoch: int) -> None:
        """Make this the store's epoch."""
        await self._commits.submit(_SET, epoch)


def epoch_in(db: sqlite3.Connection) -> int:
    """The epoch of a database."""
    row = db.execute("SELECT value FROM marks WHERE name = 'epoch'").fetchone()
    return 0 if row is None else int(row[0])


def _set(db: sqlite3.Connection, epoch: int) -> None:
    db.execute(
        "INSERT INTO marks (name, value) VALUES ('epoch', ?) ON CONFLICT DO UPDATE SET value = excluded.value", (epoch,)
    )


_SET = Each(_set)
