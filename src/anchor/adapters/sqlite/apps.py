"""Apps: one document each, found by its id and by its name, which no two have."""

import sqlite3
from typing import Any

import msgspec

from anchor.adapters.sqlite.commits import Each
from anchor.adapters.sqlite.marks import mark_last_key
from anchor.adapters.sqlite.part import Part
from anchor.core.app import App

_decode = msgspec.json.Decoder(App).decode


class Apps(Part):
    """The app part of the store."""

    async def insert_app(self, app: App) -> bool:
        """Write a new app; False where its id or its name is taken (what is there is left as it is)."""
        return await self._commits.submit(_INSERT, app)

    async def swap_app(self, old: App, new: App) -> bool:
        """Compare-and-set on `ver`."""
        return await self._commits.submit(_SWAP, (old, new))

    async def app(self, app_id: int) -> App | None:
        """One app as it is now."""
        return await self._one("SELECT json FROM apps WHERE id = ?", app_id)

    async def app_named(self, name: str) -> App | None:
        """The app with this name."""
        return await self._one("SELECT json FROM apps WHERE name = ?", name)

    async def app_versions(self) -> dict[int, int]:
        """The version of every app, by id."""
        return dict(await self._reads.run(lambda db: db.execute("SELECT id, ver FROM apps").fetchall()))

    async def apps_due(self, now: int, limit: int) -> list[App]:
        """Apps whose `wake_at` has come, longest waiting first."""
        query = "SELECT json FROM apps WHERE wake_at <= ? ORDER BY wake_at LIMIT ?"
        rows = await self._reads.run(lambda db: db.execute(query, (now, limit)).fetchall())
        return [_decode(json) for (json,) in rows]

    async def remove_app(self, app: App) -> bool:
        """Remove an app if `app.ver` is still the stored version, with its log; its name is free again."""
        return await self._commits.submit(_REMOVE, app)

    async def _one(self, query: str, key: int | str) -> App | None:
        row: tuple[bytes] | None = await self._reads.run(lambda db: db.execute(query, (key,)).fetchone())
        return None if row is None else _decode(row[0])


def _changing(app: App) -> tuple[Any, ...]:
    return (app.ver, app.wake_at, msgspec.json.encode(app))


def _insert(db: sqlite3.Connection, app: App) -> bool:
    statement = "INSERT OR IGNORE INTO apps (id, name, ver, wake_at, json) VALUES (?, ?, ?, ?, ?)"
    return db.execute(statement, (app.id, app.name, *_changing(app))).rowcount == 1


def _swap(db: sqlite3.Connection, change: tuple[App, App]) -> bool:
    old, new = change
    statement = "UPDATE apps SET ver = ?, wake_at = ?, json = ? WHERE id = ? AND ver = ?"
    return db.execute(statement, (*_changing(new), old.id, old.ver)).rowcount == 1


def _remove(db: sqlite3.Connection, app: App) -> bool:
    if db.execute("DELETE FROM apps WHERE id = ? AND ver = ?", (app.id, app.ver)).rowcount != 1:
        return False
    db.execute("DELETE FROM logs WHERE task = ?", (app.id,))
    # Ids go on rising when this one is gone.
    mark_last_key(db, app.id)
    return True


_INSERT = Each(_insert)
_SWAP = Each(_swap)
_REMOVE = Each(_remove)
