"""The bus: whoever looks is woken, and a hint that came a moment too early is not lost."""

import asyncio

import pytest

pytestmark = pytest.mark.anyio


async def test_a_watcher_is_woken_by_its_task_and_by_no_other(bus):
    with bus.watch_task(1) as mine, bus.watch_task(2) as other:
        waiting = asyncio.ensure_future(mine.changed(5))
        await asyncio.sleep(0)
        bus.tasks_changed([7, 1, 8])
        assert await waiting
        assert not await other.changed(0.01)


async def test_every_watcher_of_a_task_is_woken(bus):
    with bus.watch_task(1) as first, bus.watch_task(1) as second:
        bus.tasks_changed([1])
        assert await first.changed(5)
        assert await second.changed(5)


async def test_a_hint_between_two_looks_is_not_lost_and_counts_once(bus):
    with bus.watch_task(1) as watch:
        bus.tasks_changed([1])
        bus.tasks_changed([1])
        assert await watch.changed(5)
        assert not await watch.changed(0.01)


async def test_without_a_hint_the_wait_ends_in_time(bus):
    with bus.watch_task(1) as watch:
        assert not await watch.changed(0.01)
    assert not await bus.next_work(0.01)


async def test_a_watch_that_ended_leaves_the_others_alone(bus):
    with bus.watch_task(1) as stays:
        with bus.watch_task(1):
            pass
        bus.tasks_changed([1])
        assert await stays.changed(5)


async def test_nodes_that_changed_are_named_once_with_the_tasks_wanted_back(bus):
    bus.node_changed("REX-A1B2C3", [1])
    bus.node_changed("REX-A1B2C3", [2])
    bus.node_changed("MAX-000000")
    assert await bus.next_nodes(5) == {"REX-A1B2C3": {1, 2}, "MAX-000000": set()}
    assert await bus.next_nodes(0.01) == {}


async def test_apps_that_changed_are_named_once(bus):
    bus.apps_changed([5, 7])
    bus.apps_changed([7])
    bus.apps_changed([])
    assert await bus.next_apps(5) == {5, 7}
    assert await bus.next_apps(0.01) == set()


async def test_waiting_work_wakes_the_dispatcher_once(bus):
    bus.work_waits()
    bus.work_waits()
    assert await bus.next_work(5)
    assert not await bus.next_work(0.01)
    waiting = asyncio.ensure_future(bus.next_work(5))
    await asyncio.sleep(0)
    bus.work_waits()
    assert await waiting


async def test_hints_nobody_waits_for_are_welcome(bus):
    bus.tasks_changed([1, 2, 3])
    bus.node_changed("REX-A1B2C3")
