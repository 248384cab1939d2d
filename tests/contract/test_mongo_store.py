"""What only a store shared by servers has to do: its start, its clock, its counts, and the space on another machine."""

import asyncio
import itertools
import os
import secrets
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from pymongo import MongoClient
from tests.contract.mongo_relay import Fault, Relay

from anchor import failpoints
from anchor.adapters.mongo import MongoStore, connection, tally
from anchor.adapters.mongo.clock import SLEW, MongoClock
from anchor.adapters.mongo.documents import CODES
from anchor.adapters.mongo.schema import MIGRATIONS
from anchor.core.app import App, Wanted
from anchor.core.errors import Conflict, InvalidRequest, OutOfSpace, Unavailable
from anchor.core.node import Node, Status, with_status
from anchor.core.task import TERMINAL, State, extend
from anchor.ports.store import LogChunk, Swap

pytestmark = pytest.mark.anyio

HOUR = 3_600_000
DO = """
import asyncio, sys
from anchor.adapters.mongo import MongoStore
from anchor.adapters.mongo.schema import MIGRATIONS
async def main():
    store = await MongoStore.open(sys.argv[1])
    while await store.remove_finished(1 << 50, 4): pass
    await store.close()
asyncio.run(main())
"""


@pytest.fixture
def url(mongo_engine):
    return mongo_engine.url_of(secrets.token_hex(8))


@pytest.fixture
def database(url):
    with MongoClient(url) as client:
        yield client.get_default_database()


@pytest.fixture
async def store(url):
    opened = await MongoStore.open(url)
    yield opened
    await opened.close()


@pytest.fixture
async def rival(url, store):
    opened = await MongoStore.open(url)
    yield opened
    await opened.close()


async def opened(url):
    await (await MongoStore.open(url)).close()


async def test_many_servers_may_start_at_once_on_an_empty_database(url, database):
    await asyncio.gather(*[opened(url) for _ in range(6)])
    assert database.marks.find_one({"_id": "schema"})["value"] == len(MIGRATIONS)


async def test_a_database_of_a_newer_anchor_is_refused(url, database):
    await opened(url)
    database.marks.update_one({"_id": "schema"}, {"$set": {"value": 99}})
    with pytest.raises(Conflict) as told:
        await opened(url)
    assert told.value.code == "schema_too_new"


async def test_a_database_of_somebody_else_is_refused_and_left_alone(url, database):
    database.customers.insert_one({"_id": 1})
    with pytest.raises(Conflict) as told:
        await opened(url)
    assert told.value.code == "foreign_database"
    assert database.list_collection_names() == ["customers"]


@pytest.mark.parametrize("mark_is_there", [True, False])
async def test_an_index_that_is_not_the_one_needed_is_named(url, database, mark_is_there):
    await opened(url)
    database.tasks.drop_index("tasks_due")
    database.tasks.create_index([("state", 1), ("wake_at", -1)], name="tasks_due")
    if not mark_is_there:
        database.marks.update_one({"_id": "schema"}, {"$set": {"value": 0}})
    with pytest.raises(Conflict, match="tasks_due") as told:
        await opened(url)
    assert told.value.code == "index_conflict"


async def test_an_index_that_somebody_dropped_is_named(url, database):
    await opened(url)
    database.tasks.drop_index("tasks_finished")
    with pytest.raises(Conflict, match="tasks_finished"):
        await opened(url)


@pytest.mark.parametrize("nth", [1, 3])
async def test_a_start_that_was_killed_half_way_is_taken_up_by_the_next(url, store_process, nth):
    assert store_process(f"mongo.index_created:{nth}") == failpoints.EXIT_CODE
    await opened(url)


@pytest.fixture
def store_process(url):
    """Runs a process that opens the store and removes what has ended, until a failpoint; gives its exit code."""

    def run(failpoint: str) -> int:
        environment = os.environ | {"ANCHOR_TEST_FAILPOINT": failpoint}
        return subprocess.run([sys.executable, "-c", DO, url], env=environment, timeout=60, check=False).returncode

    return run


@pytest.mark.parametrize(
    "failpoint",
    ["mongo.removal_begun", "mongo.last_key_kept", "mongo.output_removed", "mongo.tasks_removed:2"],
)
async def test_a_removal_that_was_killed_half_way_leaves_counts_exact_and_is_taken_up(
    store, make, store_process, failpoint
):
    tasks = [make.in_state(state) for state in State for _ in range(3)]
    await store.insert(tasks)
    await store.append([LogChunk(task.id, 1, 1, 1, "stdout", "x") for task in tasks])
    assert sum((await store.counts(None)).values()) == len(tasks)
    assert await asyncio.to_thread(store_process, failpoint) == failpoints.EXIT_CODE
    left = [task for task in await store.get([task.id for task in tasks]) if task is not None]
    states = Counter(task.state for task in left)
    assert await store.counts(None) == {state: states[state] for state in State}
    while await store.remove_finished(1 << 50, 4):
        pass
    assert await store.counts(None) == {state: 0 if state in TERMINAL else 3 for state in State}
    ended = [task.id for task in tasks if task.state in TERMINAL]
    assert [await store.read(task, attempt=0, seq=0, limit=1) for task in ended] == [[]] * len(ended)


async def test_where_nobody_listens_the_start_says_so(monkeypatch):
    monkeypatch.setattr(connection, "SELECT_MS", 300)
    with pytest.raises(Unavailable) as told:
        await MongoStore.open("mongodb://127.0.0.1:1/anchor")
    assert told.value.code == "store_unreachable"


@pytest.mark.parametrize("bad", ["mongodb://", "mongodb://a:b:c/x", "mongodb://h/x?w=1&nonsense", "http://h"])
async def test_an_address_that_cannot_be_read_is_refused(bad):
    with pytest.raises(InvalidRequest) as told:
        await MongoStore.open(bad)
    assert told.value.code == "store_url_invalid"


async def test_what_an_address_says_about_safety_cannot_weaken_it(url):
    store = await MongoStore.open(f"{url}&w=1&journal=false&readConcernLevel=local")
    try:
        assert store.database.write_concern.document == {"w": "majority", "j": True, "wtimeout": connection.CONFIRM_MS}
        assert store.database.read_concern.level == "majority"
    finally:
        await store.close()


async def test_counts_are_exact_while_several_servers_write_and_endings_settle(store, rival, make, monkeypatch):
    monkeypatch.setattr(tally, "SETTLED_SECONDS", 1.5)
    monkeypatch.setattr(tally, "STEP_SECONDS", 0.0)
    truth: Counter[State] = Counter()
    settled = 0
    deadline = asyncio.get_running_loop().time() + 20
    while settled < 8:
        assert asyncio.get_running_loop().time() < deadline, "nothing ever settles"
        for writer in (store, rival):
            task = make.task()
            leased = make.leased(task)
            await writer.insert([task])
            await writer.swap([Swap(task, leased)])
            truth[State.LEASED] += 1
            await writer.swap([Swap(leased, make.ended(leased))])
            truth += Counter({State.LEASED: -1, State.SUCCEEDED: 1})
            truth[State.LEASED] = 0
        for reader in (store, rival):
            assert await reader.counts("ann") == {state: truth[state] for state in State}
        settled = sum(store._tally._settled.values())
        await asyncio.sleep(0.1)
    assert await rival.remove_finished(make.now + HOUR, 5) == 5
    truth[State.SUCCEEDED] -= 5
    assert await store.counts(None) == await rival.counts(None) == {state: truth[state] for state in State}


async def test_a_full_disk_is_told_as_such_and_admission_opens_again_by_itself(mongo_engine, make, monkeypatch):
    async with Relay(mongo_engine.port) as relay:
        store = await MongoStore.open(relay.url_of(secrets.token_hex(8)))
        monkeypatch.setattr("anchor.adapters.mongo.room.LOOK_SECONDS", 0.0)
        try:
            task = make.task()
            await store.insert([task])
            assert await store.has_room()
            relay.plan(Fault.DISK_FULL)
            with pytest.raises(OutOfSpace):
                await store.insert([make.task()])
            relay.plan(Fault.DISK_FULL, Fault.DISK_FULL)
            assert not await store.has_room()
            with pytest.raises(OutOfSpace):
                await store.insert([make.task()])
            assert await store.swap([Swap(task, make.leased(task))]) == [True]
            assert await store.has_room()
            assert await store.insert([make.task()]) == [True]
        finally:
            await store.close()


async def test_a_user_who_may_not_write_is_told_what_to_check(mongo_engine, make):
    async with Relay(mongo_engine.port) as relay:
        store = await MongoStore.open(relay.url_of(secrets.token_hex(8)))
        try:
            relay.plan(Fault.NOT_ALLOWED)
            with pytest.raises(Unavailable, match="let this server in") as told:
                await store.insert([make.task()])
            assert "password" in told.value.hint
        finally:
            await store.close()


async def test_a_version_that_came_back_with_another_state_is_not_the_one_that_was_read(store, database, make):
    read = make.in_state(State.LEASED)
    await store.insert([read])
    database["tasks"].update_one({"_id": read.id}, {"$set": {"state": CODES[State.CANCELLED]}})  # of the same `ver`
    assert await store.swap([Swap(read, extend(read, until=make.now))]) == [False]
    assert [task.state for task in await store.get([read.id])] == [State.CANCELLED]


async def test_a_node_whose_version_came_back_with_another_session_is_not_the_one_that_was_read(store, database):
    read = Node(id="REX-A1B2C3", owner="ann", public_key=b"k" * 32, joined_at=5, session=5)
    await store.insert_node(read)
    database["nodes"].update_one({"_id": read.id}, {"$set": {"session": 6}})  # of the same `ver`
    assert not await store.swap_node(read, with_status(read, Status.DRAINING, None))
    database["nodes"].update_one({"_id": read.id}, {"$set": {"session": 5}})
    assert await store.swap_node(read, with_status(read, Status.DRAINING, None))


@pytest.mark.parametrize("came_back", [{"generations": 3}, {"wanted": Wanted.STOPPED}])
async def test_an_app_whose_version_came_back_with_another_life_is_not_the_one_that_was_read(
    store, database, came_back
):
    app = App(id=256, name="shop", title="Shop", owner="ann", created_at=5, generations=2)
    other = replace(app, **came_back)
    await store.insert_app(app)
    # What a failover makes of it: the same version, written again by somebody else.
    database.apps.delete_one({"_id": app.id})
    await store.insert_app(other)
    assert not await store.swap_app(app, replace(app, ver=2))
    assert await store.app(app.id) == other
    assert await store.swap_app(other, replace(other, ver=2))


async def test_the_clock_is_the_stores(store):
    assert abs(store.clock.now() - datetime.now(UTC).timestamp() * 1000) < 2000


class Monotonic:
    def __init__(self) -> None:
        self.ms = 5000.0

    def __call__(self) -> float:
        return self.ms


@pytest.mark.parametrize("off_ms", [-100, 100])
def test_a_difference_to_the_stores_time_is_made_good_gently(off_ms):
    machine = Monotonic()
    clock = MongoClock(monotonic_ms=machine)
    clock.learn(1_000_000, at=machine.ms)
    assert clock.now() == 1_000_000
    machine.ms += 1000
    clock.learn(1_001_000 + off_ms, at=machine.ms)
    readings = [clock.now()]
    for _ in range(400):
        machine.ms += 10
        readings.append(clock.now())
    assert readings[0] == 1_001_000
    steps = [later - earlier for earlier, later in itertools.pairwise(readings)]
    assert min(steps) >= 10 * (1 - SLEW) - 1
    assert max(steps) <= 10 * (1 + SLEW) + 1
    assert readings[-1] == 1_005_000 + off_ms


def test_a_store_whose_clock_was_set_back_does_not_turn_ours_back():
    machine = Monotonic()
    clock = MongoClock(monotonic_ms=machine)
    clock.learn(HOUR, at=machine.ms)
    clock.learn(0, at=machine.ms)
    readings = [clock.now()]
    for _ in range(100):
        machine.ms += 1
        readings.append(clock.now())
    assert readings == sorted(readings)
    assert readings[-1] > readings[0]


def test_an_answer_that_took_long_is_taken_for_the_time_it_was_given():
    machine = Monotonic()
    clock = MongoClock(monotonic_ms=machine)
    machine.ms += 80
    clock.learn(1_000_000, at=machine.ms - 40)
    assert clock.now() == 1_000_040
