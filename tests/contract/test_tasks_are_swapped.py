"""Every change of a task is one compare-and-set on its version."""

import asyncio

import pytest

from anchor.core.attempt import Outcome
from anchor.core.task import State, extend
from anchor.ports.store import Swap

pytestmark = pytest.mark.anyio


async def test_a_swap_on_the_stored_version_succeeds_and_lasts(store, reopened, make, swap_one):
    task = make.task()
    await store.insert([task])
    leased = make.leased(task)
    assert await swap_one(store, task, leased)
    assert await store.get([task.id]) == [leased]
    assert await (await reopened(store)).get([task.id]) == [leased]


async def test_a_swap_on_an_old_version_fails_and_changes_nothing(store, make, swap_one):
    task = make.task()
    await store.insert([task])
    leased = make.leased(task)
    await swap_one(store, task, leased)
    assert not await swap_one(store, task, make.leased(task, node="MAX-000000"))
    assert await store.get([task.id]) == [leased]
    assert (await store.counts(None))[State.LEASED] == 1


async def test_a_swap_of_a_task_that_does_not_exist_fails(store, make, swap_one):
    task = make.task()
    assert not await swap_one(store, task, make.leased(task))
    assert await store.get([task.id]) == [None]
    assert sum((await store.counts(None)).values()) == 0


async def test_each_swap_of_a_batch_is_answered_for_itself(store, reopened, make):
    stale, fresh, unknown = make.tasks(3)
    await store.insert([stale, fresh])
    moved = make.leased(stale)
    await store.swap([Swap(stale, moved)])
    answers = await store.swap([Swap(task, make.leased(task)) for task in (stale, fresh, unknown)])
    assert answers == [False, True, False]
    store = await reopened(store)
    assert await store.get([stale.id, fresh.id]) == [moved, make.leased(fresh)]
    assert (await store.counts(None))[State.LEASED] == 2


async def test_the_second_swap_of_a_task_in_a_batch_sees_the_first(store, reopened, make):
    task = make.task()
    await store.insert([task])
    leased = make.leased(task)
    done = make.ended(leased)
    assert await store.swap([Swap(task, leased), Swap(leased, done)]) == [True, True]
    assert await (await reopened(store)).get([task.id]) == [done]


async def test_of_two_rivals_in_a_batch_the_first_wins(store, make):
    task = make.task()
    await store.insert([task])
    mine, yours = make.leased(task, node="AAA-000000"), make.leased(task, node="BBB-000000")
    assert await store.swap([Swap(task, mine), Swap(task, yours)]) == [True, False]
    assert await store.get([task.id]) == [mine]


async def test_of_many_rivals_at_once_exactly_one_wins(store, reopened, make):
    tasks = make.tasks(10)
    await store.insert(tasks)
    rivals = [[Swap(task, make.leased(task, node=f"R{at:02}-000000")) for task in tasks] for at in range(12)]
    answers = await asyncio.gather(*[store.swap(rival) for rival in rivals])
    winners = [[at for at, answer in enumerate(answers) if answer[place]] for place in range(10)]
    assert all(len(winner) == 1 for winner in winners)
    kept = await (await reopened(store)).get([task.id for task in tasks])
    assert [task.node for task in kept] == [f"R{winner:02}-000000" for [winner] in winners]


async def test_swaps_in_a_batch_larger_than_any_statement_all_happen(store, make):
    tasks = make.tasks(337)
    await store.insert(tasks)
    assert await store.swap([Swap(task, make.leased(task)) for task in tasks]) == [True] * 337
    assert await store.get([task.id for task in tasks]) == [make.leased(task) for task in tasks]


async def test_a_loser_reads_what_the_winner_wrote(store, make):
    task = make.task()
    await store.insert([task])
    leased = make.leased(task)
    await store.swap([Swap(task, leased)])
    assert await store.swap([Swap(task, make.ended(leased))]) == [False]
    [now] = await store.get([task.id])
    assert now == leased


async def test_counts_follow_every_write_exactly_and_by_owner(store, reopened, make):
    everything = [make.in_state(state, owner=owner) for state in State for owner in ("ann", "ann", "bob")]
    await store.insert(everything)
    counts = await store.counts("ann")
    assert counts == dict.fromkeys(State, 2)
    assert await store.counts("nobody") == dict.fromkeys(State, 0)
    queued = next(task for task in everything if task.state is State.QUEUED and task.owner == "bob")
    leased = make.leased(queued)
    again = make.ended(extend(leased, until=make.now), Outcome.RELEASED)
    await store.swap([Swap(queued, leased), Swap(leased, extend(leased, until=make.now))])
    assert (await store.counts("bob"))[State.LEASED] == 2
    await store.swap([Swap(extend(leased, until=make.now), again)])
    store = await reopened(store)
    assert await store.counts("bob") == dict.fromkeys(State, 1)
    assert await store.counts(None) == dict.fromkeys(State, 3)
