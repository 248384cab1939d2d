"""The graphs of runs that somebody looks at, kept a while: reading one of 100,000 steps takes a second."""

from collections import OrderedDict

import msgspec

from anchor.core.plan import Plan

WEIGHT_MAX = 200_000


class Sketch(msgspec.Struct, frozen=True):
    """A run's graph, and for each step how many steps lie on the longest way to it."""

    plan: Plan
    levels: list[int]


class Sketches:
    """Bounded by their weight; what was not looked at for longest goes first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Sketch] = OrderedDict()
        self._weight = 0

    def get(self, run: int) -> Sketch | None:
        """The sketch of a run that is at hand."""
        sketch = self._kept.get(run)
        if sketch is not None:
            self._kept.move_to_end(run)
        return sketch

    def keep(self, run: int, sketch: Sketch) -> None:
        """Keep a sketch at hand."""
        if run in self._kept:
            return
        self._kept[run] = sketch
        self._weight += sketch.plan.weight
        while self._weight > WEIGHT_MAX and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._weight -= gone.plan.weight


def sketched(plan: Plan) -> Sketch:
    """A graph with its levels."""
    levels = [0] * plan.size
    waits = [len(parents) for parents in plan.parents]
    free = [number for number, count in enumerate(waits) if not count]
    for number in free:  # which grows
        above = levels[number] + 1
        for child in plan.children(number):
            levels[child] = max(levels[child], above)
            waits[child] -= 1
            if not waits[child]:
                free.append(child)
    return Sketch(plan, levels)
