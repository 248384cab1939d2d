"""Duties: of servers that want the same one exactly one gets it, and only from what it really is."""

import asyncio

import pytest
from msgspec.structs import replace

from anchor.ports.store import Duty

pytestmark = pytest.mark.anyio

DUTY = Duty("retention", "a", 1, 1000, "a note")


async def test_a_duty_comes_back_whole_after_a_restart(store, reopened):
    assert await store.duty(DUTY.name) is None
    assert await store.swap_duty(None, DUTY)
    assert await (await reopened(store)).duty(DUTY.name) == DUTY


async def test_of_many_that_want_a_new_duty_one_gets_it(store):
    wanted = [replace(DUTY, holder=f"server {n}") for n in range(8)]
    answers = await asyncio.gather(*[store.swap_duty(None, duty) for duty in wanted])
    [winner] = [duty for duty, done in zip(wanted, answers, strict=True) if done]
    assert await store.duty(DUTY.name) == winner


async def test_of_many_that_take_over_one_does(store):
    await store.swap_duty(None, DUTY)
    wanted = [replace(DUTY, holder=f"server {n}", term=2) for n in range(8)]
    answers = await asyncio.gather(*[store.swap_duty(DUTY, duty) for duty in wanted])
    [winner] = [duty for duty, done in zip(wanted, answers, strict=True) if done]
    assert await store.duty(DUTY.name) == winner


@pytest.mark.parametrize("change", [{"holder": "b"}, {"term": 2}, {"until": 1001}, {"note": ""}])
async def test_a_duty_changes_only_from_exactly_what_it_is(store, change):
    await store.swap_duty(None, DUTY)
    assert not await store.swap_duty(replace(DUTY, **change), replace(DUTY, term=9))
    assert await store.duty(DUTY.name) == DUTY
    assert not await store.swap_duty(replace(DUTY, name="other"), replace(DUTY, name="other", term=9))
    assert await store.duty("other") is None


async def test_duties_are_listed_by_name(store):
    for name in ("server/2", "retention", "server/1"):
        await store.swap_duty(None, replace(DUTY, name=name))
    assert [duty.name for duty in await store.duties()] == ["retention", "server/1", "server/2"]


async def test_a_truth_that_was_never_restored_is_of_epoch_0(store):
    assert await store.epoch() == 0
