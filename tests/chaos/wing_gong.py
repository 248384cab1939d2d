"""Is a history of overlapping calls one that a single thread could have had? (Wing and Gong's search, memoised.)"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import msgspec

UNKNOWN = "unknown"
"""The answer of a call that may or may not have happened: a write without an answer."""


class Op(msgspec.Struct, frozen=True):
    """A call, from `begun` to `done` on one clock, with what was asked and what was answered.

    One whose answer is UNKNOWN may take effect at any time after `begun`, or never.
    """

    begun: int
    done: int
    asked: Any
    answer: Any


Model = Callable[[Any, Any, Any], Iterable[Hashable]]
"""`model(state, asked, answer)`: the states that can follow where this answer is right in this state; none where it is
wrong. With UNKNOWN for an answer: every state the call may have left behind."""


def order_of(history: Sequence[Op], model: Model, initial: Hashable) -> list[Op] | None:
    """An order of the calls, true to time, in which every answer is right; None where there is none.

    Walks the tree of orders depth first and never looks twice at the same set of calls made with the same state.
    """
    ops = sorted(history, key=lambda op: op.begun)
    certain = sum(1 << at for at, op in enumerate(ops) if op.answer != UNKNOWN)
    tried: set[tuple[int, Hashable]] = set()
    path: list[int] = []
    # Each level: the calls made so far as bits, and the next steps still to be tried from there.
    levels = [(0, _steps(ops, 0, model, initial))]
    while levels:
        made, steps = levels[-1]
        if made & certain == certain:
            return [ops[at] for at in path]
        step = next(steps, None)
        if step is None:
            levels.pop()
            if path:
                path.pop()
            continue
        at, state = step
        after = made | 1 << at
        if (after, state) not in tried:
            tried.add((after, state))
            path.append(at)
            levels.append((after, _steps(ops, after, model, state)))
    return None


def _steps(ops: Sequence[Op], made: int, model: Model, state: Hashable) -> Any:
    """Every call that may come next, with the state after it: one that began before all others that are left ended."""
    left = [at for at in range(len(ops)) if not made >> at & 1]
    first_done = min((ops[at].done for at in left if ops[at].answer != UNKNOWN), default=0)
    for at in left:
        if ops[at].begun > first_done:
            break
        for after in model(state, ops[at].asked, ops[at].answer):
            yield at, after
