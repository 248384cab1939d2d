"""How an app gets to be as it is wanted: what its document becomes next, given the nodes and the time.

A release goes out like this. The first replica of its first process goes ahead alone: it settles the versions of what
is installed and runs the process `release`. Once that is healthy, one of each other process follows. With all of them
healthy the release is live, and the remaining places follow a few at a time: each gets a new generation beside the old
one, which drains when the new one is healthy. A release that does not get so far fails, and what was live goes on.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from anchor.core.app import App, Place, Release, ReleaseState, Replica, ReplicaState, Wanted, is_run, places_of
from anchor.core.app_deadlines import again_at, overdue, wake_at_of
from anchor.core.app_placement import NodeFacts, crowded, fit
from anchor.core.attempt import Reason

NODES_TRIED: Final = 3
"""Nodes on which a place may fail in a row before it is given up on."""
SURGE_SHARE: Final = 4
"""Of so many places one at a time gets another replica while it has a healthy one; at least one does."""
CALM_MS: Final = 120_000
"""How long all of an app has to have been healthy before replicas that share a node are spread again."""
LOST_HINT: Final = "It is started on another node as soon as one fits."
CODE_FAULTS: Final = frozenset({"build_failed", "not_an_app", "release_failed", "dependency_error", "secret_changed"})
"""Failures that lie in the app: they would be the same on any node."""


def step(app: App, nodes: Sequence[NodeFacts], now: int, *, patient: bool = False) -> App:
    """What the app's document is to become; the same object where there is nothing to do.

    `patient` is a server that has not had the time to hear from the nodes: no deadline is over for it.
    """
    draft = _Draft(app, nodes, now)
    draft.part_with_the_lost()
    if not patient:
        draft.end_the_overdue()
    if app.wanted is Wanted.RUNNING:
        draft.judge_pending()
        draft.spread()
        draft.fill_places()
        draft.settle()
    else:
        for replica in draft.all():
            draft.let_go(replica)
    return draft.result()


def pending_of(releases: Iterable[Release]) -> Release | None:
    """The release that is on its way out: only the newest can be."""
    newest = max(releases, key=lambda one: one.number, default=None)
    return newest if newest is not None and newest.state is ReleaseState.PENDING else None


class _Draft:
    """An app's document while it is being changed."""

    def __init__(self, app: App, nodes: Sequence[NodeFacts], now: int) -> None:
        self._app = app
        self._nodes = nodes
        self._facts = {facts.node.id: facts for facts in nodes}
        self._now = now
        self._places: defaultdict[Place, dict[int, Replica]] = defaultdict(dict)
        for one in app.replicas:
            self._put(one)
        self._releases = {one.number: one for one in app.releases}
        self._live = app.live
        self._generations = app.generations
        self._reason = app.reason
        self._lost: dict[Place, Reason] = {}

    # What happened

    def part_with_the_lost(self) -> None:
        """Take what was on nodes that are gone off the route. On one that may come back it is kept until its successor
        has a node: where no other fits, it goes on when that one is heard from again."""
        for replica in self.all():
            if not is_run(replica) or not self._is_gone(replica.node):
                continue
            facts = self._facts.get(replica.node)
            if self._app.wanted is Wanted.RUNNING and facts is not None and facts.silent:
                lost = Reason("node_lost", f"{replica.node}, which runs it, is not heard from.", LOST_HINT)
                if replica.state is not ReplicaState.DRAINING and replica.reason != lost:
                    self._put(replace(replica, state=ReplicaState.UNHEALTHY, since=self._now, reason=lost))
                    self._lost[replica.place] = lost
            else:
                lost = Reason("node_lost", f"{replica.node}, which ran it, is gone or was blocked.", LOST_HINT)
                self._drop(replica)
                self._lost[replica.place] = lost

    def end_the_overdue(self) -> None:
        """Fail what did not get on in time, and part with what did not finish."""
        for replica in self.all():
            release = self._releases.get(replica.release)
            why = overdue(replica, release.config if release is not None else None, self._now)
            if why is None:
                continue
            if replica.state is ReplicaState.DRAINING:
                self._drop(replica)
            else:
                self._put(replace(replica, state=ReplicaState.FAILED, since=self._now, reason=why))

    def judge_pending(self) -> None:
        """See whether the newest release has proved itself, or can not any more."""
        pending = pending_of(self._releases.values())
        if pending is None:
            return
        heads = _heads(pending)
        for place in heads:
            keeper = self._keeper(place, pending)
            if keeper is not None and keeper.state is ReplicaState.FAILED and not self._tried_elsewhere(keeper):
                self._give_up(pending, keeper)
                return
        if all(self._has_healthy(place, pending) for place in heads):
            self._go_live(pending)

    def _give_up(self, pending: Release, replica: Replica) -> None:
        why = replica.reason or Reason("failed", "It failed without a word.")
        live = self._releases.get(self._live)
        left = f"release {live.number} goes on" if live is not None else "there is no earlier one to go on with"
        self._releases[pending.number] = replace(pending, state=ReleaseState.FAILED, reason=why)
        message = f"Release {pending.number} failed; {left}. {replica.process}: {why.message}"
        self._reason = Reason(why.code, message, why.hint)

    def _go_live(self, pending: Release) -> None:
        before = self._releases.get(self._live)
        if before is not None:
            self._releases[before.number] = replace(before, state=ReleaseState.SUPERSEDED)
        self._releases[pending.number] = replace(pending, state=ReleaseState.LIVE, live_at=self._now)
        self._live = pending.number
        self._reason = None

    # What is to be

    def fill_places(self) -> None:
        """Bring every place to the release that it is to have; moves of what is healthy come last and few at a time."""
        wanted = self._wanted()
        for replica in self.all():
            if replica.place not in wanted:
                self.let_go(replica)
        later: list[tuple[Place, Release]] = []
        for place, releases in wanted.items():
            for release in releases:
                keeper = self._keeper(place, release)
                if keeper is not None:
                    self._carry_on(keeper, release)
                elif release.state is ReleaseState.PENDING or not self._serves(place):
                    self._make(place, release)
                else:
                    later.append((place, release))
                if self._has_healthy(place, release):
                    break
            self._leave_few(place, releases)
        moving = sum(self._serves(place) and len(self._standing(place)) > 1 for place in wanted)
        for place, release in later[: max(0, max(1, len(wanted) // SURGE_SHARE) - moving)]:
            self._make(place, release)

    def spread(self) -> None:
        """Have one of those that share a node go to one that has fewer of the app, where one fits; only after all has
        been calm for a while, so that what moves is well and its new node has come to stay."""
        live, all_there = self._releases.get(self._live), self.all()
        calm = all(one.state is ReplicaState.HEALTHY and self._now - one.since >= CALM_MS for one in all_there)
        if live is None or pending_of(self._releases.values()) is not None or not calm:
            return
        wanted = places_of(live)
        if len(all_there) != len(wanted) or not all(self._has_healthy(place, live) for place in wanted):
            return
        moving = crowded(self._app, live.config, all_there, self._nodes)
        if moving is not None:
            self._put(replace(moving, moves=True))

    def settle(self) -> None:
        """Note when all that is wanted of the live release is there."""
        live = self._releases.get(self._live)
        if live is not None and not live.settled and all(self._has_healthy(place, live) for place in places_of(live)):
            self._releases[live.number] = replace(live, settled=True)

    def _wanted(self) -> dict[Place, list[Release]]:
        """The releases each place is to have: the one on its way out, where it is its turn, before the live one."""
        live, pending = self._releases.get(self._live), pending_of(self._releases.values())
        wanted: dict[Place, list[Release]] = {}
        if pending is not None:
            first, *others = _heads(pending)
            wanted[first] = [pending]
            if self._has_healthy(first, pending) or any(self._keeper(place, pending) for place in others):
                wanted |= {place: [pending] for place in others}
        if live is not None:
            for place in places_of(live):
                wanted.setdefault(place, []).append(live)
        return wanted

    def _keeper(self, place: Place, release: Release) -> Replica | None:
        """The replica that is, or will be, what a place is to have of a release."""
        right = [
            one
            for one in self._standing(place)
            if one.release == release.number and one.generation > self._app.renewed and self._may_stay(one)
        ]
        return max(right, key=_standing_of, default=None)

    def _carry_on(self, keeper: Replica, release: Release) -> None:
        """One step on with what a place is to have."""
        if keeper.state is ReplicaState.UNPLACED:
            self._put(self._placed(keeper, release))
        elif (
            keeper.state is ReplicaState.FAILED and not self._tried_elsewhere(keeper) and again_at(keeper) <= self._now
        ):
            self._make(keeper.place, release, tries=keeper.tries + 1, reason=keeper.reason)

    def _leave_few(self, place: Place, releases: list[Release]) -> None:
        """Of a place's replicas leave those that are to be, and until one of them is healthy whoever holds the place;
        once one is healthy, all others drain with the same write."""
        keepers = [one for release in releases if (one := self._keeper(place, release)) is not None]
        healthy = next((one for one in keepers if one.state is ReplicaState.HEALTHY), None)
        if healthy is not None:
            stay = keepers[: keepers.index(healthy) + 1]
        else:
            waits = all(one.state is ReplicaState.UNPLACED for one in keepers)
            running = [
                one
                for one in self._standing(place)
                if is_run(one) and one not in keepers and (waits or not self._is_gone(one.node))
            ]
            holder = max(running, key=_standing_of, default=None)
            stay = keepers if holder is None else [*keepers, holder]
        for one in self._standing(place):
            if one not in stay:
                self.let_go(one)

    def _make(self, place: Place, release: Release, *, tries: int = 0, reason: Reason | None = None) -> None:
        process, index = place
        new = Replica(
            process=process,
            index=index,
            generation=self._next_generation(),
            release=release.number,
            since=self._now,
            reason=reason or self._lost.get(place),
            tries=tries,
        )
        self._put(self._placed(new, release))

    def _placed(self, replica: Replica, release: Release) -> Replica:
        node = fit(self._app, release.config, replica, self.all(), self._nodes)
        if isinstance(node, Reason):
            return replace(replica, reason=node)
        reason = None if replica.state is ReplicaState.UNPLACED and _is_nowhere(replica.reason) else replica.reason
        return replace(replica, node=node, state=ReplicaState.PLACED, since=self._now, reason=reason)

    def _tried_elsewhere(self, failed: Replica) -> bool:
        """Put a new generation in the place of a failed one, on a node on which it has not failed, if there is one."""
        avoided = (*failed.avoided, failed.node)
        release = self._releases.get(failed.release)
        if release is None or _code(failed.reason) in CODE_FAULTS or len(avoided) >= NODES_TRIED:
            return False
        new = replace(
            failed,
            generation=self._generations + 1,
            node="",
            state=ReplicaState.UNPLACED,
            since=self._now,
            restarts=0,
            avoided=avoided,
        )
        placed = self._placed(new, release)
        if placed.state is ReplicaState.UNPLACED:
            return False
        self._next_generation()
        self._drop(failed)
        self._put(placed)
        return True

    def let_go(self, replica: Replica) -> None:
        """Let a replica finish what it is doing; one that is nowhere, or not heard from, is simply gone."""
        if not is_run(replica) or self._is_gone(replica.node):
            self._drop(replica)
        elif replica.state is not ReplicaState.DRAINING:
            self._put(replace(replica, state=ReplicaState.DRAINING, since=self._now, reason=None))

    # What is

    def all(self) -> list[Replica]:
        """Every replica there is."""
        return [one for place in self._places.values() for one in place.values()]

    def _standing(self, place: Place) -> list[Replica]:
        """The replicas of a place that do not drain."""
        return [one for one in self._places[place].values() if one.state is not ReplicaState.DRAINING]

    def _has_healthy(self, place: Place, release: Release) -> bool:
        keeper = self._keeper(place, release)
        return keeper is not None and keeper.state is ReplicaState.HEALTHY

    def _serves(self, place: Place) -> bool:
        return any(one.state is ReplicaState.HEALTHY for one in self._standing(place))

    def _may_stay(self, replica: Replica) -> bool:
        facts = self._facts.get(replica.node)
        return not is_run(replica) or (facts is not None and facts.keeps and not replica.moves)

    def _is_gone(self, node: str) -> bool:
        facts = self._facts.get(node)
        return facts is None or facts.gone

    def _put(self, replica: Replica) -> None:
        self._places[replica.place][replica.generation] = replica

    def _drop(self, replica: Replica) -> None:
        del self._places[replica.place][replica.generation]

    def _next_generation(self) -> int:
        self._generations += 1
        return self._generations

    def result(self) -> App:
        """The document as it is to be, with the time to look at it again."""
        app, now = self._app, self._now
        replicas = tuple(sorted(self.all(), key=lambda one: (one.place, one.generation)))
        changed = replace(
            app,
            releases=tuple(self._releases.values()),
            live=self._live,
            replicas=replicas,
            generations=self._generations,
            reason=self._reason,
        )
        leases = {name: facts.node.lease_until for name, facts in self._facts.items()}
        wake_at = wake_at_of(changed, leases, now)
        will_wake = app.wake_at is not None and wake_at is not None and now < app.wake_at <= wake_at
        if changed == app and (will_wake or wake_at == app.wake_at):
            return app
        return replace(changed, wake_at=wake_at)


def _heads(release: Release) -> list[Place]:
    """One place of each process that is wanted: those with which a release proves itself."""
    return [(name, index) for name, index in places_of(release) if index == 0]


def _standing_of(replica: Replica) -> tuple[bool, bool, int]:
    """What speaks for a replica among those of its place: health, a node, being newer."""
    return replica.state is ReplicaState.HEALTHY, is_run(replica), replica.generation


def _code(reason: Reason | None) -> str:
    return reason.code if reason is not None else ""


def _is_nowhere(reason: Reason | None) -> bool:
    return _code(reason) == "no_node"
