"""The tables, as numbered steps that bring any older file up to date."""

import sqlite3

from anchor.core.errors import Conflict
from anchor.failpoints import reached

APPLICATION_ID = 0x414E4348
"""Written into the file's header ("ANCH"), so that a stranger's database is never migrated."""

# The state numbers used in the partial indexes are those of `rows.CODES`: below 5 a task is live, 5 is succeeded.
# Columns that a bounded scan filters on come before the wide ones, so a scan reads no overflow pages.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE tasks (
            id INTEGER PRIMARY KEY, ver INTEGER NOT NULL, state INTEGER NOT NULL, owner TEXT NOT NULL, labels BLOB,
            priority INTEGER NOT NULL, shape TEXT NOT NULL, created_at INTEGER NOT NULL, retry_of INTEGER NOT NULL,
            payload_blob TEXT NOT NULL, attempt INTEGER NOT NULL, charged INTEGER NOT NULL, node TEXT NOT NULL,
            session INTEGER NOT NULL, wake_at INTEGER, leased_at INTEGER, finished_at INTEGER,
            spec BLOB NOT NULL, reason BLOB, attempts BLOB, result BLOB
        )
        """,
        "CREATE INDEX tasks_due ON tasks (state, wake_at) WHERE state < 5",
        "CREATE INDEX tasks_rare ON tasks (state, id) WHERE state > 5",
        "CREATE TABLE payloads (task INTEGER PRIMARY KEY, json BLOB NOT NULL)",
        """
        CREATE TABLE counts (
            owner TEXT NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (owner, state)
        ) WITHOUT ROWID
        """,
        "CREATE TABLE nodes (id TEXT PRIMARY KEY, ver INTEGER NOT NULL, json BLOB NOT NULL) WITHOUT ROWID",
        """
        CREATE TABLE logs (
            task INTEGER NOT NULL, attempt INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
            stream TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (task, attempt, seq)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE claims (
            owner TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, first INTEGER NOT NULL,
            last INTEGER NOT NULL, count INTEGER NOT NULL, done INTEGER NOT NULL, at INTEGER NOT NULL,
            PRIMARY KEY (owner, key)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX claims_at ON claims (at)",
        """
        CREATE TABLE keys (
            digest TEXT PRIMARY KEY, ver INTEGER NOT NULL, created_at INTEGER NOT NULL, json BLOB NOT NULL
        ) WITHOUT ROWID
        """,
        "CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    ),
    (
        """
        CREATE TABLE ended (
            minute INTEGER NOT NULL, owner TEXT NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL,
            PRIMARY KEY (minute, owner, state)
        ) WITHOUT ROWID
        """,
        "CREATE TABLE duties (name TEXT PRIMARY KEY, json BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE audit (number INTEGER PRIMARY KEY, json BLOB NOT NULL)",
    ),
    (
        "ALTER TABLE tasks ADD COLUMN part_of INTEGER",
        "ALTER TABLE tasks ADD COLUMN copy_of INTEGER",
        "ALTER TABLE tasks ADD COLUMN origin BLOB",
        "ALTER TABLE tasks ADD COLUMN parts BLOB",
        # The new columns lie behind the wide ones: what is asked of them by many rows is answered by this index.
        "CREATE INDEX tasks_parts ON tasks (id, part_of, copy_of) WHERE part_of IS NOT NULL",
        """
        CREATE TABLE runs (
            id INTEGER PRIMARY KEY, ver INTEGER NOT NULL, state TEXT NOT NULL, over INTEGER NOT NULL,
            owner TEXT NOT NULL, kind TEXT NOT NULL, wake_at INTEGER, finished_at INTEGER, json BLOB NOT NULL
        )
        """,
        "CREATE INDEX runs_due ON runs (wake_at) WHERE over = 0",
        "CREATE INDEX runs_over ON runs (finished_at) WHERE over = 1",
        "CREATE TABLE plans (run INTEGER PRIMARY KEY, json BLOB NOT NULL)",
        """
        CREATE TABLE cases (
            id INTEGER PRIMARY KEY, ver INTEGER NOT NULL, owner TEXT NOT NULL, opened_at INTEGER NOT NULL,
            json BLOB NOT NULL
        )
        """,
        "CREATE INDEX cases_opened ON cases (opened_at)",
        """
        CREATE TABLE tallies (
            what TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL, n INTEGER NOT NULL,
            PRIMARY KEY (what, owner, state)
        ) WITHOUT ROWID
        """,
    ),
    (
        """
        CREATE TABLE apps (
            id INTEGER PRIMARY KEY, ver INTEGER NOT NULL, name TEXT NOT NULL UNIQUE, wake_at INTEGER, json BLOB NOT NULL
        )
        """,
        "CREATE INDEX apps_due ON apps (wake_at) WHERE wake_at IS NOT NULL",
    ),
    (
        """
        CREATE TABLE usage (
            day INTEGER NOT NULL, owner TEXT NOT NULL, node TEXT NOT NULL, app TEXT NOT NULL, tasks INTEGER NOT NULL,
            failed INTEGER NOT NULL, attempts INTEGER NOT NULL, cpu_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL,
            PRIMARY KEY (day, owner, node, app)
        ) WITHOUT ROWID
        """,
        # What is over already is counted here as `core.usage.Sums` counts what ends from now on.
        """
        INSERT INTO usage
        SELECT day, owner, node, '', sum(is_last), sum(is_last AND state IN (6, 8)), count(*),
            sum(CAST(round(min(max(cpu, 0) * 1000, lasted * 1024)) AS INTEGER)),
            sum(CAST(round(min(max(wall, 0) * 1000, lasted)) AS INTEGER))
        FROM (
            SELECT (one.value ->> 'ended_at') / 86400000 AS day, owner, one.value ->> 'node' AS node, state,
                one.key = json_array_length(CAST(attempts AS TEXT)) - 1 AS is_last,
                max((one.value ->> 'ended_at') - (one.value ->> 'leased_at'), 0) AS lasted,
                ifnull(one.value ->> '$.usage.cpuSeconds', 0) AS cpu,
                ifnull(one.value ->> '$.usage.wallSeconds', 0) AS wall
            FROM tasks, json_each(CAST(attempts AS TEXT)) AS one
            WHERE state > 4 AND attempts IS NOT NULL
        )
        GROUP BY day, owner, node
        """,
    ),
)


def version_of(db: sqlite3.Connection) -> int:
    """The schema a file is at; Conflict where it was written by a newer Anchor or is not one of ours."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if version > len(MIGRATIONS):
        raise Conflict(
            f"The database is at schema {version}; this Anchor knows schemas up to {len(MIGRATIONS)}.",
            hint="Upgrade Anchor to at least the version that wrote this data directory, or choose another directory.",
            code="schema_too_new",
        )
    if tables and application != APPLICATION_ID:
        raise Conflict(
            "The database file was not made by Anchor.", hint="Choose another data directory.", code="foreign_database"
        )
    return int(version)


def migrate(db: sqlite3.Connection) -> None:
    """Bring a file up to date. Each step is one transaction with its own number, so a crash resumes where it was.

    Conflict where the file was written by a newer Anchor or is not one of ours.
    """
    version = version_of(db)
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        db.execute("BEGIN IMMEDIATE")
        for statement in statements:
            reached("sqlite.migrate_statement")
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {number}")
        reached("sqlite.migrate_commit")
        db.execute("COMMIT")
        reached("sqlite.migrate_next")
