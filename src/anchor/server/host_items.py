"""What a node is told of each replica that it is to run, its variables sealed to that node."""

from collections.abc import Sequence

import msgspec

from anchor.core.app import RELEASE, WEB, App, Release, Replica, ReplicaState
from anchor.core.attempt import Reason
from anchor.core.errors import AnchorError, Conflict
from anchor.server.app_secrets import AppSecrets
from anchor.wire import box
from anchor.wire.link import HostItem

Place = tuple[int, int]
"""A replica, by its app and generation."""
_BEGINS = frozenset({ReplicaState.PLACED, ReplicaState.BUILDING, ReplicaState.STARTING})
_RUNS = frozenset({ReplicaState.STARTING, ReplicaState.HEALTHY, ReplicaState.UNHEALTHY})


class Sealing:
    """Makes the items of one session's Host frames. A generation's variables never change: each is sealed once."""

    def __init__(self, secrets: AppSecrets, box_key: bytes) -> None:
        self._secrets = secrets
        self._box_key = box_key
        self._sealed: dict[Place, bytes] = {}
        self.unreadable: dict[Place, Reason] = {}
        """The replicas that the node cannot be told of since nobody can read their variables, and why."""

    def items(self, replicas: Sequence[tuple[App, Replica]]) -> list[HostItem] | None:
        """The items of these replicas, but for those that are `unreadable` from now on. None where one of those runs:
        it would be stopped for not being named, and it needs its variables no more."""
        sealed: dict[Place, bytes] = {}
        unreadable: dict[Place, Reason] = {}
        spared = False
        items: list[HostItem] = []
        for app, replica in replicas:
            release = app.release(replica.release)
            if release is None:
                continue
            place = (app.id, replica.generation)
            try:
                sealed[place] = self._sealed[place] if place in self._sealed else self._seal(app, release)
            except AnchorError as error:
                if replica.state in _RUNS:
                    spared = True
                else:
                    unreadable[place] = Reason(error.code, error.message, error.hint)
                continue
            items.append(_item(app, release, replica, sealed[place]))
        self._sealed, self.unreadable = sealed, unreadable
        return None if spared else items

    def _seal(self, app: App, release: Release) -> bytes:
        if not release.env:
            return b""
        if not self._box_key:
            raise Conflict(
                "Its node has no key that variables could be sealed to.", hint="Upgrade its agent.", code="no_box_key"
            )
        return box.sealed(self._box_key, msgspec.json.encode(self._secrets.decrypted(app.name, release.env)))


def _item(app: App, release: Release, replica: Replica, env: bytes) -> HostItem:
    return HostItem(
        app=app.id,
        name=app.name,
        process=replica.process,
        index=replica.index,
        generation=replica.generation,
        release=release.number,
        source=release.source,
        lock=release.lock,
        config=release.config,
        plan=release.plan,
        env=env,
        drains=replica.state is ReplicaState.DRAINING,
        serves=replica.process == WEB and replica.state is ReplicaState.HEALTHY,
        prepares=RELEASE in release.plan.processes and not release.prepared and replica.state in _BEGINS,
    )
