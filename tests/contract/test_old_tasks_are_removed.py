"""Retention: what ended long ago leaves with all that belongs to it, and nothing else does."""

import pytest
from msgspec.structs import replace

from anchor.core.ids import KeySequence
from anchor.core.spec import Payload, TaskSpec
from anchor.core.task import TERMINAL, State
from anchor.ports.store import Claim, LogChunk

pytestmark = pytest.mark.anyio

HOUR = 3_600_000


async def test_only_tasks_that_ended_before_the_time_go(store, make):
    old = [make.in_state(state) for state in State]
    make.now += 2 * HOUR
    young = [make.in_state(state) for state in State]
    await store.insert(old + young)
    assert await store.remove_finished(make.now - HOUR, 100) == len(TERMINAL)
    left = await store.get([task.id for task in old + young])
    assert left == [None if task.state in TERMINAL else task for task in old] + young
    expected = {state: 1 if state in TERMINAL else 2 for state in State}
    assert await store.counts(None) == expected


async def test_a_task_that_was_born_long_ago_and_ended_just_now_stays(store, make):
    task = make.task()
    done = make.ended(make.leased(task), now=make.now + 2 * HOUR)
    await store.insert([done])
    assert await store.remove_finished(make.now + HOUR, 100) == 0
    assert await store.get([task.id]) == [done]


async def test_a_call_removes_no_more_than_it_may_and_the_next_goes_on(store, make):
    await store.insert([make.in_state(State.SUCCEEDED) for _ in range(7)])
    removed = [await store.remove_finished(make.now + HOUR, 3) for _ in range(3)]
    assert removed == [3, 3, 1]
    assert sum((await store.counts(None)).values()) == 0


async def test_payload_and_output_go_with_the_task(store, make):
    spec = TaskSpec(name="t", payload=Payload(source_code="1"))
    gone, stays = make.in_state(State.SUCCEEDED, spec=spec), make.in_state(State.QUEUED, spec=spec)
    await store.insert([gone, stays])
    await store.append([LogChunk(task.id, 1, 1, make.now, "stdout", "hi") for task in (gone, stays)])
    assert await store.remove_finished(make.now + HOUR, 10) == 1
    payloads = await store.payloads([gone.id, stays.id])
    assert (payloads[0], bool(payloads[1])) == (b"", True)
    assert await store.read(gone.id, attempt=0, seq=0, limit=10) == []
    assert len(await store.read(stays.id, attempt=0, seq=0, limit=10)) == 1


async def test_a_claim_stays_as_long_as_any_of_its_tasks(store, make):
    keys = KeySequence(1).take(2, now_ms=make.now)
    done, open_ = (replace(make.in_state(state), id=key) for state, key in
                   zip((State.SUCCEEDED, State.QUEUED), keys, strict=True))  # fmt: skip
    await store.insert([done, open_])
    claim = Claim("ann", "k", "d", keys[0], 2, True, make.now)
    await store.claim(claim)
    assert await store.remove_finished(make.now + HOUR, 10) == 1
    assert await store.claim(replace(claim, digest="other")) == claim


async def test_an_old_claim_without_tasks_goes_and_a_young_one_stays(store, make):
    old = Claim("ann", "old", "d", 1, 1, True, make.now)
    young = Claim("ann", "young", "d", 257, 1, False, make.now + 2 * HOUR)
    await store.claim(old)
    await store.claim(young)
    await store.remove_finished(make.now + HOUR, 10)
    assert (await store.claim(replace(old, digest="other"))).digest == "other"
    assert (await store.claim(replace(young, digest="other"))).digest == "d"
