"""How a queue moves, read from the truth: the age of the oldest, and endings by the minute."""

import asyncio
import random

import pytest
from msgspec.structs import replace

from anchor.core.attempt import Outcome
from anchor.core.ids import born_ms
from anchor.core.task import HELD, TERMINAL, State, cancel, wake
from anchor.ports.store import PULSE_MINUTES, Pulse, Swap

pytestmark = pytest.mark.anyio
MINUTE = 60_000
OWNERS = ("ann", "bob")


def oldest(tasks, state, owner=None):
    ids = [task.id for task in tasks if task.state is state and owner in (None, task.owner)]
    return born_ms(min(ids)) if ids else None


async def test_an_empty_store_has_no_pulse(store, make):
    assert await store.pulse(None, make.now) == Pulse(None, None, {})
    assert await store.pulse("ann", make.now) == Pulse(None, None, {})


@pytest.mark.parametrize("state", [state for state in State if state not in {State.QUEUED, State.LEASED}])
async def test_only_queued_and_leased_tasks_have_an_age(store, make, state):
    await store.insert([make.in_state(state)])
    pulse = await store.pulse(None, make.now)
    assert (pulse.oldest_queued, pulse.oldest_leased) == (None, None)


async def test_the_oldest_of_an_owner_may_be_younger_than_the_oldest_of_all(store, make):
    first, second, third = (
        make.task(owner=owner, now=make.now + at * 1000) for at, owner in enumerate(("ann", *OWNERS[::-1]))
    )
    await store.insert([first, second, third, make.leased(make.task(owner="bob", now=make.now + 9000))])
    assert (await store.pulse(None, make.now)).oldest_queued == first.created_at
    assert (await store.pulse("bob", make.now)).oldest_queued == second.created_at
    assert (await store.pulse("bob", make.now)).oldest_leased == make.now + 9000
    assert (await store.pulse("ann", make.now)).oldest_leased is None
    assert (await store.pulse("eve", make.now)).oldest_queued is None


async def test_endings_count_in_the_five_whole_minutes_after_their_own(store, make):
    start = make.now // MINUTE * MINUTE
    task = make.leased(make.task())
    await store.insert([task])
    [done] = await store.swap([Swap(task, make.ended(task, now=start + MINUTE - 1))])
    assert done
    seen = [(await store.pulse(None, start + at * MINUTE)).ended for at in range(PULSE_MINUTES + 2)]
    assert seen == [{}, *[{State.SUCCEEDED: 1}] * PULSE_MINUTES, {}]
    assert (await store.pulse(None, start + 2 * MINUTE - 1)).ended == {State.SUCCEEDED: 1}


async def test_endings_count_by_state_and_owner_and_only_where_they_were_written(store, make):
    swaps = []
    for owner, outcome in [("ann", Outcome.SUCCEEDED)] * 3 + [("bob", Outcome.SUCCEEDED), ("bob", Outcome.LOST)]:
        task = make.leased(make.task(owner=owner))
        task = replace(task, charged=task.spec.retry.attempts - 1)
        swaps.append(Swap(task, make.ended(task, outcome)))
    waiting = make.task(owner="ann")
    swaps.append(Swap(waiting, cancel(waiting, by="ann", now=make.now)))
    await store.insert([swap.old for swap in swaps])
    await store.swap(swaps)
    assert set(await store.swap(swaps)) == {False}
    later = make.now + MINUTE
    everybody = {State.SUCCEEDED: 4, State.FAILED: 1, State.CANCELLED: 1}
    assert (await store.pulse(None, later)).ended == everybody
    assert (await store.pulse("ann", later)).ended == {State.SUCCEEDED: 3, State.CANCELLED: 1}
    assert (await store.pulse("bob", later)).ended == {State.SUCCEEDED: 1, State.FAILED: 1}


async def test_a_queue_goes_on_with_its_pulse_when_it_is_opened_again(store, make, reopened):
    task = make.leased(make.task())
    waiting = make.task(now=make.now + 5)
    await store.insert([task, waiting])
    await store.swap([Swap(task, make.ended(task))])
    before = await store.pulse(None, make.now + MINUTE)
    assert before == Pulse(waiting.created_at, None, {State.SUCCEEDED: 1})
    assert await (await reopened(store)).pulse(None, make.now + MINUTE) == before


def _step(make, task, dice):
    match task.state:
        case State.QUEUED:
            return make.leased(task) if dice.random() < 0.8 else cancel(task, by="ann", now=make.now)
        case State.LEASED:
            return make.ended(task, dice.choice([Outcome.SUCCEEDED, Outcome.RELEASED, Outcome.ERRORED]))
        case State.BACKOFF:
            return wake(task, now=make.now)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_meanwhile_the_oldest_is_the_oldest(store, make, seed):
    dice = random.Random(seed)
    tasks = {}
    for turn in range(60):
        new = [make.task(owner=dice.choice(OWNERS), now=make.now + turn * 10) for _ in range(dice.randrange(3))]
        live = [task for task in tasks.values() if task.state not in TERMINAL]
        swaps = [Swap(task, _step(make, task, dice)) for task in dice.sample(live, min(len(live), 3))]
        # Looked at before, during and after: what was remembered may be out of date by then.
        looks = [store.pulse(dice.choice([None, *OWNERS]), make.now) for _ in range(dice.randrange(3))]
        await asyncio.gather(*looks[:1], store.insert(new), store.swap(swaps), *looks[1:])
        tasks |= {task.id: task for task in new} | {swap.new.id: swap.new for swap in swaps}
        if dice.random() < 0.5:
            owner = dice.choice([None, *OWNERS])
            pulse = await store.pulse(owner, make.now)
            assert pulse.oldest_queued == oldest(tasks.values(), State.QUEUED, owner)
            assert pulse.oldest_leased == oldest(tasks.values(), State.LEASED, owner)
    assert not any(task.state in HELD and task.state is not State.LEASED for task in tasks.values())


async def test_endings_are_told_minute_by_minute_for_everybody_and_for_one(store, make):
    first = make.now // MINUTE
    swaps = []
    for at, owner in enumerate(("ann", "ann", "bob")):
        task = make.leased(make.task(owner=owner))
        swaps.append(Swap(task, make.ended(task, now=(first + at) * MINUTE)))
    await store.insert([swap.old for swap in swaps])
    await store.swap(swaps)
    assert await store.endings(None, first, first + 3) == {(first + at, State.SUCCEEDED): 1 for at in range(3)}
    assert await store.endings("ann", first + 1, first + 3) == {(first + 1, State.SUCCEEDED): 1}
    assert await store.endings("eve", first, first + 3) == {}
