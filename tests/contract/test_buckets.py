"""Token buckets: a burst at once, then so many a second, and never an outage."""

import asyncio

import pytest

from anchor.adapters.local.buckets import LocalBuckets

pytestmark = pytest.mark.anyio


async def test_a_burst_is_let_in_and_then_one_waits_as_long_as_is_said(buckets):
    for _ in range(5):
        assert await buckets.take("a", rate=10, burst=5) == 0
    wait = await buckets.take("a", rate=10, burst=5)
    assert 0 < wait <= 0.1
    await asyncio.sleep(wait)
    assert await buckets.take("a", rate=10, burst=5) == 0


async def test_each_name_has_a_bucket_of_its_own(buckets):
    assert await buckets.take("a", rate=0.01, burst=1) == 0
    assert await buckets.take("b", rate=0.01, burst=1) == 0
    assert await buckets.take("a", rate=0.01, burst=1) > 90


async def test_what_is_refused_takes_nothing(buckets):
    assert await buckets.take("a", rate=0.01, burst=10, cost=8) == 0
    wait = await buckets.take("a", rate=0.01, burst=10, cost=5)
    assert wait == pytest.approx(300, abs=5)
    assert await buckets.take("a", rate=0.01, burst=10, cost=2) == 0


async def test_of_many_at_once_only_the_burst_gets_in(buckets):
    waits = await asyncio.gather(*[buckets.take("a", rate=0.01, burst=7) for _ in range(50)])
    assert waits.count(0) == 7


async def test_a_bucket_never_holds_more_than_its_burst():
    now = [0.0]
    buckets = LocalBuckets(seconds=lambda: now[0])
    assert await buckets.take("a", rate=1, burst=3, cost=3) == 0
    now[0] = 2.0
    assert await buckets.take("a", rate=1, burst=3, cost=3) == pytest.approx(1)
    now[0] = 1_000.0
    assert await buckets.take("a", rate=1, burst=3, cost=3) == 0
    assert await buckets.take("a", rate=1, burst=3) == pytest.approx(1)


async def test_the_buckets_forgotten_first_are_those_used_longest_ago():
    buckets = LocalBuckets(capacity=2, seconds=lambda: 0.0)
    for name in ("a", "b", "a", "c"):
        await buckets.take(name, rate=1, burst=2, cost=1)
    assert await buckets.take("a", rate=1, burst=2) == 1
    assert await buckets.take("b", rate=1, burst=2, cost=2) == 0
