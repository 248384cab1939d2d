"""The highest key handed out, as far as no document remembers it."""

import sqlite3


def mark_last_key(db: sqlite3.Connection, key: int) -> None:
    """The keys handed out go on rising above this one, whatever is removed and whenever the server stops."""
    db.execute(
        "INSERT INTO marks (name, value) VALUES ('last_key', ?)"
        " ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
        (key,),
    )
