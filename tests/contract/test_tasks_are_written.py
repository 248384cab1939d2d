"""A task that was inserted is there, whole, whoever asks and after any restart."""

import asyncio

import msgspec
import pytest
from msgspec.structs import replace

from anchor.core.attempt import Outcome, Result
from anchor.core.spec import Payload, Requirements, RetryPolicy, TaskSpec
from anchor.core.task import State
from anchor.ports.store import Swap

pytestmark = pytest.mark.anyio

RICH = TaskSpec(
    name="Grüße, 世界 \x00 🐙",
    type="script",
    requirements=Requirements(min_ram=2.5, min_cores=3, gpu_required=True, labels=["a b", 'c"d']),
    retry=RetryPolicy(attempts=5, backoff_seconds=0),
    priority=-7,
    labels=["x,y", "ü"],
)


async def test_an_inserted_task_can_be_read_back(store, make):
    task = make.task()
    assert await store.insert([task]) == [True]
    assert await store.get([task.id]) == [task]


@pytest.mark.parametrize("state", State)
async def test_a_task_in_any_state_comes_back_equal_after_a_restart(store, reopened, make, state):
    task = make.in_state(state, spec=RICH)
    assert await store.insert([task]) == [True]
    assert await (await reopened(store)).get([task.id]) == [task]


async def test_results_and_attempts_come_back_byte_for_byte(store, reopened, make):
    first = make.task()
    leased = make.leased(first)
    done = replace(make.ended(leased), result=Result(json=bytes(range(256)), blob="ab" * 32, size=256, truncated=True))
    await store.insert([first])
    assert await store.swap([Swap(first, leased)]) == [True]
    assert await store.swap([Swap(leased, done)]) == [True]
    [read] = await (await reopened(store)).get([first.id])
    assert read == done
    assert read.attempts[0].outcome is Outcome.SUCCEEDED


async def test_an_insert_that_is_already_leased_keeps_its_lease(store, reopened, make):
    task = make.leased(make.task())
    await store.insert([task])
    [read] = await (await reopened(store)).get([task.id])
    assert (read.ver, read.state, read.attempt, read.node) == (2, State.LEASED, 1, "REX-A1B2C3")


async def test_answers_come_in_the_order_asked_with_none_for_unknown_ids(store, make):
    tasks = make.tasks(5)
    await store.insert(tasks)
    asked = [tasks[3].id, 17, tasks[0].id, tasks[3].id]
    assert await store.get(asked) == [tasks[3], None, tasks[0], tasks[3]]


async def test_an_id_that_exists_is_left_as_it_is_and_its_neighbours_are_written(store, reopened, make):
    there, new = make.task(), make.task()
    await store.insert([there])
    assert await store.insert([replace(there, owner="mallory"), new]) == [False, True]
    store = await reopened(store)
    assert await store.get([there.id, new.id]) == [there, new]
    assert (await store.counts(None))[State.QUEUED] == 2


async def test_the_same_id_twice_in_one_insert_is_written_once(store, make):
    task = make.task()
    assert await store.insert([task, task]) == [True, False]
    assert (await store.counts(None))[State.QUEUED] == 1


async def test_nothing_asked_is_nothing_done(store):
    assert await store.insert([]) == []
    assert await store.swap([]) == []
    assert await store.get([]) == []
    assert await store.payloads([]) == []


async def test_many_callers_at_once_are_all_written(store, reopened, make):
    tasks = make.tasks(700)
    answers = await asyncio.gather(*[store.insert(tasks[at : at + 7]) for at in range(0, 700, 7)])
    assert answers == [[True] * 7] * 100
    assert await (await reopened(store)).get([task.id for task in tasks]) == tasks


async def test_one_caller_with_an_existing_id_spoils_nothing_for_the_others(store, make):
    there = make.task()
    await store.insert([there])
    others = make.tasks(20)
    answers = await asyncio.gather(
        *[store.insert([task]) for task in others[:10]],
        store.insert([there]),
        *[store.insert([task]) for task in others[10:]],
    )
    assert answers == [[True]] * 10 + [[False]] + [[True]] * 10
    assert (await store.counts(None))[State.QUEUED] == 21


async def test_a_request_that_cannot_be_written_fails_alone(store, make):
    bad = replace(make.task(), owner="\ud800")
    good = make.tasks(4)
    answers = await asyncio.gather(
        store.insert(good[:2]), store.insert([bad]), store.insert(good[2:]), return_exceptions=True
    )
    assert answers[0] == answers[2] == [True, True]
    assert isinstance(answers[1], UnicodeEncodeError)
    assert (await store.counts(None))[State.QUEUED] == 4


async def test_a_request_that_fails_half_way_leaves_nothing_of_itself(store, make):
    good, bad = make.task(), replace(make.task(), owner="\ud800")
    with pytest.raises(UnicodeEncodeError):
        await store.insert([good, bad])
    assert await store.get([good.id]) == [None]
    assert sum((await store.counts(None)).values()) == 0


async def test_a_caller_that_gives_up_waiting_leaves_the_others_their_answers(store, make):
    tasks = make.tasks(3)
    waiting = [asyncio.ensure_future(store.insert([task])) for task in tasks]
    await asyncio.sleep(0)
    waiting[1].cancel()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert answers[0] == answers[2] == [True]
    assert isinstance(answers[1], asyncio.CancelledError)


async def test_the_payload_is_kept_apart_and_always_at_hand(store, reopened, make):
    payload = Payload(source_code="return 1", input={"n": [1, 2, None]})
    with_it = make.task(spec=TaskSpec(name="with", payload=payload))
    without = make.task()
    await store.insert([with_it, without])
    for _ in range(2):
        first, none, unknown, again = await store.payloads([with_it.id, without.id, 17, with_it.id])
        assert msgspec.json.decode(first, type=Payload) == payload
        assert again == first
        assert none == unknown == b""
        store = await reopened(store)
    [read] = await store.get([with_it.id])
    assert replace(read, spec=replace(read.spec, payload=payload)) == with_it


async def test_the_payload_outlives_every_change_of_the_task(store, reopened, make, swap_one):
    task = make.task(spec=TaskSpec(name="with", payload=Payload(source_code="x" * 60_000)))
    await store.insert([task])
    leased = make.leased(task)
    assert await swap_one(store, task, leased)
    assert await swap_one(store, leased, make.ended(leased))
    [at_hand] = await store.payloads([task.id])
    [read] = await (await reopened(store)).payloads([task.id])
    assert at_hand == read
    assert len(read) > 60_000


async def test_a_closed_store_refuses_writes_instead_of_forgetting_them(store, make):
    await store.close()
    with pytest.raises(Exception, match="closed"):
        await store.insert([make.task()])
    with pytest.raises(Exception, match="close"):
        await store.node("A")


async def test_what_was_asked_before_the_close_is_written(store, reopened, make):
    tasks = make.tasks(50)
    waiting = [asyncio.ensure_future(store.insert([task])) for task in tasks]
    await asyncio.sleep(0)
    store = await reopened(store)
    assert await asyncio.gather(*waiting) == [[True]] * 50
    assert await store.get([task.id for task in tasks]) == tasks
