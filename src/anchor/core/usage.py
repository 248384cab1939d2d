"""What was used: the attempts of a task that is over, and replicas of apps, summed by day, owner and node."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from anchor.core.attempt import AttemptRecord
from anchor.core.task import State, Task

DAY_MS: Final = 86_400_000
DAYS_KEPT: Final = 90
_CORES_MAX: Final = 1024
"""No attempt is believed to have used more CPU than so many cores give while it lasted."""
_FAILED: Final = frozenset({State.FAILED, State.INCONCLUSIVE})

By = Literal["owner", "node", "app", "day"]


class Use(msgspec.Struct, frozen=True):
    """Whose work used what, on which node, on which day (since 1970, UTC). Work of an app bears its name, and has no
    tasks. `tasks` ended with an attempt on this node, `failed` of them without an answer."""

    day: int
    owner: str
    node: str
    app: str = ""
    tasks: int = 0
    failed: int = 0
    attempts: int = 0
    cpu_ms: int = 0
    wall_ms: int = 0


class Sum(msgspec.Struct, frozen=True):
    """All uses of one owner, node, app or day."""

    name: str
    tasks: int
    failed: int
    attempts: int
    cpu_ms: int
    wall_ms: int


Place = tuple[int, str, str, str]
"""Day, owner, node, app."""
Amounts = tuple[int, int, int, int, int]
"""Tasks, failed, attempts, CPU and time in milliseconds."""


class Sums:
    """Uses added up by place."""

    def __init__(self) -> None:
        self._sums: dict[Place, list[int]] = {}

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, place: Place, amounts: Amounts) -> None:
        """Add to one place."""
        sums = self._sums.get(place)
        if sums is None:
            self._sums[place] = list(amounts)
            return
        tasks, failed, attempts, cpu, wall = amounts
        sums[0] += tasks
        sums[1] += failed
        sums[2] += attempts
        sums[3] += cpu
        sums[4] += wall

    def add_uses(self, uses: Iterable[Use]) -> None:
        """Add what was summed before."""
        for use in uses:
            place = (use.day, use.owner, use.node, use.app)
            self.add(place, (use.tasks, use.failed, use.attempts, use.cpu_ms, use.wall_ms))

    def add_task(self, owner: str, state: State, attempts: Sequence[AttemptRecord]) -> None:
        """Add every attempt of a task that is over, each to the day it ended on and the node it ran on."""
        left = len(attempts)
        for one in attempts:
            left -= 1
            cpu = wall = 0
            usage, lasted = one.usage, one.ended_at - one.leased_at
            # As its node measured it, but never more than can be. Each ending comes by here, where all writes wait: no
            # functions of our own, and none for the smaller of two.
            if usage is not None and lasted > 0:
                cpu = int(usage.cpu_seconds * 1000 + 0.5) if usage.cpu_seconds > 0 else 0
                wall = int(usage.wall_seconds * 1000 + 0.5) if usage.wall_seconds > 0 else 0
                if wall > lasted:
                    wall = lasted
                if cpu > lasted * _CORES_MAX:
                    cpu = lasted * _CORES_MAX
            place = (one.ended_at // DAY_MS, owner, one.node, "")
            sums = self._sums.get(place)
            if sums is None:
                sums = self._sums[place] = [0] * 5
            if not left:
                sums[0] += 1
                sums[1] += state in _FAILED
            sums[2] += 1
            sums[3] += cpu
            sums[4] += wall

    def uses(self) -> list[Use]:
        """Each place with its sum."""
        return [Use(*place, *amounts) for place, amounts in self._sums.items()]


def ended_uses(tasks: Iterable[Task]) -> list[Use]:
    """What tasks that are over used."""
    sums = Sums()
    for task in tasks:
        sums.add_task(task.owner, task.state, task.attempts)
    return sums.uses()


def summed(uses: Iterable[Use], by: By, *, since: int, owner: str | None) -> list[Sum]:
    """Uses of an owner (None: of everybody) since a day, by owner, node, app (tasks have none) or day."""
    found: dict[str, list[int]] = {}
    for use in uses:
        if use.day < since or owner not in (None, use.owner) or (by == "app" and not use.app):
            continue
        amounts = found.setdefault(str(getattr(use, by)), [0] * 5)
        for at, amount in enumerate((use.tasks, use.failed, use.attempts, use.cpu_ms, use.wall_ms)):
            amounts[at] += amount
    return [Sum(name, *amounts) for name, amounts in found.items()]
