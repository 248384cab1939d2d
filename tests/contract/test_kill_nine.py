"""Whatever was acknowledged is there after kill -9, as new as it was acknowledged."""

import asyncio
import random
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engines.mongo import Engine, running_mongo

from anchor.adapters.mongo import MongoStore
from anchor.adapters.sqlite import SqliteStore
from anchor.core.task import TERMINAL, State, Task
from anchor.core.task_query import TaskQuery
from anchor.core.usage import ended_uses, summed
from anchor.ports.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")

WRITER = Path(__file__).with_name("acknowledging_writer.py")


def lines_of_writer(place: str, few: int, many: int, kill: Callable[[subprocess.Popen[bytes]], object]) -> list[str]:
    """The complete lines a writer printed until `kill` ended it, after some random number of them."""
    with subprocess.Popen(
        [sys.executable, str(WRITER), place], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as writer:
        lines = [writer.stdout.readline() for _ in range(random.randint(few, many))]
        kill(writer)
        lines += writer.stdout.readlines()
    assert writer.returncode != 0
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


def versions_in(lines: list[str]) -> dict[int, int]:
    """The newest acknowledged version of each task."""
    acknowledged: dict[int, int] = {}
    for line in lines:
        match line.split():
            case ["+", key]:
                acknowledged[int(key)] = 1
            case ["~", key, version]:
                acknowledged[int(key)] = int(version)
    assert acknowledged
    return acknowledged


async def listed(store: Store) -> list[Task]:
    """Every task of the list."""
    everything: list[Task] = []
    below: int | None = None
    while True:
        page = await store.page(TaskQuery(), below=below, limit=5000)
        everything += page.tasks
        if (below := page.below) is None:
            return everything


async def assert_nothing_is_lost(store: Store, acknowledged: dict[int, int]) -> None:
    keys = sorted(acknowledged)
    found = await store.get(keys)
    assert [key for key, task in zip(keys, found, strict=True) if task is None] == []
    assert [task.id for task in found if task.ver < acknowledged[task.id]] == []
    assert all(await store.payloads(keys))
    # What the one that was killed had asked of a database goes on for a moment.
    until = asyncio.get_running_loop().time() + 5
    while True:
        counted, everything = await store.counts(None), await listed(store)
        states = Counter(task.state for task in everything)
        used = await store.usage("owner", since=0, owner=None)
        ended = summed(ended_uses(task for task in everything if task.state in TERMINAL), "owner", since=0, owner=None)
        if counted == {state: states[state] for state in State} and used == ended:
            break
        assert asyncio.get_running_loop().time() < until, (counted, states, used, ended)
    assert store.last_key == max(task.id for task in everything)


@pytest.mark.anyio
async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path):
    lines: list[str] = []
    for _ in range(4):
        lines += lines_of_writer(str(tmp_path), 300, 3000, lambda writer: writer.send_signal(signal.SIGKILL))
    store = await SqliteStore.open(tmp_path)
    try:
        await assert_nothing_is_lost(store, versions_in(lines))
    finally:
        await store.close()


@pytest.mark.anyio
async def test_nothing_acknowledged_is_lost_when_a_server_on_mongodb_is_killed(mongo_engine):
    url = mongo_engine.url_of(secrets.token_hex(8))
    lines = lines_of_writer(url, 50, 300, lambda writer: writer.send_signal(signal.SIGKILL))
    store = await MongoStore.open(url)
    try:
        await assert_nothing_is_lost(store, versions_in(lines))
    finally:
        await store.close()


def lines_across_kills(engine: Engine) -> list[str]:
    """What a writer printed before and after MongoDB was killed under it, and until it was killed again."""
    with subprocess.Popen([sys.executable, str(WRITER), engine.url], stdout=subprocess.PIPE) as writer:
        try:
            lines = [writer.stdout.readline() for _ in range(random.randint(50, 200))]
            engine.kill()
            engine.restart()
            # More than can have been on its way: the writer goes on by itself.
            lines += [writer.stdout.readline() for _ in range(100)]
            engine.kill()
        finally:
            writer.kill()
        lines += writer.stdout.readlines()
    engine.restart()
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


@pytest.mark.anyio
async def test_nothing_acknowledged_is_lost_when_mongodb_is_killed_and_the_writer_goes_on(tmp_path):
    with running_mongo(tmp_path) as engine:
        lines = lines_across_kills(engine)
        store = await MongoStore.open(engine.url)
        try:
            await assert_nothing_is_lost(store, versions_in(lines))
        finally:
            await store.close()
