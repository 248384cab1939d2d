"""A server whose clock stands where a file says and whose dice always fall alike: what it shows can be shown again.

    python -m tests.acceptance.browser.standing_server CLOCK server --port 0 --data DIR

CLOCK is a file with Unix milliseconds; the rest is what `anchor` is called with. Everything else is the server itself.
"""

import random
import sys
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn.server
from msgspec.structs import replace

from anchor.cli import main as anchor
from anchor.orchestrator.world import World
from anchor.server import app_usage, gate, measuring
from anchor.server.about import About
from anchor.server.history import MINUTES_KEPT, History, Sample
from anchor.server.routes import settings
from anchor.wiring import engines, serving

MINUTE_MS = 60_000
AHEAD_MINUTES = 60
"""How long after its start the server stands still."""
DATA = "/var/lib/anchor"
DATA_BYTES = 3_276_800


class StandingClock:
    """The time is what is written in a file."""

    path: Path

    def __init__(self, *, not_before_ms: int = 0) -> None:
        del not_before_ms

    def now(self) -> int:
        return int(self.path.read_text("ascii"))


class KnownDice:
    """Chance from one seed. What nodes are called is drawn apart, since work is not always in one order."""

    def __init__(self) -> None:
        self._dice, self._names = random.Random(7), random.Random(11)

    def random(self) -> float:
        return self._dice.random()

    def randbytes(self, n: int) -> bytes:
        return self._names.randbytes(n)


async def remembered(history: History, world: World) -> None:
    """A day like others instead of the samples of one that has not been."""
    dice = random.Random(3)
    now = world.clock.now() // MINUTE_MS
    for minute in range(now + AHEAD_MINUTES - MINUTES_KEPT, now + AHEAD_MINUTES):
        busy = dice.randrange(2, 7)
        history.keep(Sample(minute, busy, busy + dice.randrange(9), 6 - (minute % 131 < 4), dice.randrange(40, 400)))


async def asks_nobody(_: object) -> None:
    """No node is measured: it would be said when."""


async def counts_nothing(_: object) -> None:
    """What apps use is counted every other second: how often that is while the clock jumps on is nobody's to say."""


def about(**told: Any) -> About:
    """As if its data lay where those of others lie."""
    settings = tuple(replace(one, value=DATA) if one.name == "data" else one for one in told.pop("settings"))
    return About(**{**told, "settings": settings, "data": Path(DATA)})


def main() -> None:
    StandingClock.path = Path(sys.argv.pop(1))
    tokens = random.Random(5)

    def token_urlsafe(n: int) -> str:
        return tokens.randbytes(n).hex()[: n * 4 // 3]

    parts: list[tuple[Any, str, Any]] = [
        (engines, "SystemClock", StandingClock),
        (serving, "SystemChance", KnownDice),
        (gate, "secrets", SimpleNamespace(token_urlsafe=token_urlsafe)),
        (serving, "About", about),
        (History, "sampling", remembered),
        (measuring.Measuring, "_ask", asks_nobody),
        (app_usage.AppUsage, "tick", counts_nothing),
        (settings, "size_of", lambda _: DATA_BYTES),
        (uvicorn.server, "formatdate", lambda _, usegmt: formatdate(StandingClock().now() / 1000, usegmt=usegmt)),
    ]
    for owner, name, ours in parts:
        assert hasattr(owner, name), name
        setattr(owner, name, ours)
    sys.exit(anchor())


if __name__ == "__main__":
    main()
