"""The audit chain: numbers without gaps whoever writes at once, and no entry changed, removed or put in unseen."""

import sqlite3
from pathlib import Path

import anyio
import msgspec
import pytest
from pymongo import MongoClient
from tests.engines.mongo import Engine

from anchor.adapters.local.clock import SystemClock
from anchor.adapters.mongo.store import MongoStore
from anchor.adapters.sqlite import SqliteStore
from anchor.core.audit import Entry, first_break, sealed
from anchor.orchestrator.audit import append
from anchor.ports.store import AuditStore, Store


async def written(store: AuditStore, count: int) -> None:
    for number in range(count):
        await append(store, SystemClock(), kind="key_created", subject=f"key {number}", message="…", by="ann")


async def chain(store: AuditStore) -> list[Entry]:
    return (await store.audit_page(None, 1000))[::-1]


@pytest.mark.anyio
async def test_entries_are_numbered_without_gaps_whoever_writes_at_once(store: Store) -> None:
    async with anyio.create_task_group() as writers:
        for _ in range(5):
            writers.start_soon(written, store, 4)
    entries = await chain(store)
    assert [entry.number for entry in entries] == list(range(1, 21))
    assert first_break(entries) is None
    assert await store.audit_tail() == entries[-1]
    assert [entry.number for entry in await store.audit_page(11, 3)] == [10, 9, 8]


@pytest.mark.anyio
async def test_a_number_that_is_taken_is_refused_and_stays_as_it_was(store: Store) -> None:
    await written(store, 2)
    [first, second] = await chain(store)
    other = sealed(first, at=second.at, kind="x", subject="x", message="x", by="x")
    assert not await store.audit_append(other)
    assert await chain(store) == [first, second]


def tampered(entries: dict[int, bytes], how: str) -> dict[int, bytes]:
    """The rows as somebody with the database's password could leave them: number to JSON."""
    changed = dict(entries)
    if how == "changed":
        changed[3] = entries[3].replace(b"ann", b"bob")
    elif how == "removed":
        del changed[3]
    elif how == "put in":
        changed[7] = msgspec.json.encode(sealed(None, at=1, kind="x", subject="x", message="x", by="x")).replace(
            b'"number":1', b'"number":7'
        )
    elif how == "exchanged":
        changed[3], changed[4] = entries[4], entries[3]
    else:  # sealed anew, but not all that follow
        old = [msgspec.json.decode(entries[number], type=Entry) for number in (2, 3)]
        made = sealed(old[0], at=old[1].at, kind="other", subject="x", message="x", by="x")
        changed[3] = msgspec.json.encode(made)
    return changed


TAMPERED = {"changed": 3, "removed": 4, "put in": 7, "exchanged": 4, "sealed anew": 4}


@pytest.mark.parametrize("how", sorted(TAMPERED))
@pytest.mark.anyio
async def test_tampering_with_the_file_is_found_where_it_was_done(how: str, tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    await written(store, 6)
    await store.close()
    db = sqlite3.connect(tmp_path / "anchor.db")
    rows = tampered(dict(db.execute("SELECT number, json FROM audit")), how)
    db.execute("DELETE FROM audit")
    db.executemany("INSERT INTO audit VALUES (?, ?)", rows.items())
    db.commit()
    db.close()
    store = await SqliteStore.open(tmp_path)
    assert first_break(await chain(store)) == TAMPERED[how]
    await store.close()


@pytest.mark.parametrize("how", sorted(TAMPERED))
@pytest.mark.anyio
async def test_tampering_with_the_collection_is_found_where_it_was_done(how: str, mongo_engine: Engine) -> None:
    url = mongo_engine.url_of(f"audit_{how.replace(' ', '_')}")
    store = await MongoStore.open(url)
    await written(store, 6)
    await store.close()
    with MongoClient(url) as client:
        audit = client.get_default_database()["audit"]
        rows = tampered({doc["_id"]: doc["json"] for doc in audit.find()}, how)
        audit.delete_many({})
        audit.insert_many([{"_id": number, "json": json} for number, json in rows.items()])
    store = await MongoStore.open(url)
    assert first_break(await chain(store)) == TAMPERED[how]
    await store.close()
