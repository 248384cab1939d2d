"""What must be true of apps, checked on every write by a plain reading of the rules; invariant 19 above all.

A rollback of unreplicated writes may undo the giving out of a generation, which is then given out again: so of the apps
it touched that is excused. Still only one of a place is ever healthy, and each machine comes to run what it should.
"""

from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from anchor.core.app import App, ReleaseState, Replica, ReplicaState, Wanted, is_run, places_of
from anchorsim.hosting import BROKEN, SILENT
from anchorsim.scheduler import Violation
from anchorsim.truth import Truth, Undone

_MAY_STOP = (ReplicaState.DRAINING, ReplicaState.FAILED)


class AppRules:
    """Watches the apps of one simulated cluster."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._given: dict[int, dict[int, Replica]] = {}
        self._rewound: set[int] = set()
        self.states_seen: set[ReplicaState] = set()
        self.ends_seen: set[str] = set()
        truth.on_app.append(self.app_written)
        truth.on_rollback.append(self._rolled_back)

    def app_written(self, old: App | None, new: App | None) -> None:
        """Look at one write of an app, before it is applied."""
        if new is None:
            if old is None or old.replicas or old.wanted is not Wanted.REMOVED:
                raise Violation("orphan", f"an app is removed that still runs: {old}")
            return
        self._one_of_each(new)
        self._never_used_twice(old, new)
        self._releases(new)
        self._is_looked_at_again(new)
        self.states_seen.update(one.state for one in new.replicas)
        if old is not None:
            self._follows(old, new)

    def stopped(self, node: str, app_id: int, generation: int) -> None:
        """Look at a machine that stops a replica because it was told so."""
        app = self._truth.apps.get(app_id)
        replica = app.replica(generation) if app is not None else None
        if replica is not None and replica.node == node and replica.state not in _MAY_STOP:
            raise Violation("stopped", f"{node} was told to stop {replica} of app {app_id}")

    def _proved(self, app: App) -> None:
        live = app.release(app.live)
        there = {one.place for one in app.replicas if one.release == app.live and one.state is ReplicaState.HEALTHY}
        if live is None or not {place for place in places_of(live) if place[1] == 0} <= there:
            raise Violation(
                "release", f"release {app.live} of app {app.id} is live and was not healthy: {app.replicas}"
            )

    def is_excused(self, app: App) -> bool:
        """Whether a release of it that can not run is live: one that was to have no replicas at the time, or that a
        machine spoke for whose generation's giving out was undone and done again."""
        live = app.release(app.live)
        return live is not None and live.source in (BROKEN, SILENT)

    def _rolled_back(self, undone: Sequence[Undone]) -> None:
        for table, key, _, _ in undone:
            if table is self._truth.apps:
                self._given.pop(key, None)
                self._rewound.add(key)

    def _one_of_each(self, app: App) -> None:
        healthy = Counter(one.place for one in app.replicas if one.state is ReplicaState.HEALTHY)
        twice = [place for place, count in healthy.items() if count > 1]
        if twice:
            raise Violation(19, f"app {app.id} has two healthy replicas at {twice}")

    def _never_used_twice(self, old: App | None, new: App) -> None:
        given = self._given.setdefault(new.id, {})
        highest = old.generations if old is not None else 0
        for one in new.replicas:
            known = given.get(one.generation)
            if known is None:
                if new.id not in self._rewound and not highest < one.generation <= new.generations:
                    raise Violation(19, f"app {new.id} has a new generation {one.generation} after {highest}")
                given[one.generation] = one
            elif (known.place, known.release) != (one.place, one.release) or known.node not in ("", one.node):
                raise Violation(19, f"generation {one.generation} of app {new.id} was {known} and is {one}")
            elif known.node == "":
                given[one.generation] = one
            if is_run(one) != bool(one.node) and one.state is not ReplicaState.FAILED:
                raise Violation(19, f"{one} of app {new.id} is on no node, or on one that it should not be on")

    def _releases(self, app: App) -> None:
        live = [one.number for one in app.releases if one.state is ReleaseState.LIVE]
        if live != ([app.live] if app.live else []):
            raise Violation("release", f"app {app.id} has {app.live} live, and {live} say so")
        pending = [one.number for one in app.releases if one.state is ReleaseState.PENDING]
        if pending and pending != [app.releases[-1].number]:
            raise Violation("release", f"releases {pending} of app {app.id} are on their way out at once")

    def _is_looked_at_again(self, app: App) -> None:
        if app.replicas and (app.wake_at is None or app.wake_at > self._truth.host_ms() + 1_900_000):
            raise Violation(15, f"app {app.id} has replicas and nothing will look at it again")

    def _follows(self, old: App, new: App) -> None:
        back = new.changed_at < old.changed_at and new.id not in self._rewound
        if new.ver != old.ver + 1 or back:
            raise Violation(23, f"app {new.id} goes from {old.ver}/{old.changed_at} to {new.ver}/{new.changed_at}")
        origin = self._truth.origin()
        before = {one.generation: one for one in old.replicas}
        for one in new.replicas:
            was = before.get(one.generation)
            if was is not None and was.state is ReplicaState.DRAINING and one.state is not ReplicaState.DRAINING:
                raise Violation(19, f"generation {one.generation} of app {new.id} drains no more")
            if one.state is ReplicaState.HEALTHY and (was is None or was.state is not ReplicaState.HEALTHY):
                speaks = (origin.kind, origin.node) == ("hosted", one.node)
                if not speaks and new.id not in self._rewound:
                    raise Violation(19, f"{origin.kind} of {origin.node} made {one} of app {new.id} healthy")
        if new.live != old.live:
            self._proved(new)
        for state in {one.state for one in new.releases} - {one.state for one in old.releases}:
            self.ends_seen.add(str(state))
        idle = replace(new, ver=old.ver, wake_at=old.wake_at) == old and origin.kind == "hosted"
        if idle and new.id not in self._rewound and (old.wake_at or 0) > self._truth.host_ms():
            raise Violation("busy", f"what {origin.node} said of app {new.id} was written and is no news")
