"""Which replica a request goes to: the one with the least to do, among those that can be reached."""

import time
from collections import defaultdict, deque
from collections.abc import Callable

from anchor.core.app import App, Replica, routable
from anchor.server.ingress.answer import Upstream
from anchor.server.ingress.tunnels import Tunnels, Way

LEFT_OUT_SECONDS = 1.0
"""For how long a replica that refused a connection gets no request that another could take."""
IDLE_SECONDS = 1.5
"""How long a connection is kept for the next request: less than any server of apps is known to keep it."""
IDLE_MAX = 256

Place = tuple[int, int]
"""An app's id, and a generation of it."""


class Picker:
    """Knows how much each replica has to do, and keeps connections to those that are `live`."""

    def __init__(self, tunnels: Tunnels, live: Callable[[Place], bool]) -> None:
        self._tunnels = tunnels
        self._live = live
        self._busy: defaultdict[Place, int] = defaultdict(int)
        self._left_out: dict[Place, float] = {}
        self._idle: defaultdict[Place, deque[Upstream]] = defaultdict(deque)
        self._turn = 0

    def pick(self, app: App, tried: set[int]) -> tuple[Replica, Way] | None:
        """A replica that was not tried, and the way to its node; the nearer of two with as much to do."""
        found: list[tuple[bool, int, bool, int, Replica, Way]] = []
        self._turn += 1
        now = time.monotonic()
        ready = routable(app)
        for at, replica in enumerate(ready):
            way = self._tunnels.of(replica.node)
            if way is None or replica.generation in tried:
                continue
            place = (app.id, replica.generation)
            is_out = self._left_out.get(place, 0.0) > now
            is_far = self._tunnels.here(replica.node) is None
            found.append((is_out, self._busy[place], is_far, (at + self._turn) % len(ready), replica, way))
        if not found:
            return None
        best = min(found, key=lambda one: one[:4])
        return best[4], best[5]

    def connect(self, app: int, generation: int, way: Way) -> tuple[Upstream, bool] | None:
        """A connection, and whether it was used before; None where the node has too many."""
        place = (app, generation)
        idle = self._idle.get(place)
        while idle:
            upstream = idle.pop()
            if upstream.is_reusable and time.monotonic() - upstream.idle_since < IDLE_SECONDS:
                self._busy[place] += 1
                return upstream, True
            upstream.fail("idle")
        upstream = Upstream()
        stream = way.open(app, generation, upstream)
        if stream is None:
            return None
        upstream.stream = stream
        self._busy[place] += 1
        return upstream, False

    def done(self, app: int, generation: int, upstream: Upstream) -> None:
        """A request is through; the connection is kept if it can be asked again, and may be."""
        place = (app, generation)
        self._release(place)
        may_stay = upstream.is_through and upstream.is_reusable and self._live(place)
        if may_stay and len(self._idle[place]) < IDLE_MAX:
            upstream.idle_since = time.monotonic()
            self._idle[place].append(upstream)
        else:
            upstream.fail("done")

    def part_with(self, app: int, generation: int) -> None:
        """Nothing is to be sent to a replica any more: close what is kept open, for which it would wait."""
        for upstream in self._idle.pop((app, generation), ()):
            upstream.fail("idle")

    def leave_out(self, app: int, generation: int) -> None:
        """It refused: others first, for a moment."""
        self._left_out[app, generation] = time.monotonic() + LEFT_OUT_SECONDS

    def _release(self, place: Place) -> None:
        self._busy[place] -= 1
        if not self._busy[place]:
            del self._busy[place]

    def sweep(self, now: float) -> None:
        """Close connections that were not used for a while, or lead to what is not routed to any more, and forget who
        was left out."""
        for place, idle in list(self._idle.items()):
            is_live = self._live(place)
            while idle and (not is_live or now - idle[0].idle_since >= IDLE_SECONDS or not idle[0].is_reusable):
                idle.popleft().fail("idle")
            if not idle:
                del self._idle[place]
        self._left_out = {place: until for place, until in self._left_out.items() if until > now}
