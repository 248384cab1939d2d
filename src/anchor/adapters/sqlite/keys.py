"""Credentials: one small document each, found by the digest of the secret."""

import sqlite3

import msgspec

from anchor.adapters.sqlite.commits import Each
from anchor.adapters.sqlite.part import Part
from anchor.core.access import Key
from anchor.core.errors import Conflict

_decode = msgspec.json.Decoder(Key).decode


class Keys(Part):
    """The key part of the store."""

    async def add_key(self, key: Key) -> None:
        """Keep a new key; Conflict where its digest is known already."""
        await self._commits.submit(_ADD, key)

    async def key(self, digest: str) -> Key | None:
        """The key with this digest."""
        row = await self._reads.run(
            lambda db: db.execute("SELECT json FROM keys WHERE digest = ?", (digest,)).fetchone()
        )
        return None if row is None else _decode(row[0])

    async def swap_key(self, old: Key, new: Key) -> bool:
        """Compare-and-set on `ver`: how a single use is taken exactly once."""
        return await self._commits.submit(_SWAP, (old, new))

    async def keys(self) -> list[Key]:
        """All keys, newest first."""
        rows = await self._reads.run(
            lambda db: db.execute("SELECT json FROM keys ORDER BY created_at DESC, digest").fetchall()
        )
        return [_decode(json) for (json,) in rows]

    async def remove_key(self, digest: str) -> bool:
        """Forget a key; False where there was none."""
        return await self._commits.submit(_REMOVE, digest)


def _add(db: sqlite3.Connection, key: Key) -> None:
    values = (key.digest, key.ver, key.created_at, msgspec.json.encode(key))
    statement = "INSERT OR IGNORE INTO keys (digest, ver, created_at, json) VALUES (?, ?, ?, ?)"
    if db.execute(statement, values).rowcount != 1:
        raise Conflict("This key exists already.", hint="Make a new one.", code="key_exists")


def _swap(db: sqlite3.Connection, change: tuple[Key, Key]) -> bool:
    old, new = change
    values = (new.ver, msgspec.json.encode(new), old.digest, old.ver)
    return db.execute("UPDATE keys SET ver = ?, json = ? WHERE digest = ? AND ver = ?", values).rowcount == 1


def _remove(db: sqlite3.Connection, digest: str) -> bool:
    return db.execute("DELETE FROM keys WHERE digest = ?", (digest,)).rowcount == 1


_ADD = Each(_add)
_SWAP = Each(_swap)
_REMOVE = Each(_remove)
