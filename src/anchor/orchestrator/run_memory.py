"""The runs this server has to do with, kept at hand: a memory, never the truth."""

from collections import OrderedDict

from anchor.core.dag import Run
from anchor.core.plan import Plan
from anchor.core.run_view import RunView

WEIGHT_MAX = 800_000
"""Plans of all runs kept at hand, by their weight, those looked at last: 200 to 300 MB. One run always is."""


class Known:
    """A run as last read or written here, its graph, and how far it is as far as this server knows."""

    def __init__(self, run: Run, plan: Plan) -> None:
        self.run = run
        self.plan = plan
        self.view = RunView(plan)

    def key(self, step: int) -> int:
        """The key of a step's task."""
        return self.run.key_of(step)


class RunMemory:
    """Bounded by their weight; what was not looked at for longest goes first."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Known] = OrderedDict()
        self._weight = 0

    def get(self, run: int) -> Known | None:
        """A run that is at hand."""
        known = self._known.get(run)
        if known is not None:
            self._known.move_to_end(run)
        return known

    def keep(self, known: Known) -> Known:
        """Keep a run at hand; the one that is so already stays, for more may have been noted in it."""
        there = self._known.setdefault(known.run.id, known)
        if there is known:
            self._weight += known.plan.weight
            while self._weight > WEIGHT_MAX and len(self._known) > 1:
                _, gone = self._known.popitem(last=False)
                self._weight -= gone.plan.weight
        return there

    def drop(self, run: int) -> None:
        """Forget a run that is over."""
        gone = self._known.pop(run, None)
        if gone is not None:
            self._weight -= gone.plan.weight
