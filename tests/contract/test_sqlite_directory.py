"""The data directory of the SQLite store: one owner, clear words for everything that can be wrong with it."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from anchor.adapters.sqlite import SqliteStore
from anchor.adapters.sqlite.directory import BALLAST_BYTES
from anchor.adapters.sqlite.schema import MIGRATIONS
from anchor.core.errors import Conflict, Unavailable
from anchor.core.ids import KeySequence
from anchor.core.task import State
from anchor.core.task_query import TaskQuery
from anchor.ports.store import Claim, Swap


@pytest.mark.anyio
async def test_a_second_server_is_told_who_holds_the_directory(tmp_path):
    store = await SqliteStore.open(tmp_path)
    try:
        with pytest.raises(Conflict) as refused:
            await SqliteStore.open(tmp_path)
    finally:
        await store.close()
    assert str(tmp_path) in refused.value.message
    assert str(os.getpid()) in refused.value.message
    assert refused.value.hint


@pytest.mark.anyio
async def test_a_server_in_another_process_is_refused_until_this_one_is_gone(tmp_path):
    opening = (
        "import asyncio, sys, pathlib; from anchor.adapters.sqlite import SqliteStore\n"
        "async def main():\n store = await SqliteStore.open(pathlib.Path(sys.argv[1]))\n await store.close()\n"
        "asyncio.run(main())"
    )
    command = [sys.executable, "-c", opening, str(tmp_path)]
    store = await SqliteStore.open(tmp_path)
    with anyio.fail_after(30):
        refused = await anyio.run_process(command, check=False)
        await store.close()
        assert refused.returncode != 0
        assert f"process {os.getpid()}" in refused.stderr.decode()
        await anyio.run_process(command)


@pytest.mark.anyio
async def test_a_failed_open_lets_go_of_the_directory(tmp_path):
    (tmp_path / "anchor.db").write_bytes(b"this is no database " * 500)
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            await SqliteStore.open(tmp_path)
    assert refused.value.code == "database_damaged"
    assert refused.value.hint


@pytest.mark.anyio
async def test_a_path_that_is_a_file_is_refused_with_a_hint(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(Unavailable) as refused:
        await SqliteStore.open(tmp_path / "data")
    assert "--data" in refused.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="folder permissions work differently on Windows")
@pytest.mark.anyio
async def test_an_unwritable_directory_is_refused_with_a_hint(tmp_path):
    tmp_path.chmod(0o500)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user (root?) may write everywhere")
        with pytest.raises(Unavailable) as refused:
            await SqliteStore.open(tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert "--data" in refused.value.hint


@pytest.mark.anyio
async def test_a_database_of_a_newer_version_is_left_alone(tmp_path):
    await (await SqliteStore.open(tmp_path)).close()
    with sqlite3.connect(tmp_path / "anchor.db") as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(Conflict) as refused:
        await SqliteStore.open(tmp_path)
    assert "Upgrade" in refused.value.hint


@pytest.mark.anyio
async def test_somebody_elses_database_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "anchor.db") as db:
        db.execute("CREATE TABLE cats (name)")
    db.close()
    with pytest.raises(Conflict) as refused:
        await SqliteStore.open(tmp_path)
    assert refused.value.code == "foreign_database"


@pytest.mark.anyio
async def test_a_migration_that_was_cut_short_is_carried_out_at_the_next_start(tmp_path):
    with sqlite3.connect(tmp_path / "anchor.db") as db:
        db.execute("BEGIN")
        for statement in MIGRATIONS[0][:3]:
            db.execute(statement)
        db.rollback()
    db.close()
    store = await SqliteStore.open(tmp_path)
    assert sum((await store.counts(None)).values()) == 0
    await store.close()


@pytest.mark.anyio
async def test_damage_inside_the_file_is_reported_not_raised_raw(tmp_path, make):
    store = await SqliteStore.open(tmp_path)
    await store.insert([make.in_state(State.SUCCEEDED) for _ in range(3000)])
    await store.close()
    file = tmp_path / "anchor.db"
    whole = bytearray(file.read_bytes())
    whole[20 * 4096 :] = b"\x5a" * (len(whole) - 20 * 4096)
    file.write_bytes(whole)

    async def read_everything():
        async with AsyncExitStack() as stack:
            store = await SqliteStore.open(tmp_path)
            stack.push_async_callback(store.close)
            await store.page(TaskQuery(), below=None, limit=3000)

    with pytest.raises(Unavailable) as found:
        await read_everything()
    assert found.value.code == "database_damaged"


@pytest.mark.anyio
async def test_every_commit_reaches_the_disk_before_it_is_acknowledged(tmp_path):
    store = await SqliteStore.open(tmp_path)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await store.close()


@pytest.mark.anyio
async def test_the_highest_key_is_known_after_a_restart_even_if_its_task_is_gone(tmp_path, make):
    store = await SqliteStore.open(tmp_path)
    assert store.last_key == 0
    task = make.in_state(State.SUCCEEDED)
    await store.insert([task])
    assert await store.remove_finished(make.now + 10, 10) == 1
    await store.close()
    store = await SqliteStore.open(tmp_path)
    assert store.last_key == task.id
    keys = KeySequence(1, last_key=store.last_key).take(5, now_ms=0)
    await store.claim(Claim("ann", "k", "d", keys[0], 5, False, 1))
    await store.close()
    store = await SqliteStore.open(tmp_path)
    assert store.last_key == keys[-1]
    await store.close()


@pytest.mark.anyio
async def test_memory_of_live_tasks_is_bounded_and_finished_ones_leave_it(tmp_path, make):
    store = await SqliteStore.open(tmp_path)
    store._live._tasks_max = 100
    tasks = make.tasks(300)
    await store.insert(tasks)
    assert len(store._live) == 100
    leased = [make.leased(task) for task in tasks]
    await store.swap([Swap(old, new) for old, new in zip(tasks, leased, strict=True)])
    assert len(store._live) == 100
    assert await store.get([task.id for task in tasks]) == leased
    await store.swap([Swap(task, make.ended(task)) for task in leased])
    assert len(store._live) == 0
    await store.close()


@pytest.mark.anyio
async def test_ballast_is_kept_back_and_there_is_room(tmp_path):
    store = await SqliteStore.open(tmp_path)
    assert (tmp_path / "ballast").stat().st_size == BALLAST_BYTES
    assert await store.has_room() == (shutil.disk_usage(tmp_path).free > 64 * 2**20)
    await store.close()


FULL_DISK = """
import asyncio, pathlib, shutil, sys
from anchor.adapters.sqlite import SqliteStore
from anchor.core.errors import OutOfSpace
from anchor.core.ids import KeySequence
from anchor.core.spec import Payload, TaskSpec
from anchor.core.attempt import Ending, Outcome, Result
from anchor.core.task import State, lease, queued, settle
from anchor.ports.store import Swap

async def main(folder):
    store = await SqliteStore.open(folder / "data")
    assert await store.has_room()
    keys, written = KeySequence(1), []
    spec = TaskSpec(name="t", payload=Payload(source_code="x" * 20_000))
    def batch():
        made = keys.take(10, now_ms=1_790_000_000_000)
        return [queued(key=key, owner="ann", spec=spec, shape="{}", now=1) for key in made]
    refused = None
    for _ in range(200):
        tasks = batch()
        try:
            await asyncio.gather(*[store.insert(tasks[at:at + 2]) for at in range(0, 10, 2)])
        except OutOfSpace as error:
            refused = (error, tasks)
            break
        written += tasks
    assert refused is not None and refused[0].hint, "the disk never filled up"
    assert await store.get([task.id for task in refused[1]]) == [None] * 10, "refused, yet there"
    assert (await store.counts(None))[State.QUEUED] == len(written)
    assert not await store.has_room()
    try:
        await store.insert(batch())
        raise SystemExit("an insert was let in on a full disk")
    except OutOfSpace:
        pass
    result = Result(json=b"9" * 20_000, size=20_000)
    for task in written[:50]:
        leased = lease(task, node="REX-A1B2C3", session=1, now=5, lease_ms=5)
        done = settle(leased, Ending(task.id, 1, Outcome.SUCCEEDED, result), now=5, chance=0)
        assert await store.swap([Swap(task, leased), Swap(leased, done)]) == [True, True], "work could not be finished"
    (folder / "filler").unlink()
    assert await store.has_room()
    more = batch()
    assert await store.insert(more) == [True] * 10
    await store.close()
    store = await SqliteStore.open(folder / "data")
    found = await store.get([task.id for task in written + more])
    assert None not in found
    assert [task.result for task in found[:50]] == [result] * 50
    await store.close()

folder = pathlib.Path(sys.argv[1])
(folder / "filler").write_bytes(bytes(12_000_000))
asyncio.run(main(folder))
"""


def on_a_small_disk(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with a disk of 48 MiB mounted on `folder`, in a mount namespace of its own."""
    unshare = ["unshare", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o size=48m none {folder}"
    if shutil.which("unshare") is None or subprocess.run([*unshare, "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk (unshare and mount)")
    command = f'{mount} && exec "$0" -c "$1" {folder}'
    return subprocess.run(
        [*unshare, "sh", "-c", command, sys.executable, script], capture_output=True, text=True, timeout=60
    )


def test_a_full_disk_refuses_new_tasks_finishes_old_ones_and_recovers(tmp_path):
    ran = on_a_small_disk(FULL_DISK, tmp_path)
    assert ran.returncode == 0, ran.stderr


FAILING_DISK = """
import asyncio, pathlib, resource, sys
from anchor.adapters.sqlite import SqliteStore
from anchor.core.errors import Unavailable
from anchor.core.ids import KeySequence
from anchor.core.spec import TaskSpec
from anchor.core.task import State, lease, queued
from anchor.ports.store import Swap

async def main(folder):
    store = await SqliteStore.open(folder)
    keys = KeySequence(1)
    spec = TaskSpec(name="t", type="noop")
    def batch():
        made = keys.take(50, now_ms=1_790_000_000_000)
        return [queued(key=key, owner="ann", spec=spec, shape="{}", now=1) for key in made]
    before, refused, after = batch(), batch(), batch()
    await store.insert(before)
    leases = [Swap(task, lease(task, node="REX-A1B2C3", session=1, now=5, lease_ms=5)) for task in before]
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    answers = await asyncio.gather(store.swap(leases), *[store.insert([t]) for t in refused], return_exceptions=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert all(isinstance(answer, Unavailable) and answer.hint for answer in answers), answers
    assert len(set(map(id, answers))) == len(answers), "an exception was shared"
    assert await store.get([task.id for task in before]) == before
    assert await store.get([task.id for task in refused]) == [None] * 50
    assert await store.insert(after) == [True] * 50
    assert await store.swap(leases) == [True] * 50
    await store.close()
    store = await SqliteStore.open(folder)
    assert None not in await store.get([task.id for task in before + after])
    assert await store.get([task.id for task in refused]) == [None] * 50
    assert (await store.counts(None))[State.QUEUED] == 50
    await store.close()

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes to make writes fail with")
def test_a_commit_the_disk_refuses_is_reported_to_everybody_in_it(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", FAILING_DISK, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.anyio
async def test_a_long_search_is_cut_into_bounded_pages_that_find_everything(tmp_path, make):
    store = await SqliteStore.open(tmp_path)
    needle = make.task(owner="bob")
    await store.insert([needle])
    for _ in range(9):
        await store.insert(make.tasks(5_000))
    found, pages, below = [], 0, None
    while True:
        page = await store.page(TaskQuery(state=State.QUEUED, owner="bob"), below=below, limit=10)
        found += page.tasks
        pages += 1
        if (below := page.below) is None:
            break
    assert found == [needle]
    assert pages == 3
    refs, after = [], 0
    while more := await store.queued(after, 7_000):
        refs += more
        after = more[-1].id
    assert len({ref.id for ref in refs}) == 45_001
    await store.close()
