"""The durable truth in one SQLite file, written by one thread in group commits."""

from anchor.adapters.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
