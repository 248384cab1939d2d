"""MongoDB's way to count what was used: links of a chain, which count every task once."""

import asyncio

import pytest

from anchor.adapters.mongo import MongoStore, backup
from anchor.adapters.mongo import usage as module
from anchor.adapters.mongo.schema import MIGRATIONS
from anchor.core.task import TERMINAL, State
from anchor.ports.store import Swap

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(mongo_engine, tmp_path):
    opened = await MongoStore.open(mongo_engine.url_of(f"links_{tmp_path.name}"[:38]))
    yield opened
    await opened.close()


async def finish(store, make, count):
    leased = [make.leased(task) for task in make.tasks(count)]
    await store.insert(leased)
    assert all(await store.swap([Swap(task, make.ended(task)) for task in leased]))


async def counted(store):
    [one] = await store.usage("owner", since=0, owner=None)
    return one.tasks


async def test_links_count_what_has_settled_and_what_came_later_is_added(store, make, monkeypatch):
    monkeypatch.setattr(module, "LINK_SECONDS", 0.0)
    monkeypatch.setattr(module, "SETTLED_SECONDS", 0.3)
    monkeypatch.setattr(module, "APART_SECONDS", 0.2)
    monkeypatch.setattr(module, "_TASKS_IN_LINK", 3)
    monkeypatch.setattr(module, "_IN_STEPS", 2)
    for many in (4, 1, 5):
        await finish(store, make, many)
        await asyncio.sleep(0.05)
    assert await counted(store) == 10
    while (await store.database["usage"].count_documents({"uses": {"$ne": b"[]"}})) == 0:
        await store.link_usage()
        assert await counted(store) == 10
    await asyncio.gather(*[store.link_usage() for _ in range(4)])
    await finish(store, make, 2)
    assert await counted(store) == 12


async def test_removed_at_once_or_late_each_counts_once(store, make, monkeypatch):
    monkeypatch.setattr(module, "LINK_SECONDS", 0.0)
    monkeypatch.setattr(module, "SETTLED_SECONDS", 600.0)
    monkeypatch.setattr(module, "APART_SECONDS", 0.1)
    total = 0
    for _ in range(4):
        await finish(store, make, 3)
        total += 3
        await store.remove_finished(make.now + 1, 2)
        assert await counted(store) == total
    # However slow this machine is, all of these were near; from now on nothing is for long.
    assert await store.database["usage_apart"].count_documents({}) == 8
    monkeypatch.setattr(module, "SETTLED_SECONDS", 0.4)
    while (await store.counts(None))[State.SUCCEEDED]:
        await store.remove_finished(make.now + 1, 100)
        assert await counted(store) == total
        await asyncio.sleep(0.05)
    assert await store.database["usage"].count_documents({}) > 1


async def test_what_ends_while_a_backup_is_taken_counts_if_it_was_read_as_over(store, make, monkeypatch):
    monkeypatch.setattr(backup, "BATCH", 1)
    await finish(store, make, 2)
    alive = [make.leased(task) for task in make.tasks(6)]
    await store.insert(alive)
    snapshot = backup.MongoSnapshot(store)
    read = []
    async for batch in snapshot.tasks():
        read += [task for task, _ in batch]
        if len(read) == 4:
            assert all(await store.swap([Swap(task, make.ended(task)) for task in alive]))
    uses = [use async for batch in snapshot.usage() for use in batch]
    over = [task for task in read if task.state in TERMINAL]
    assert 2 <= len(over) < len(read)
    assert sum(use.tasks for use in uses) == len(over)
    assert await counted(store) == 8


async def test_a_database_from_before_it_was_counted_counts_what_is_there(store, make, mongo_engine, tmp_path):
    await finish(store, make, 3)
    for name in ("usage", "usage_apart"):
        await store.database[name].drop()
    await store.database["marks"].update_one({"_id": "schema"}, {"$set": {"value": len(MIGRATIONS) - 1}})
    again = await MongoStore.open(mongo_engine.url_of(f"links_{tmp_path.name}"[:38]))
    assert await counted(again) == 3
    await again.close()
