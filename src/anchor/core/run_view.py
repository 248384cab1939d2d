"""How far a run is: which steps may run now, which never will, and what came of it all.

Everything here is derived from the ends of tasks, which never change: a view may be thrown away at any time and made
again from the states in the store. Nothing is counted that is not seen.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum

import msgspec

from anchor.core.dag import RunState, StepState
from anchor.core.plan import Plan
from anchor.core.task import State


class Mark(IntEnum):
    """What is known of a step. From ENDED_FROM on it never changes again."""

    UNKNOWN = 0
    THERE = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELLED = 4
    INCONCLUSIVE = 5
    SKIPPED = 6


ENDED_FROM = Mark.SUCCEEDED
MARK_OF: dict[State, Mark] = {
    State.SUCCEEDED: Mark.SUCCEEDED,
    State.FAILED: Mark.FAILED,
    State.CANCELLED: Mark.CANCELLED,
    State.INCONCLUSIVE: Mark.INCONCLUSIVE,
}
"""The mark of a step whose task has ended; one whose task is in another state is THERE."""
_WORDS: dict[int, str] = {
    Mark.SUCCEEDED: State.SUCCEEDED,
    Mark.FAILED: State.FAILED,
    Mark.CANCELLED: State.CANCELLED,
    Mark.INCONCLUSIVE: State.INCONCLUSIVE,
    Mark.SKIPPED: StepState.SKIPPED,
}
_BAD = (Mark.FAILED, Mark.INCONCLUSIVE, Mark.CANCELLED)


class Outlook(msgspec.Struct, frozen=True):
    """What may run now (in rising order), and steps whose ends others wait for, as far as is known here."""

    ready: list[int]
    blockers: list[int]


class RunView:
    """The steps of one run, as far as this server knows.

    A step's `marks` only rise. Each end costs the walk over that step's own children; the walk along a child's parents
    goes on where the last one stopped, so a join of many costs as much as as many single dependencies.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.marks = bytearray(plan.size)
        self.left = plan.size
        """How many steps are not known to have ended."""
        self._cursors: dict[int, int] = {}
        self._first_left = 0
        self._news: list[int] = []
        self._whole = True

    def note(self, step: int, state: State) -> None:
        """A step has a task, in this state."""
        mark = MARK_OF.get(state, Mark.THERE)
        if mark < ENDED_FROM:
            if self.marks[step] == Mark.UNKNOWN:
                self.marks[step] = mark
        elif self.marks[step] < ENDED_FROM:
            self._end(step, mark)

    def released(self, steps: Iterable[int]) -> None:
        """These steps are being given tasks."""
        for step in steps:
            if self.marks[step] == Mark.UNKNOWN:
                self.marks[step] = Mark.THERE

    def held_back(self, steps: Iterable[int]) -> None:
        """Whether these steps were given tasks is unknown: look at the whole again."""
        for step in steps:
            if self.marks[step] == Mark.THERE:
                self.marks[step] = Mark.UNKNOWN
        self._whole = True

    def look_at_all(self) -> None:
        """Let the next outlook look at every step, not only at what follows from the news."""
        self._whole = True

    def outlook(self) -> Outlook:
        """What follows from what was noted since the last call: steps are skipped, others may run."""
        candidates: dict[int, None] = {}
        if self._whole:
            self._whole = False
            self._news = [step for step in range(self.plan.size) if self.marks[step] >= ENDED_FROM]
            candidates = dict.fromkeys(step for step in range(self.plan.size) if not self.marks[step])
        for step in self._news:  # which grows as steps are skipped
            good = self.marks[step] == Mark.SUCCEEDED
            for child in self.plan.hard_children[step]:
                if self.marks[child] != Mark.UNKNOWN:
                    continue
                if good:
                    candidates[child] = None
                else:
                    self._end(child, Mark.SKIPPED)
            for child in self.plan.soft_children.get(step, ()):
                if self.marks[child] == Mark.UNKNOWN:
                    candidates[child] = None
        self._news = []
        ready: list[int] = []
        blockers: dict[int, None] = {}
        for step in candidates:
            if self.marks[step] == Mark.UNKNOWN:
                blocker = self._blocker(step)
                if blocker is None:
                    ready.append(step)
                else:
                    blockers[blocker] = None
        if self.left and not ready:
            blockers[self.first_left()] = None
        return Outlook(sorted(ready), list(blockers))

    def first_left(self) -> int:
        """The first step that is not known to have ended; as many as there are where all have."""
        while self._first_left < self.plan.size and self.marks[self._first_left] >= ENDED_FROM:
            self._first_left += 1
        return self._first_left

    def there(self) -> list[int]:
        """Steps that have a task which is not known to have ended."""
        return [step for step in range(self.first_left(), self.plan.size) if self.marks[step] == Mark.THERE]

    def succeeded(self, step: int) -> bool:
        """Whether a step is known to have succeeded."""
        return self.marks[step] == Mark.SUCCEEDED

    def _end(self, step: int, mark: Mark) -> None:
        self.marks[step] = mark
        self.left -= 1
        self._news.append(step)

    def _blocker(self, step: int) -> int | None:
        parents = self.plan.parents[step]
        at = self._cursors.get(step, 0)
        while at < len(parents) and self.marks[parents[at]] >= ENDED_FROM:
            at += 1
        if at == len(parents):
            self._cursors.pop(step, None)
            return None
        if at:
            self._cursors[step] = at
        return parents[at]


def windows(steps: Sequence[int], width: int) -> list[range]:
    """Ranges of at most `width` steps that hold all of these: what is read at once to look at them."""
    found: list[range] = []
    for step in sorted(steps):
        if found and step < found[-1].start + width:
            found[-1] = range(found[-1].start, step + 1)
        else:
            found.append(range(step, step + 1))
    return found


def ended_as(view: RunView) -> tuple[RunState, int | None]:
    """What a run came to whose steps have all ended, and the first step that is the reason of a failure.

    A run fails if any of its steps failed, was cancelled by itself or stayed inconclusive, whatever went on without it.
    """
    bad = [at for mark in _BAD if (at := view.marks.find(mark)) >= 0]
    if not bad:
        return RunState.SUCCEEDED, None
    return RunState.FAILED, min(bad)


def tallied(view: RunView) -> dict[str, int]:
    """How many steps ended in each state."""
    return {word: count for mark, word in _WORDS.items() if (count := view.marks.count(mark))}
