"""Every app as this server knows it: a memory, which of a sole writer is the truth."""

from collections.abc import Callable

from anchor.core.app import App, Replica, ReplicaState, is_run
from anchor.core.app_placement import Promised
from anchor.core.node import Status

Seen = tuple[int, Status, bool]
"""A node's session, its status, and whether its agent is about to stop."""
Orders = tuple[tuple[int, bool, bool, str, bool], ...]
"""What a node is told of an app's replicas: each generation, whether it drains, whether it serves, what is settled."""


class AppMemory:
    """Apps by id and by name, and what they put on which node.

    `loaded` once all there are have been read; `refreshed_at` is when that was last done, `told_at` when a node was
    last told what to run (Unix ms); `figures` are the cores and MiB that a replica used when its node last said so, by
    the app's id and the generation. `freed`: a node has fewer replicas than it had, and nobody has looked yet whether
    another fits there now. `on_keep` is told of each app that is another than before.
    """

    def __init__(self) -> None:
        self._apps: dict[int, App] = {}
        self._names: dict[str, int] = {}
        self._orders: dict[int, dict[str, Orders]] = {}
        self._promised: dict[str, dict[int, Promised]] = {}
        self._seen: dict[str, Seen] = {}
        self.loaded = False
        self.refreshed_at = 0
        self.told_at: dict[str, int] = {}
        self.figures: dict[int, dict[int, tuple[float, float]]] = {}
        self.freed = False
        self.on_keep: Callable[[App], None] | None = None

    def get(self, app_id: int) -> App | None:
        """The app with this id."""
        return self._apps.get(app_id)

    def named(self, name: str) -> App | None:
        """The app with this name."""
        app_id = self._names.get(name)
        return None if app_id is None else self._apps.get(app_id)

    def all(self) -> list[App]:
        """Every app, oldest first."""
        return [self._apps[key] for key in sorted(self._apps)]

    def on(self, node: str) -> list[tuple[App, Replica]]:
        """What a node is to run."""
        found = [self._apps[key] for key in sorted(self._promised.get(node, ()))]
        return [(app, one) for app in found for one in app.replicas if one.node == node and is_run(one)]

    def promised(self, node: str, *, beside: int = 0) -> Promised:
        """What the replicas on a node were promised together, those of the app `beside` left out."""
        others = [one for app_id, one in self._promised.get(node, {}).items() if app_id != beside]
        ports = tuple(port for one in others for port in one.ports)
        return Promised(sum(one.mib for one in others), sum(one.cores for one in others), ports)

    def keep(self, app: App) -> set[str]:
        """Remember an app as it is now; the nodes that are to run something else than before."""
        before = self._orders.get(app.id, {})
        self._forget(app.id)
        self._apps[app.id] = app
        self._names[app.name] = app.id
        self._orders[app.id] = orders = _orders_of(app)
        for replica in app.replicas:
            release = app.release(replica.release)
            if is_run(replica):
                there = self._promised.setdefault(replica.node, {})
                so_far = there.get(app.id, Promised())
                there[app.id] = so_far if release is None else so_far.plus(release.config)
        if any(len(orders.get(node, ())) < len(had) for node, had in before.items()):
            self.freed = True
        if self.on_keep is not None:
            self.on_keep(app)
        return {node for node in (*before, *orders) if before.get(node) != orders.get(node)}

    def drop(self, app_id: int) -> set[str]:
        """Forget an app that is gone; the nodes that ran something of it."""
        nodes = set(self._orders.get(app_id, ()))
        self.freed = self.freed or bool(nodes)
        self._forget(app_id)
        self.figures.pop(app_id, None)
        return nodes

    def _forget(self, app_id: int) -> None:
        app = self._apps.pop(app_id, None)
        if app is not None and self._names.get(app.name) == app_id:
            del self._names[app.name]
        for node in self._orders.pop(app_id, ()):
            self._promised[node].pop(app_id, None)

    def is_news(self, node: str, seen: Seen) -> bool:
        """Whether a node is something else now than when its apps were looked after last."""
        return self._seen.get(node) != seen

    def saw(self, node: str, seen: Seen) -> None:
        """A node's apps were looked after as it was then."""
        self._seen[node] = seen


def _orders_of(app: App) -> dict[str, Orders]:
    """What each node is told of an app."""
    orders: dict[str, Orders] = {}
    for one in app.replicas:
        if is_run(one):
            release = app.release(one.release)
            settled = (release.lock, release.prepared) if release is not None else ("", False)
            order = (one.generation, one.state is ReplicaState.DRAINING, one.state is ReplicaState.HEALTHY, *settled)
            orders[one.node] = (*orders.get(one.node, ()), order)
    return orders
