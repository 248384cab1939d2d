"""The ready queue: hints by shape, the most urgent first, the oldest of those first."""

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

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


async def test_a_hint_kept_apart_is_not_there_until_its_time(ready):
    await ready.push([Hint(1, 0, "a", not_before=100), Hint(2, 0, "b")])
    assert await ready.size() == 1
    assert await ready.shapes(99) == ["b"]
    assert await ready.pop(5, ["a"]) == []
    assert sorted(await ready.shapes(100)) == ["a", "b"]
    assert await ready.pop(5, ["a"]) == [Hint(1, 0, "a")]
    assert await ready.shapes(1000) == ["b"]


async def test_thousands_become_due_at_once_and_are_taken_in_order(ready):
    hints = [Hint(at, at % 7, f"shape {at % 3}", not_before=1 + at % 5) for at in range(1_100)]
    await ready.push(hints)
    names = await ready.shapes(5)
    assert sorted(names) == ["shape 0", "shape 1", "shape 2"]
    assert await ready.size() == 1_100
    taken = [hint for _ in range(4) for hint in await ready.pop(300, names)]
    assert [hint.id for hint in taken] == [hint.id for hint in sorted(hints, key=lambda h: (-h.priority, h.id))]
    assert await ready.shapes(5) == []


async def test_the_largest_ids_and_every_priority_keep_their_order(ready):
    hints = [Hint((1 << 63) - 1, -100, "{}"), Hint(1, -1, "{}"), Hint(1 << 40, 0, "{}"), Hint((1 << 63) - 2, 100, "{}")]
    await ready.push(hints)
    assert await ready.pop(10, ["{}"]) == hints[::-1]


HINTS = st.builds(
    lambda key, not_before: Hint(key, key % 4 - 2, "abc"[key % 3], not_before),
    st.integers(1, 25),
    st.sampled_from([0, 0, 0, 10, 20, 30]),
)
STEPS = st.one_of(
    st.tuples(st.just("push"), st.lists(HINTS, max_size=12)),
    st.tuples(st.just("pop"), st.integers(0, 12), st.lists(st.sampled_from("abcd"), max_size=4)),
    st.tuples(st.just("shapes"), st.sampled_from([5, 10, 19, 20, 40])),
)


class PlainQueue:
    """What a ready queue should answer, from two dictionaries."""

    def __init__(self) -> None:
        self.filed: dict[int, Hint] = {}
        self.apart: dict[int, Hint] = {}

    def push(self, hints: list[Hint]) -> None:
        for hint in hints:
            (self.apart if hint.not_before else self.filed).setdefault(hint.id, hint)

    def pop(self, limit: int, shapes: list[str]) -> list[Hint]:
        fitting = sorted((h for h in self.filed.values() if h.shape in shapes), key=lambda h: (-h.priority, h.id))
        return [self.filed.pop(hint.id) for hint in fitting[:limit]]

    def shapes(self, now: int) -> list[str]:
        for hint in [hint for hint in self.apart.values() if hint.not_before <= now]:
            del self.apart[hint.id]
            self.push([Hint(hint.id, hint.priority, hint.shape)])
        return sorted({hint.shape for hint in self.filed.values()})


@given(steps=st.lists(STEPS, max_size=25))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_done_to_it_it_answers_as_a_plain_list_would(open_ready, steps):
    plain = PlainQueue()
    async with open_ready() as ready:
        for what, *args in steps:
            answer = await getattr(ready, what)(*args)
            expected = getattr(plain, what)(*args)
            assert (sorted(answer) if what == "shapes" else answer) == expected
            assert await ready.size() == len(plain.filed)


async def test_the_local_queue_drops_what_exceeds_its_bound():
    ready = LocalReady(capacity=3)
    await ready.push([Hint(at, at, "a") for at in range(5)])
    assert await ready.size() == 3
    await ready.pop(1, ["a"])
    await ready.push([Hint(9, 0, "a")])
    assert await ready.size() == 3
