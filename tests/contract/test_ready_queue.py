"""The ready queue: hints by shape, the most urgent first, the oldest of those first."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from anchor.adapters.local.ready import LocalReady
from anchor.ports.ready import Hint

pytestmark = pytest.mark.anyio


async def test_higher_priority_comes_first_then_older(ready):
    await ready.push([Hint(1, 0, "a"), Hint(2, 5, "a"), Hint(3, 5, "a"), Hint(4, -5, "a")])
    assert [hint.id for hint in await ready.pop(10, ["a"])] == [2, 3, 1, 4]


async def test_order_holds_across_the_shapes_asked_for(ready):
    await ready.push([Hint(1, 0, "a"), Hint(2, 1, "b"), Hint(3, 0, "b"), Hint(4, 9, "c")])
    assert await ready.pop(10, ["a", "b"]) == [Hint(2, 1, "b"), Hint(1, 0, "a"), Hint(3, 0, "b")]
    assert await ready.shapes(0) == ["c"]


async def test_a_hint_is_handed_out_once_however_often_it_was_filed(ready):
    for _ in range(3):
        await ready.push([Hint(1, 0, "a"), Hint(1, 0, "a")])
    assert await ready.size() == 1
    assert await ready.pop(10, ["a", "a"]) == [Hint(1, 0, "a")]
    assert await ready.pop(10, ["a"]) == []
    await ready.push([Hint(1, 0, "a")])
    assert await ready.size() == 1


async def test_no_more_than_the_limit_is_taken(ready):
    await ready.push([Hint(at, 0, "a") for at in range(10)])
    assert [hint.id for hint in await ready.pop(3, ["a"])] == [0, 1, 2]
    assert await ready.pop(0, ["a"]) == []
    assert await ready.size() == 7


async def test_an_unknown_shape_has_no_hints(ready):
    assert await ready.pop(5, ["nobody"]) == []
    assert await ready.shapes(0) == []


@given(
    hints=st.lists(st.tuples(st.integers(1, 30), st.integers(-2, 2), st.sampled_from("abc")), max_size=40),
    wanted=st.lists(st.sampled_from("abcd"), max_size=4),
    limit=st.integers(0, 40),
)
@settings(deadline=None, max_examples=100)
async def test_any_filing_comes_out_sorted(hints, wanted, limit):
    ready = LocalReady()
    await ready.push([Hint(*hint) for hint in hints])
    first: dict[int, Hint] = {}
    for hint in hints:
        first.setdefault(hint[0], Hint(*hint))
    fitting = sorted((h for h in first.values() if h.shape in wanted), key=lambda h: (-h.priority, h.id))
    assert await ready.pop(limit, wanted) == fitting[:limit]
    assert await ready.size() == len(first) - len(fitting[:limit])


async def test_the_local_queue_drops_what_exceeds_its_bound():
    ready = LocalReady(capacity=3)
    await ready.push([Hint(at, at, "a") for at in range(5)])
    assert await ready.size() == 3
    await ready.pop(1, ["a"])
    await ready.push([Hint(9, 0, "a")])
    assert await ready.size() == 3
