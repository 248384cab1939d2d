"""The search for an order of calls: it finds one where there is one, and none where there is none."""

from collections.abc import Iterable
from typing import Any

import pytest
from tests.chaos.wing_gong import UNKNOWN, Op, order_of

NOTHING = None


def register(state: Any, asked: Any, answer: Any) -> Iterable[Any]:
    """One value: `("read",)`, `("write", new)`, `("swap", old, new)` answering whether it did."""
    match asked:
        case ("read",):
            return [state] if answer == state else []
        case ("write", new):
            return [new]
        case ("swap", old, new):
            if answer == UNKNOWN:
                return [new] if state == old else [state]
            return [new if answer else state] if answer == (state == old) else []
        case _:
            raise AssertionError(asked)


def ops(*rows: tuple[int, int, tuple[Any, ...], Any]) -> list[Op]:
    return [Op(*row) for row in rows]


GOOD = {
    "one after the other": ops((0, 1, ("write", 1), None), (2, 3, ("read",), 1)),
    "a read beside a write may see the old value": ops((0, 9, ("write", 1), None), (1, 2, ("read",), NOTHING)),
    "a read beside a write may see the new value": ops((0, 9, ("write", 1), None), (1, 2, ("read",), 1)),
    "of two rivals one wins": ops((0, 9, ("swap", NOTHING, 1), False), (0, 9, ("swap", NOTHING, 2), True)),
    "a write without an answer happened later": ops(
        (0, 1, ("swap", NOTHING, 1), UNKNOWN), (2, 3, ("read",), NOTHING), (4, 5, ("read",), 1)
    ),
    "a write without an answer never happened": ops((0, 1, ("swap", NOTHING, 1), UNKNOWN), (2, 3, ("read",), NOTHING)),
    "nothing": [],
}
BAD = {
    "a read of what was overwritten before": ops(
        (0, 1, ("write", 1), None), (2, 3, ("write", 2), None), (4, 5, ("read",), 1)
    ),
    "a read of what nobody wrote": ops((0, 9, ("write", 1), None), (0, 9, ("read",), 7)),
    "two winners": ops((0, 9, ("swap", NOTHING, 1), True), (0, 9, ("swap", NOTHING, 2), True)),
    "an acknowledged write that is gone": ops((0, 1, ("write", 1), None), (2, 3, ("read",), NOTHING)),
    "reads that go back in time": ops(
        (0, 9, ("write", 1), None), (1, 2, ("read",), 1), (3, 4, ("read",), NOTHING)
    ),
    "a write without an answer that was taken back": ops(
        (0, 1, ("swap", NOTHING, 1), UNKNOWN), (2, 3, ("read",), 1), (4, 5, ("read",), NOTHING)
    ),
    "a write without an answer seen before it began": ops((0, 1, ("read",), 1), (2, 3, ("swap", NOTHING, 1), UNKNOWN)),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_history_that_one_thread_could_have_had_has_an_order(name: str) -> None:
    order = order_of(GOOD[name], register, NOTHING)
    assert order is not None
    state: Any = NOTHING
    for op in order:
        [state] = register(state, op.asked, op.answer)


@pytest.mark.parametrize("name", BAD)
def test_a_history_that_no_thread_could_have_had_has_none(name: str) -> None:
    assert order_of(BAD[name], register, NOTHING) is None


def test_many_overlapping_calls_are_searched_in_no_time() -> None:
    swaps = [Op(0, 1000, ("swap", n, n + 1), True) for n in range(60)]
    misses = [Op(n, 1000, ("swap", -1, n), False) for n in range(60)]
    assert order_of([*reversed(swaps), *misses], register, 0) is not None
    assert order_of([*swaps, Op(2000, 2001, ("read",), 59)], register, 0) is None
