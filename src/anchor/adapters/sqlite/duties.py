"""Duties: who does what there must be one of."""

import sqlite3

import msgspec

from anchor.adapters.sqlite.commits import Each
from anchor.adapters.sqlite.part import Part
from anchor.ports.store import Duty

_decode = msgspec.json.Decoder(Duty).decode


class Duties(Part):
    """The duty part of the store."""

    async def duty(self, name: str) -> Duty | None:
        """Who holds a duty, or held it last."""
        row = await self._reads.run(lambda db: db.execute("SELECT json FROM duties WHERE name = ?", (name,)).fetchone())
        return None if row is None else _decode(row[0])

    async def duties(self) -> list[Duty]:
        """All duties, by name."""
        rows = await self._reads.run(lambda db: db.execute("SELECT json FROM duties ORDER BY name").fetchall())
        return [_decode(json) for (json,) in rows]

    async def swap_duty(self, old: Duty | None, new: Duty) -> bool:
        """Compare-and-set: False where the duty is not exactly `old` any more (None: where there is one)."""
        return await self._commits.submit(_SWAP, (old, new))


def _swap(db: sqlite3.Connection, change: tuple[Duty | None, Duty]) -> bool:
    old, new = change
    if old is None:
        first = (new.name, msgspec.json.encode(new))
        return db.execute("INSERT OR IGNORE INTO duties (name, json) VALUES (?, ?)", first).rowcount == 1
    values = (msgspec.json.encode(new), old.name, msgspec.json.encode(old))
    return db.execute("UPDATE duties SET json = ? WHERE name = ? AND json = ?", values).rowcount == 1


_SWAP = Each(_swap)
