"""A server's number, in which all its keys end: taken as a duty, renewed in time, and not used a millisecond longer."""

from collections.abc import Callable

from anchor.core.ids import KeySequence
from anchor.orchestrator import duties
from anchor.orchestrator.world import World
from anchor.ports.store import Duty
from anchorsim.scheduler import Host, Origin, Simulator

RENEW_MS = 1_000
# A run is short, so numbers change hands faster than in earnest; the margin stays above what clocks may differ by.
duties.NUMBER_LEASE_MS, duties.KEYS_MARGIN_MS = 4_000, 300


class Numbered:
    """Keeps one life of a server supplied with a number; without one it takes in no work."""

    def __init__(self, sim: Simulator, host: Host, world: World, newest_key: Callable[[], int]) -> None:
        self._sim = sim
        self._host = host
        self._world = world
        self._newest_key = newest_key
        self._mine: Duty | None = None
        world.keys = KeySequence(0, valid_until=0)
        self._go_on()

    def _go_on(self) -> None:
        if not self._host.alive:
            return
        if self._host.paused_until > self._sim.now:
            self._sim.at(self._host.paused_until, self._go_on)
            return
        self._sim.spawn(self._host, self._step(), Origin("number"), self._answered)

    async def _step(self) -> Duty:
        world = self._world
        if self._mine is not None:
            return await duties.keep_number(world, self._mine)
        newest = self._newest_key()
        mine = await duties.take_number(
            world.store, holder=world.server, now=world.clock.now(), lease_ms=duties.NUMBER_LEASE_MS, note=""
        )
        until = mine.until - duties.KEYS_MARGIN_MS
        world.keys = KeySequence(duties.number_of(mine), last_key=newest, valid_until=until)
        return mine

    def _answered(self, duty: Duty | None, error: BaseException | None) -> None:
        if error is None:
            self._mine = duty
        self._sim.after(RENEW_MS if error is None else 100, self._go_on)
