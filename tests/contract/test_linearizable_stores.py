"""Rivals at one task: what every store answers them is what it could have answered one after the other."""

import asyncio
import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from tests.chaos.proxy import Fault, Proxy
from tests.chaos.wing_gong import UNKNOWN, Op, order_of

from anchor.adapters.mongo import MongoStore
from anchor.adapters.sqlite import SqliteStore
from anchor.core.attempt import Outcome
from anchor.core.errors import Unavailable
from anchor.core.task import TERMINAL, State, Task, extend
from anchor.ports.store import Store, Swap, UnknownOutcome

pytestmark = pytest.mark.anyio
KEYS = 3
RIVALS = 8
ROUNDS = 12


def task_register(state: Any, asked: Any, answer: Any) -> Iterable[Any]:
    """One task as (version, content), None before it is inserted."""
    match asked:
        case ("get",):
            return [state] if answer == state else []
        case ("insert", new):
            succeeds = state is None
        case ("swap", version, new):
            succeeds = state is not None and state[0] == version
        case _:
            raise AssertionError(asked)
    if answer == UNKNOWN:
        return [new if succeeds else state]
    return [new if succeeds else state] if answer == succeeds else []


def content(task: Task | None) -> tuple[int, str] | None:
    return None if task is None else (task.ver, hashlib.sha256(msgspec.json.encode(task)).hexdigest()[:12])


class Recorder:
    """Notes every call to a store beside the others; the clock counts beginnings and ends."""

    def __init__(self) -> None:
        self.histories: dict[int, list[Op]] = defaultdict(list)
        self._now = 0

    def _tick(self) -> int:
        self._now += 1
        return self._now

    async def get(self, store: Store, task_id: int) -> Task | None:
        begun = self._tick()
        [task] = await store.get([task_id])
        self.histories[task_id].append(Op(begun, self._tick(), ("get",), content(task)))
        return task

    async def insert(self, store: Store, task: Task) -> None:
        await self._write(task.id, ("insert", content(task)), lambda: store.insert([task]))

    async def swap(self, store: Store, old: Task, new: Task) -> None:
        await self._write(new.id, ("swap", old.ver, content(new)), lambda: store.swap([Swap(old, new)]))

    async def _write(self, task_id: int, asked: tuple[Any, ...], write: Callable[[], Any]) -> None:
        begun = self._tick()
        answer: Any = UNKNOWN
        try:
            [answer] = await write()
        except Unavailable:
            return  # it promises that nothing was changed
        except UnknownOutcome:
            pass
        self.histories[task_id].append(Op(begun, self._tick(), asked, answer))


class Rival:
    """Reads a task and changes it on what it read, which is stale now and then."""

    def __init__(self, store: Store, recorder: Recorder, fresh: Sequence[Task], make: Any, name: str) -> None:
        self._store = store
        self._recorder = recorder
        self._fresh = fresh
        self._make = make
        self._name = name
        self._dice = random.Random(name)
        self._known: dict[int, Task] = {}
        self._count = 0

    async def run(self) -> None:
        for _ in range(ROUNDS):
            task = self._dice.choice(self._fresh)
            try:
                await self._round(task)
            except Unavailable:
                await asyncio.sleep(0.05)

    async def _round(self, task: Task) -> None:
        stale = self._known.get(task.id) if self._dice.random() < 0.2 else None
        seen = stale or await self._recorder.get(self._store, task.id)
        if seen is None:
            await self._recorder.insert(self._store, extend(task, until=self._unlike_any_other()))
            return
        self._known[task.id] = seen
        if seen.state not in TERMINAL:
            await self._recorder.swap(self._store, seen, self._changed(seen))
        await self._recorder.get(self._store, task.id)

    def _changed(self, task: Task) -> Task:
        if self._dice.random() < 0.8:
            return extend(task, until=self._unlike_any_other())
        if task.state is State.LEASED:
            return self._make.ended(task, self._dice.choice([Outcome.SUCCEEDED, Outcome.ERRORED]))
        return self._make.leased(task, node=self._name)

    def _unlike_any_other(self) -> int:
        self._count += 1
        return self._make.now + int(self._name[1:]) * 1000 + self._count


async def compete(stores: Sequence[Store], make: Any) -> dict[int, list[Op]]:
    """Everybody at once, at a few tasks that do not exist yet."""
    recorder, fresh = Recorder(), make.tasks(KEYS)
    rivals = [Rival(stores[at % len(stores)], recorder, fresh, make, f"R{at}") for at in range(RIVALS)]
    await asyncio.gather(*(rival.run() for rival in rivals))
    return recorder.histories


def assert_linearizable(histories: dict[int, list[Op]]) -> None:
    for task_id, history in histories.items():
        lines = "\n".join(map(str, sorted(history, key=lambda op: op.begun)))
        assert order_of(history, task_register, None) is not None, f"task {task_id}:\n{lines}"


async def test_what_rivals_are_told_has_an_order(store, open_store, make, tmp_path: Path) -> None:
    second = store if isinstance(store, SqliteStore) else await open_store(tmp_path / "data")
    try:
        histories = await compete([store, second], make)
    finally:
        if second is not store:
            await second.close()
    assert len(histories) == KEYS
    answers = [op.answer for history in histories.values() for op in history if op.asked[0] == "swap"]
    assert True in answers
    assert False in answers
    assert_linearizable(histories)


async def test_what_rivals_are_told_over_breaking_lines_has_an_order(mongo_engine, make) -> None:
    line = Proxy([mongo_engine.port])
    await line.open()
    url = urlsplit(mongo_engine.url_of("linearizable"))
    away = url._replace(netloc=f"127.0.0.1:{line.port}").geturl()
    stores = [await MongoStore.open(away) for _ in range(2)]

    async def strike() -> None:
        while True:
            await asyncio.sleep(0.1)
            await line.begin(Fault.RESET)

    striking = asyncio.create_task(strike())
    try:
        histories = await compete(stores, make)
    finally:
        striking.cancel()
        for store in stores:
            await store.close()
        await line.close()
    assert_linearizable(histories)
