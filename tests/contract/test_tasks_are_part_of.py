"""Tasks made for something: they know what for, copies are in no list, and they stay while that lives."""

import pytest
from msgspec.structs import replace

from anchor.core.dag import Run, RunState
from anchor.core.task import Origin, State
from anchor.core.task_query import TaskQuery
from anchor.ports.store import QueuedRef, Swap

pytestmark = pytest.mark.anyio

HOUR = 3_600_000


def copy_of(head, task, number):
    apart = (head.parts.first, head.parts.cap)
    origin = Origin(head=head.id, number=number, apart=apart, owners_apart=True, is_copy=True)
    return replace(task, part_of=head.id, origin=origin)


async def test_what_a_task_was_made_for_comes_back_after_a_restart(store, reopened, make):
    head = make.in_state(State.VERIFYING)
    step = replace(make.task(), part_of=17, origin=Origin(run=17, step=0))
    item = replace(make.task(), part_of=17, origin=Origin(run=17, step=1, head=19, number=3, apart=(256, 2)))
    copy = copy_of(head, make.task(), 2)
    tasks = [head, step, item, copy]
    assert await store.insert(tasks) == [True] * 4
    leased = make.leased(copy)
    assert await (store := await reopened(store)).get([task.id for task in tasks]) == tasks
    assert await store.swap([Swap(copy, leased)]) == [True]
    assert await (await reopened(store)).get([copy.id]) == [leased]


async def test_copies_are_in_no_list(store, make):
    head = make.in_state(State.VERIFYING)
    steps = [replace(make.task(), part_of=17, origin=Origin(run=17, step=at, head=18, number=at)) for at in range(3)]
    copies = [copy_of(head, make.task(), number) for number in range(4)]
    plain = make.task()
    await store.insert([head, *steps, *copies, plain])
    shown = [plain, *steps[::-1], head]

    async def page(below=None, limit=10, state=None):
        return await store.page(TaskQuery(state=state), below=below, limit=limit)

    assert (await page()).tasks == shown
    assert (await page(state=State.QUEUED)).tasks == shown[:-1]
    first = await page(limit=2)
    assert first.tasks == shown[:2]
    found, below = list(first.tasks), first.below
    while below is not None:
        rest = await page(below=below, limit=2)
        found, below = found + rest.tasks, rest.below
    assert found == shown
    assert (await store.counts(None))[State.QUEUED] == 4
    assert [ref.id for ref in await store.queued(0, 10)] == [task.id for task in [*steps, *copies, plain]]


async def test_copies_are_in_no_count_whatever_becomes_of_them(store, make, swap_one, reopened):
    head = make.in_state(State.SUCCEEDED)
    lonely, ended, again = (copy_of(make.in_state(State.VERIFYING), make.task(), number) for number in range(3))
    ended = replace(ended, state=State.SUCCEEDED, wake_at=None, finished_at=make.now)
    await store.insert([head, lonely])
    assert await store.insert([lonely, ended, again]) == [False, True, True]
    leased = replace(again, ver=2, state=State.LEASED, attempt=1, node="REX-1", session=1, wake_at=make.now)
    assert await swap_one(store, again, leased)
    over = replace(leased, ver=3, state=State.FAILED, wake_at=None, finished_at=make.now)
    assert await swap_one(store, leased, over)
    store = await reopened(store)
    assert {state: count for state, count in (await store.counts(None)).items() if count} == {State.SUCCEEDED: 1}
    assert (await store.pulse(None, make.now + 60_000)).ended.get(State.FAILED, 0) == 0
    assert await removed(store, make.now + HOUR) == 3
    assert not any((await store.counts(None)).values())


async def test_a_queued_task_is_offered_with_its_owner(store, make):
    task = make.task(owner="bob")
    await store.insert([task])
    assert await store.queued(0, 10) == [QueuedRef(task.id, 0, task.shape, "bob")]


async def test_what_is_part_of_something_that_lives_stays(store, make, swap_one):
    run = Run(id=make.task().id, owner="ann", name="r", created_at=make.now, steps=1)
    head = make.in_state(State.WAITING)
    assert await store.insert_run(run)
    step, item, orphan = (
        replace(make.in_state(State.SUCCEEDED), part_of=whole) for whole in (run.id, head.id, make.task().id)
    )
    alone = make.in_state(State.SUCCEEDED)
    await store.insert([head, step, item, orphan, alone])
    long_after = make.now + HOUR
    assert await removed(store, long_after) == 2
    assert await store.get([step.id, item.id, orphan.id, alone.id]) == [step, item, None, None]
    assert await store.swap_run(run, replace(run, ver=2, state=RunState.FAILED, finished_at=make.now))
    assert await removed(store, long_after) == 1
    ended = replace(head, ver=2, state=State.SUCCEEDED, wake_at=None, finished_at=make.now)
    assert await swap_one(store, head, ended)
    assert await removed(store, long_after) == 2
    assert sum((await store.counts(None)).values()) == 0


async def test_those_that_stay_do_not_end_the_search_for_those_that_go(store, make):
    run = Run(id=make.task().id, owner="ann", name="r", created_at=make.now, steps=1)
    assert await store.insert_run(run)
    stay = [replace(make.in_state(State.SUCCEEDED), part_of=run.id) for _ in range(5)]
    go = [make.in_state(State.SUCCEEDED) for _ in range(3)]
    await store.insert(stay + go)
    assert [await store.remove_finished(make.now + HOUR, 2) for _ in range(2)] == [2, 1]


async def removed(store, before):
    return await store.remove_finished(before, 10) + await store.remove_finished(before, 10)
