"""The embedded store's memory of where its queue begins: never wrong, and small."""

import asyncio
import random
from pathlib import Path

import pytest

from anchor.adapters.sqlite import SqliteStore, oldest, pages
from anchor.core.attempt import Outcome
from anchor.core.ids import born_ms
from anchor.core.task import State
from anchor.ports.store import Swap

pytestmark = pytest.mark.anyio


async def lease(store, make, held):
    leases = [make.leased(task) for task in held]
    await store.swap([Swap(old, new) for old, new in zip(held, leases, strict=True)])
    return leases


async def give_back(store, make, leases):
    back = [make.ended(task, Outcome.RELEASED) for task in leases]
    await store.swap([Swap(old, new) for old, new in zip(leases, back, strict=True)])
    return back


@pytest.mark.parametrize("bound", [0, 20_000], ids=["by id", "by state"])
@pytest.mark.parametrize("returned_max", [0, 2, 1_000])
async def test_the_queue_is_read_from_its_beginning_whatever_was_given_back(
    tmp_path: Path, make, monkeypatch, bound, returned_max
) -> None:
    monkeypatch.setattr(pages, "BOUND", bound)
    monkeypatch.setattr(oldest, "RETURNED_MAX", returned_max)
    store = await SqliteStore.open(tmp_path)
    waiting = {task.id: task for task in make.tasks(40)}
    await store.insert(list(waiting.values()))
    dice = random.Random(bound + returned_max)
    held = []
    for _ in range(30):
        taken = [waiting.pop(task) for task in sorted(waiting)[: dice.randrange(6)]]
        held += await lease(store, make, taken)
        dice.shuffle(held)
        back, held = held[:3], held[3:]
        waiting |= {task.id: task for task in await give_back(store, make, back)}
        refs = await store.queued(0, 7)
        assert [ref.id for ref in refs] == sorted(waiting)[:7]
        rest = await store.queued(refs[-1].id if refs else 1, 100)
        assert [ref.id for ref in rest] == sorted(waiting)[7:]
        first = min(waiting, default=None)
        assert (await store.pulse(None, make.now)).oldest_queued == (first and born_ms(first))
    await store.close()


async def test_what_is_remembered_has_a_bound(tmp_path: Path, make, monkeypatch) -> None:
    monkeypatch.setattr(oldest, "RETURNED_MAX", 5)
    monkeypatch.setattr(oldest, "OWNERS_MAX", 3)
    store = await SqliteStore.open(tmp_path)
    queue = [make.task(owner=f"owner {number}") for number in range(20)]
    await store.insert(queue)
    for task in queue:
        assert (await store.pulse(task.owner, make.now)).oldest_queued == born_ms(task.id)
    leases = await lease(store, make, queue[:10])
    assert (await store.pulse(None, make.now)).oldest_queued == born_ms(queue[10].id)
    await give_back(store, make, leases)
    remembered = store._oldest
    assert len(remembered._returned) <= 5
    assert len(remembered._floors) <= 3
    assert (await store.pulse(None, make.now)).oldest_queued == born_ms(queue[0].id)
    assert (await store.counts(None))[State.QUEUED] == 20
    await store.close()


class _Gate:
    """Reads whose answers arrive only once the gate is open: they are out of date by then."""

    def __init__(self, reads) -> None:
        self._reads = reads
        self.read = asyncio.Event()
        self.open = asyncio.Event()

    async def run(self, query):
        found = await self._reads.run(query)
        self.read.set()
        await self.open.wait()
        return found


@pytest.mark.parametrize("before", [0, 1], ids=["for the first time", "once more"])
async def test_a_task_given_back_while_somebody_looks_is_not_overlooked(
    tmp_path: Path, make, monkeypatch, before
) -> None:
    store = await SqliteStore.open(tmp_path)
    first, second = make.tasks(2)
    await store.insert([first, second])
    [held] = await lease(store, make, [first])
    for _ in range(before):
        assert (await store.pulse(None, make.now)).oldest_queued == born_ms(second.id)
        [held] = await lease(store, make, await give_back(store, make, [held]))
    gate = _Gate(store._reads)
    with monkeypatch.context() as patched:
        patched.setattr(store._oldest, "_reads", gate)
        looking = asyncio.create_task(store._oldest.find(None))
        await asyncio.wait_for(gate.read.wait(), 10)
        await give_back(store, make, [held])
        gate.open.set()
        assert await looking == second.id
    assert await store._oldest.find(None) == first.id
    await store.close()
