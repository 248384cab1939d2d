"""What apps use: CPU and time of the replicas whose nodes are connected here, added to the usage each minute."""

from anchor.core.usage import DAY_MS, Amounts, Sums
from anchor.failpoints import reached
from anchor.orchestrator.world import World

SECONDS = 60.0
"""How often it is written down; a server that is killed loses what was used since."""
LOOK_SECONDS = 2.0
"""How often replicas are looked at: what they said last is taken to hold until the next look."""


class AppUsage:
    """Adds up what replicas use between two looks, and writes it down now and then."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sums = Sums()
        self._looked_at: int | None = None
        self._written_at = 0

    def look(self, now: int) -> None:
        """Count the time since the last look for each replica that a node connected here speaks of."""
        passed = 0 if self._looked_at is None else max(0, min(now - self._looked_at, int(3 * LOOK_SECONDS * 1000)))
        self._looked_at = now
        for seat in self._world.fleet.seats():
            for app, replica in self._world.apps.on(seat.node):
                figures = self._world.apps.figures.get(app.id, {}).get(replica.generation)
                if figures is not None and passed:
                    amounts: Amounts = (0, 0, 0, round(figures[0] * passed), passed)
                    self._sums.add((now // DAY_MS, app.owner, seat.node, app.name), amounts)

    async def write(self) -> None:
        """Write down what was added up. What could not be written is tried again with what comes next."""
        sums, self._sums = self._sums, Sums()
        uses = sums.uses()
        try:
            await self._world.store.add_usage(uses)
            reached("usage.written")
        except BaseException:
            self._sums.add_uses(uses)
            raise

    async def tick(self) -> None:
        """Look, and write where there is something and a minute has passed."""
        now = self._world.clock.now()
        self.look(now)
        if self._sums and now - self._written_at >= SECONDS * 1000:
            self._written_at = now
            await self.write()
