"""What was used is counted once for each task that is over, and outlives it."""

import asyncio

import pytest
from msgspec.structs import replace

from anchor.core.attempt import Ending, Outcome, Usage
from anchor.core.task import State, settle, wake
from anchor.core.usage import DAY_MS, Sum, Use
from anchor.ports.store import Swap

pytestmark = pytest.mark.anyio
HOUR = 3_600_000


@pytest.fixture
def begin(make):
    """The first moment of the day that tests run on."""
    return make.now // DAY_MS * DAY_MS


def used(task, seconds, *, at, outcome=Outcome.SUCCEEDED):
    usage = Usage(cpu_seconds=seconds, wall_seconds=2 * seconds)
    return settle(task, Ending(task.id, task.attempt, outcome, usage=usage), now=at, chance=0.5)


async def carried_out(store, swap_one, task, *steps):
    await store.insert([task])
    for step in steps:
        after = step(task)
        assert await swap_one(store, task, after)
        task = after
    return task


def on(make, node, *, at):
    return lambda task: replace(make.leased(task, node=node), leased_at=at)


async def sums(store, by, *, since=0, owner=None):
    return {one.name: one for one in await store.usage(by, since=since, owner=owner)}


async def test_an_empty_store_has_seen_no_use(store):
    for by in ("owner", "node", "app", "day"):
        assert await store.usage(by, since=0, owner=None) == []


async def test_each_attempt_counts_on_its_day_and_node_once_the_task_is_over(store, make, swap_one, begin):
    first, second = begin + HOUR, begin + DAY_MS + HOUR
    tried = await carried_out(
        store,
        swap_one,
        make.task(owner="ann", now=begin),
        on(make, "REX-1", at=first),
        lambda task: used(task, 3, at=first + 60_000, outcome=Outcome.ERRORED),
        lambda task: wake(task, now=second),
    )
    assert tried.state is State.QUEUED
    assert await sums(store, "owner") == {}, "it is not over"
    leased = on(make, "REX-2", at=second)(tried)
    assert await swap_one(store, tried, leased)
    done = used(leased, 5, at=second + 60_000)
    assert await swap_one(store, leased, done)
    assert not await swap_one(store, leased, done), "a second time it does not count"

    assert await sums(store, "owner") == {"ann": Sum("ann", 1, 0, 2, 8000, 16_000)}
    assert await sums(store, "node") == {
        "REX-1": Sum("REX-1", 0, 0, 1, 3000, 6000),
        "REX-2": Sum("REX-2", 1, 0, 1, 5000, 10_000),
    }
    day = begin // DAY_MS
    assert await sums(store, "day") == {
        str(day): Sum(str(day), 0, 0, 1, 3000, 6000),
        str(day + 1): Sum(str(day + 1), 1, 0, 1, 5000, 10_000),
    }
    assert await sums(store, "node", since=day + 1) == {"REX-2": Sum("REX-2", 1, 0, 1, 5000, 10_000)}
    assert await sums(store, "owner", owner="bob") == {}


async def test_failed_ones_are_told_apart_and_what_cannot_be_is_not_believed(store, make, begin):
    at = begin + HOUR
    swaps = []
    for owner, outcome, seconds in (("ann", Outcome.SUCCEEDED, 1e14), ("bob", Outcome.ERRORED, -5.0)):
        task = make.task(owner=owner, now=begin)
        task = replace(task, spec=replace(task.spec, retry=replace(task.spec.retry, attempts=1)))
        await store.insert([task])
        leased = on(make, "REX-1", at=at)(task)
        assert await store.swap([Swap(task, leased)]) == [True]
        swaps.append(Swap(leased, used(leased, seconds, at=at + 1000, outcome=outcome)))
    assert await store.swap(swaps) == [True, True]
    assert await sums(store, "owner") == {
        "ann": Sum("ann", 1, 0, 1, 1024 * 1000, 1000),
        "bob": Sum("bob", 1, 1, 1, 0, 0),
    }


async def test_what_ran_nowhere_used_nothing(store, make, swap_one):
    task = make.task()
    await store.insert([task])
    assert await swap_one(store, task, replace(task, ver=2, state=State.CANCELLED, finished_at=make.now, wake_at=None))
    assert await sums(store, "owner") == {}


async def test_it_outlives_the_tasks_whoever_removes_them_when(store, make, swap_one, begin, reopened):
    async def one_more():
        task = make.task(now=begin)
        at = begin + HOUR
        return await carried_out(
            store, swap_one, task, on(make, "REX-1", at=at), lambda task: used(task, 1, at=at + 5000)
        )

    for _ in range(3):
        await one_more()
    before = await sums(store, "node")
    assert before["REX-1"].tasks == 3
    assert await store.remove_finished(make.now + DAY_MS, 2) == 2
    assert await sums(store, "node") == before
    await one_more()
    while await store.remove_finished(make.now + DAY_MS, 2):
        pass
    assert (await sums(store, "node"))["REX-1"] == Sum("REX-1", 4, 0, 4, 4000, 8000)
    again = await reopened(store)
    assert (await sums(again, "node"))["REX-1"] == Sum("REX-1", 4, 0, 4, 4000, 8000)


async def test_apps_add_up_beside_the_tasks(store, begin):
    day = begin // DAY_MS
    uses = [Use(day, "ann", "REX-1", "shop", cpu_ms=500, wall_ms=60_000), Use(day, "bob", "REX-1", "blog", cpu_ms=100)]
    await asyncio.gather(store.add_usage(uses), store.add_usage(uses))
    assert await sums(store, "app") == {
        "shop": Sum("shop", 0, 0, 0, 1000, 120_000),
        "blog": Sum("blog", 0, 0, 0, 200, 0),
    }
    assert await sums(store, "app", owner="bob") == {"blog": Sum("blog", 0, 0, 0, 200, 0)}
    assert await sums(store, "node") == {"REX-1": Sum("REX-1", 0, 0, 0, 1200, 120_000)}
    await store.add_usage([])


async def test_days_long_past_are_forgotten(store, begin):
    day = begin // DAY_MS
    await store.add_usage([Use(day + late, "ann", "REX-1", "shop", cpu_ms=1) for late in range(3)])
    await store.forget_usage(day + 2)
    assert list(await sums(store, "day")) == [str(day + 2)]
