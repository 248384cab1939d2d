"""Lists, what is due, and what the ready queue is refilled from."""

import pytest
from msgspec.structs import replace

from anchor.core.spec import TaskSpec
from anchor.core.task import TERMINAL, Origin, State
from anchor.core.task_query import TaskQuery
from anchor.ports.store import QueuedRef, Swap

pytestmark = pytest.mark.anyio


async def all_pages(store, *, limit, state=None, label=None, owner=None):
    found, below = [], None
    for _ in range(10_000):
        page = await store.page(TaskQuery(state=state, label=label, owner=owner), below=below, limit=limit)
        assert len(page.tasks) <= limit
        found += page.tasks
        if page.below is None:
            return found
        assert below is None or page.below < below, "a list must get on"
        below = page.below
    raise AssertionError("a list without an end")


def newest_first(tasks):
    return sorted(tasks, key=lambda task: -task.id)


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_pages_hold_every_task_once_newest_first(store, make, limit):
    tasks = make.tasks(14)
    await store.insert(tasks)
    assert await all_pages(store, limit=limit) == newest_first(tasks)


async def test_an_empty_store_has_one_empty_page(store):
    page = await store.page(TaskQuery(), below=None, limit=10)
    assert (page.tasks, page.below) == ([], None)


@pytest.mark.parametrize("state", State)
async def test_pages_of_a_state_hold_exactly_its_tasks(store, make, state):
    tasks = [make.in_state(each) for _ in range(3) for each in State]
    await store.insert(tasks)
    assert await all_pages(store, limit=2, state=state) == newest_first(t for t in tasks if t.state is state)


async def test_pages_of_an_owner_hide_everybody_else(store, make):
    tasks = [make.in_state(state, owner=owner) for owner in ("ann", "bob", "ann") for state in State]
    await store.insert(tasks)
    assert await all_pages(store, limit=4, owner="ann") == newest_first(t for t in tasks if t.owner == "ann")
    for state in State:
        wanted = newest_first(t for t in tasks if t.owner == "bob" and t.state is state)
        assert await all_pages(store, limit=4, owner="bob", state=state) == wanted


async def test_a_label_is_found_as_a_whole_and_nothing_that_looks_like_it(store, make):
    labels = [[], ["a"], ["ab"], ["a", "b"], ['a","b'], [","], ["ü"], ['"a"'], ["\\"], ["a\\"]]
    tasks = [make.task(spec=TaskSpec(name="t", type="noop", labels=each)) for each in labels]
    await store.insert(tasks)
    for label in {label for each in labels for label in each}:
        wanted = newest_first(task for task in tasks if label in task.spec.labels)
        assert await all_pages(store, limit=3, label=label) == wanted


async def test_a_list_is_stable_while_new_tasks_arrive(store, make):
    tasks = make.tasks(6)
    await store.insert(tasks)
    first = await store.page(TaskQuery(), below=None, limit=3)
    await store.insert(make.tasks(4))
    second = await store.page(TaskQuery(), below=first.below, limit=3)
    assert first.tasks + second.tasks == newest_first(tasks)


async def test_what_is_due_comes_longest_waiting_first_and_never_early(store, make):
    tasks = [replace(make.in_state(State.BACKOFF), wake_at=make.now + wait) for wait in (500, 100, 300, 200)]
    await store.insert([*tasks, make.in_state(State.LEASED), make.in_state(State.SUCCEEDED)])
    due = await store.due(State.BACKOFF, make.now + 300, 10)
    assert [task.wake_at - make.now for task in due] == [100, 200, 300]
    assert await store.due(State.BACKOFF, make.now + 300, 2) == due[:2]
    assert await store.due(State.BACKOFF, make.now + 99, 10) == []


@pytest.mark.parametrize("state", sorted(set(State) - TERMINAL))
async def test_every_live_state_can_fall_due(store, make, state):
    task = make.in_state(state)
    await store.insert([task])
    assert await store.due(state, task.wake_at, 10) == [task]


async def test_what_moved_on_is_no_longer_due(store, make):
    task = make.task()
    await store.insert([task])
    leased = make.leased(task)
    await store.swap([Swap(task, leased)])
    later = make.now + 10**9
    assert await store.due(State.QUEUED, later, 10) == []
    assert await store.due(State.LEASED, later, 10) == [leased]
    await store.swap([Swap(leased, make.ended(leased))])
    assert await store.due(State.LEASED, later, 10) == []


async def test_queued_tasks_are_walked_oldest_first_in_steps(store, make):
    tasks = [make.in_state(state) for _ in range(4) for state in State]
    await store.insert(tasks)
    wanted = [QueuedRef(task.id, 0, "{}", "ann") for task in tasks if task.state is State.QUEUED]
    first = await store.queued(0, 3)
    assert first == wanted[:3]
    assert await store.queued(first[-1].id, 3) == wanted[3:]


async def test_tasks_of_a_run_are_found_without_its_copies(store, make):
    steps = [replace(make.task(), part_of=17, origin=Origin(run=17, step=at)) for at in range(5)]
    copy = replace(make.task(), part_of=17, origin=Origin(head=steps[0].id, number=0, is_copy=True))
    others = [make.task(), replace(make.task(), part_of=18, origin=Origin(run=18, step=0))]
    await store.insert([*steps, copy, *others])
    page = await store.page(TaskQuery(run=17), below=None, limit=3, skip=1)
    assert (page.tasks, page.skipped) == (newest_first(steps)[1:4], 1)
    assert (await store.count(TaskQuery(run=17), below=None, above=None)).counts == {State.QUEUED: 5}
    assert (await store.count(TaskQuery(run=18), below=None, above=None)).counts == {State.QUEUED: 1}


async def test_one_look_is_bounded_however_much_is_skipped_and_however_little_found(store, make, monkeypatch):
    monkeypatch.setattr("anchor.adapters.sqlite.pages.BOUND", 5)
    monkeypatch.setattr("anchor.adapters.mongo.pages.BOUND", 5)
    tasks = [make.task(spec=TaskSpec(name=f"t{at:02}", type="noop")) for at in range(23)]
    await store.insert(tasks)
    page = await store.page(TaskQuery(), below=None, limit=2, skip=20)
    assert (page.tasks, page.below, page.skipped) == ([], newest_first(tasks)[4].id, 5)
    found, below, left, looks = [], None, 20, 0
    while below is not None or not looks:
        page = await store.page(TaskQuery(name="T"), below=below, limit=2, skip=left)
        found, below, left, looks = found + page.tasks, page.below, left - page.skipped, looks + 1
    assert (found, looks) == (newest_first(tasks)[20:], 6)
    counts, below, looks = 0, None, 0
    while below is not None or not looks:
        part = await store.count(TaskQuery(name="0"), below=below, above=None)
        counts, below, looks = counts + sum(part.counts.values()), part.below, looks + 1
    assert (counts, looks) == (12, 5)
