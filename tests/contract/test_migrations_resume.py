"""Older files are brought up to date step by step, whatever kills the process between or inside the steps."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.contract.conftest import NOW, Maker

from anchor import failpoints
from anchor.adapters.sqlite import SqliteStore
from anchor.adapters.sqlite.rows import CHANGING, FIXED, PLAIN_COLUMNS, insert_statement, insert_values
from anchor.adapters.sqlite.schema import APPLICATION_ID, MIGRATIONS
from anchor.adapters.sqlite.tasks import add_counts
from anchor.core.access import Key, Role
from anchor.core.attempt import Ending, Outcome, Usage
from anchor.core.errors import Conflict
from anchor.core.task import State, Task, cancel, lease, settle, wake
from anchor.core.usage import DAY_MS, ended_uses, summed
from anchor.ports.store import Claim

OPEN = (
    "import asyncio, sys, pathlib; from anchor.adapters.sqlite import SqliteStore\n"
    "async def main():\n store = await SqliteStore.open(pathlib.Path(sys.argv[1]))\n await store.close()\n"
    "asyncio.run(main())"
)


FIRST_STATES = (
    State.QUEUED, State.LEASED, State.BACKOFF, State.CANCELLING, State.SUCCEEDED, State.FAILED, State.CANCELLED
)  # fmt: skip


def file_of_schema(number: int, folder: Path, tasks: list[Task]) -> None:
    """What an earlier version wrote: its tables, and in them tasks, a key and a claim."""
    folder.mkdir()
    db = sqlite3.connect(folder / "anchor.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    for statement in [statement for statements in MIGRATIONS[:number] for statement in statements]:
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {number}")
    for task in tasks:
        values: list[object] = []
        payload = insert_values(task, values)
        db.execute(insert_statement("tasks", PLAIN_COLUMNS, len(FIXED + CHANGING), 1), values)
        if payload:
            db.execute("INSERT INTO payloads VALUES (?, ?)", (task.id, payload))
        add_counts(db, {(task.owner, task.state): 1})
    key = b'{"digest":"d","name":"ann","role":"admin","created_at":1}'
    db.execute("INSERT INTO keys VALUES ('d', 1, 1, ?)", (key,))
    db.execute("INSERT INTO claims VALUES ('ann', 'k', 'digest', ?, ?, 1, 1, 1)", (tasks[0].id, tasks[0].id))
    db.close()


def killed_at(failpoint: str, folder: Path) -> int:
    return subprocess.run(
        [sys.executable, "-c", OPEN, str(folder)],
        env=os.environ | {"ANCHOR_TEST_FAILPOINT": failpoint},
        timeout=60,
        check=False,
    ).returncode


async def assert_all_is_there(folder: Path, tasks: list[Task]) -> None:
    store = await SqliteStore.open(folder)
    try:
        found = await store.get([task.id for task in tasks])
        assert [None if task is None else (task.id, task.state, task.ver) for task in found] == [
            (task.id, task.state, task.ver) for task in tasks
        ]
        assert await store.counts(None) == dict.fromkeys(State, 0) | dict.fromkeys(FIRST_STATES, 1)
        assert await store.keys() == [Key(digest="d", name="ann", role=Role.ADMIN, created_at=1)]
        assert (await store.claim(Claim("ann", "k", "x", 0, 1, False, 2))).first == tasks[0].id
        # What came later begins with nothing: endings are counted for minutes, and those of before are long past.
        pulse = await store.pulse(None, NOW + 3_600_000)
        assert (pulse.oldest_queued, set(pulse.ended.values()) <= {0}) == (NOW, True)
        assert (await store.epoch(), await store.duties(), await store.audit_tail()) == (0, [], None)
        assert (await store.runs_page(below=None, limit=9, state=None, kind=None, owner=None)) == []
        assert sum((await store.round_counts(None)).values()) == 0
    finally:
        await store.close()


@pytest.mark.parametrize("number", range(1, len(MIGRATIONS)))
@pytest.mark.anyio
async def test_a_file_of_an_earlier_version_opens_and_everything_is_found(
    number: int, make: Maker, tmp_path: Path
) -> None:
    tasks = [make.in_state(state) for state in FIRST_STATES]
    file_of_schema(number, tmp_path / "data", tasks)
    for _ in range(2):
        await assert_all_is_there(tmp_path / "data", tasks)


@pytest.mark.parametrize("number", [1, len(MIGRATIONS) - 1])
@pytest.mark.anyio
async def test_what_was_used_before_it_was_counted_is_counted_once(number: int, make: Maker, tmp_path: Path) -> None:
    day = NOW // DAY_MS * DAY_MS

    def tried(task: Task, at: int, seconds: float, outcome: Outcome) -> Task:
        leased = replace(lease(task, node=f"REX-{task.attempt}", session=1, now=at, lease_ms=9), leased_at=at)
        usage = Usage(cpu_seconds=seconds, wall_seconds=2 * seconds)
        return settle(leased, Ending(task.id, leased.attempt, outcome, usage=usage), now=at + 60_000, chance=0.5)

    once = replace(make.task().spec, retry=replace(make.task().spec.retry, attempts=1))
    again = wake(tried(make.task(now=day), day, 3.0004, Outcome.ERRORED), now=day + DAY_MS)
    over = [
        tried(again, day + DAY_MS, 1e9, Outcome.SUCCEEDED),
        tried(replace(make.task(owner="bob", now=day), spec=once), day, -5.0, Outcome.ERRORED),
        cancel(make.task(now=day), by="ann", now=day),
        settle(
            lease(make.task(now=day), node="REX-0", session=1, now=day, lease_ms=9),
            Ending(make.task().id, 1, Outcome.SUCCEEDED), now=day + 5, chance=0.5,
        ),
    ]  # fmt: skip
    assert [task.state for task in over[:3]] == [State.SUCCEEDED, State.FAILED, State.CANCELLED]
    alive = wake(tried(make.task(now=day), day, 7.0, Outcome.ERRORED), now=day + DAY_MS)
    file_of_schema(number, tmp_path / "data", [*over, alive])
    for _ in range(2):
        store = await SqliteStore.open(tmp_path / "data")
        for by in ("owner", "node", "day"):
            found = await store.usage(by, since=0, owner=None)
            assert sorted(found, key=str) == sorted(summed(ended_uses(over), by, since=0, owner=None), key=str)
        assert sum(one.attempts for one in found) == 4
        await store.close()


@pytest.mark.parametrize(
    ("failpoint", "version"),
    [
        ("sqlite.migrate_statement:2", 1),
        ("sqlite.migrate_commit", 1),
        ("sqlite.migrate_next", 2),
        ("sqlite.migrate_statement:9", 2),
        ("sqlite.migrate_commit:2", 2),
        ("sqlite.migrate_next:2", 3),
    ],
)
@pytest.mark.anyio
async def test_a_migration_that_is_killed_goes_on_where_it_was(
    failpoint: str, version: int, make: Maker, tmp_path: Path
) -> None:
    tasks = [make.in_state(state) for state in FIRST_STATES]
    file_of_schema(1, tmp_path / "data", tasks)
    assert killed_at(failpoint, tmp_path / "data") == failpoints.EXIT_CODE
    db = sqlite3.connect(tmp_path / "data" / "anchor.db")
    assert db.execute("PRAGMA user_version").fetchone() == (version,)
    db.close()
    await assert_all_is_there(tmp_path / "data", tasks)


@pytest.mark.parametrize(
    "failpoint", ["sqlite.migrate_statement", "sqlite.migrate_statement:9", "sqlite.migrate_next:1"]
)
@pytest.mark.anyio
async def test_a_first_start_that_is_killed_leaves_a_directory_that_opens(failpoint: str, tmp_path: Path) -> None:
    assert killed_at(failpoint, tmp_path) == failpoints.EXIT_CODE
    store = await SqliteStore.open(tmp_path)
    await store.close()
    db = sqlite3.connect(tmp_path / "anchor.db")
    assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    db.close()


@pytest.mark.anyio
async def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    await store.close()
    db = sqlite3.connect(tmp_path / "anchor.db")
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(Conflict) as refused:
        await SqliteStore.open(tmp_path)
    assert refused.value.code == "schema_too_new"
    db = sqlite3.connect(tmp_path / "anchor.db")
    assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    db.close()
