"""The ingress: every request that means an app passes here, within limits, watched until it is over."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

from anchor.core.app import App, routable
from anchor.server.desk import Desk
from anchor.server.ingress.hosts import Hosts
from anchor.server.ingress.pages import Trouble
from anchor.server.ingress.pick import Picker, Place
from anchor.server.ingress.rate import Rate
from anchor.server.ingress.tunnels import Tunnels

REQUESTS_MAX = 1000
"""Of one app at a time, on this server."""
UPGRADED_MAX = 2000
"""WebSockets and the like of one app at a time, on this server."""
SWEEP_SECONDS = 1.0
APP_BYTES_PER_SECOND = 1024 * 1024 * 1024


class Watched(Protocol):
    """A request under way. `deadline` is when, on the monotonic clock, `expire` is called."""

    deadline: float

    def expire(self) -> None:
        """Nothing moved for too long."""


class Ingress:
    """Who is routed where, and what is under way."""

    def __init__(self, desk: Desk, hosts: Hosts, tunnels: Tunnels) -> None:
        self.hosts = hosts
        self.tunnels = tunnels
        self.picker = Picker(tunnels, self._is_live)
        self._world = desk.world
        self._world.apps.on_keep = self._changed
        self._requests: defaultdict[int, int] = defaultdict(int)
        self._upgraded: defaultdict[int, int] = defaultdict(int)
        self._rates: dict[int, Rate] = {}
        self._watched: set[Watched] = set()

    def app(self, name: str) -> App | None:
        """The app of this name."""
        return self._world.apps.named(name)

    def enter(self, app: App, watched: Watched, *, upgraded: bool = False) -> Callable[[], None]:
        """Count one more; what is returned says that it is over. Trouble where there are too many."""
        counted, most = (self._upgraded, UPGRADED_MAX) if upgraded else (self._requests, REQUESTS_MAX)
        if counted[app.id] >= most:
            raise Trouble(503, "app_busy", f"{app.name} has {most:,} requests under way.", "Try again in a moment.", 1)
        counted[app.id] += 1
        self._watched.add(watched)

        def leave() -> None:
            counted[app.id] -= 1
            if not counted[app.id]:
                del counted[app.id]
            self._watched.discard(watched)

        return leave

    def rate(self, app: int) -> Rate:
        """The bandwidth of an app."""
        rate = self._rates.get(app)
        if rate is None:
            rate = self._rates[app] = Rate(APP_BYTES_PER_SECOND)
        return rate

    def _is_live(self, place: Place) -> bool:
        app = self._world.apps.get(place[0])
        return app is not None and any(one.generation == place[1] for one in routable(app))

    def _changed(self, app: App) -> None:
        live = {one.generation for one in routable(app)}
        for one in app.replicas:
            if one.generation not in live:
                self.picker.part_with(app.id, one.generation)

    async def watch(self) -> None:
        """Look after what is under way, for ever."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            self.tunnels.look(now, now - before)
            self.picker.sweep(now)
            for one in [one for one in self._watched if one.deadline < now]:
                one.expire()
            busy = self._requests.keys() | self._upgraded.keys()
            self._rates = {app: rate for app, rate in self._rates.items() if app in busy}
            before = now
