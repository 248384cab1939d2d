"""The audit chain, one small document an entry."""

import sqlite3

import msgspec

from anchor.adapters.sqlite.commits import Each
from anchor.adapters.sqlite.part import Part
from anchor.core.audit import Entry

_decode = msgspec.json.Decoder(Entry).decode


class Audit(Part):
    """The audit part of the store."""

    async def audit_tail(self) -> Entry | None:
        """The newest entry."""
        entries = await self.audit_page(None, 1)
        return entries[0] if entries else None

    async def audit_append(self, entry: Entry) -> bool:
        """Write an entry; False where its number is taken."""
        return await self._commits.submit(_APPEND, entry)

    async def audit_page(self, below: int | None, limit: int) -> list[Entry]:
        """Entries by falling number below `below`."""
        rows = await self._reads.run(
            lambda db: db.execute(
                "SELECT json FROM audit WHERE ?1 IS NULL OR number < ?1 ORDER BY number DESC LIMIT ?2", (below, limit)
            ).fetchall()
        )
        return [_decode(json) for (json,) in rows]


def _append(db: sqlite3.Connection, entry: Entry) -> bool:
    values = (entry.number, msgspec.json.encode(entry))
    return db.execute("INSERT OR IGNORE INTO audit (number, json) VALUES (?, ?)", values).rowcount == 1


_APPEND = Each(_append)
