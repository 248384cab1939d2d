"""The apps that run on this node: told whole what to run, it starts what is missing and stops what else there is."""

import asyncio
import hashlib
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from anchor.agent.apps.app_log import AppLog
from anchor.agent.apps.ground import Builder, Ground, NotHosted
from anchor.agent.apps.local_ports import LocalPorts
from anchor.agent.apps.replica import Replica
from anchor.agent.budget import Budget
from anchor.agent.files.removal import remove
from anchor.agent.parcels import Parcels
from anchor.agent.sandbox import cgroup
from anchor.agent.sandbox.confinement import Confinement
from anchor.agent.threads import in_thread
from anchor.core.app import WEB
from anchor.core.attempt import Reason
from anchor.wire.link import AppOutput, FromAgent, Hosted, HostItem, ReplicaStatus

STATUS_SECONDS: Final = 5.0
"""At least so often the server hears how replicas are doing, whether or not something changed."""
GATHER_SECONDS: Final = 0.1
"""What is printed within this time travels together."""
OUTPUT_BYTES: Final = 128 * 1024
"""Of one log in one frame."""
LAST_DRAIN_SECONDS, LAST_SECONDS = 2.0, 3.0
"""When the agent stops: for what is being answered, and from SIGTERM to SIGKILL."""
LEFTOVERS_MAX: Final = 100
"""Logs of replicas that are gone, and were not sent yet."""


def not_offered(item: HostItem) -> ReplicaStatus:
    """What an agent that hosts no apps says of one."""
    if item.drains:
        return ReplicaStatus(item.app, item.generation, "stopped", time.time_ns() // 1_000_000)
    what = "This node hosts no apps: its owner does not let it, or it cannot confine them."
    reason = Reason("not_offered", what, "Its owner can allow it (allow_apps); `anchor doctor` says what is missing.")
    return ReplicaStatus(item.app, item.generation, "failed", time.time_ns() // 1_000_000, reason=reason)


class Hosting:
    """The replicas of one agent. `state` is the agent's directory, `session` tells the session that is open (0: none),
    `send` takes frames, `wants_tunnel` hears whether requests can be meant for something here."""

    def __init__(
        self,
        state: Path,
        confinement: Confinement,
        builds: Builder,
        memory: Budget,
        parcels: Parcels,
        *,
        disk: Budget | None = None,
        network: bool,
        box_key: bytes,
        session: Callable[[], int],
        send: Callable[[FromAgent], None],
        wants_tunnel: Callable[[bool], None],
    ) -> None:
        self._folder = state / "apps" / "replicas"
        self._confinement = confinement
        self._parcels = parcels
        self._session = session
        self._send = send
        self._wants_tunnel = wants_tunnel
        self._told_in = 0
        self._wanted: dict[tuple[int, int], HostItem] = {}
        self._replicas: dict[tuple[int, int], Replica] = {}
        self._stopped: dict[tuple[int, int], ReplicaStatus] = {}
        self._leftovers: list[AppLog] = []
        self._changed = asyncio.Event()
        self._printed = asyncio.Event()
        self._stopping = False
        self._ground = Ground(
            folder=self._folder,
            confinement=confinement,
            builds=builds,
            memory=memory,
            disk=disk,
            ports=LocalPorts(),
            network=network,
            box_key=box_key,
            keep=self._keep,
            changed=self._changed.set,
            printed=self._printed.set,
        )

    async def prepare(self) -> None:
        """Remove what an agent that was killed has left; its processes died with it."""
        await in_thread(cgroup.sweep, self._confinement.cgroup)
        await in_thread(remove, self._folder)
        await in_thread(self._folder.mkdir, parents=True)
        # What apps are and keep is nothing to other users of the machine.
        await in_thread(self._folder.parent.chmod, 0o700)

    @property
    def is_busy(self) -> bool:
        """Whether there are replicas here."""
        return bool(self._replicas)

    def want(self, items: Sequence[HostItem]) -> None:
        """These replicas are to run from now on, and no others."""
        if self._stopping:
            return
        self._told_in = self._session()
        self._wanted = {(item.app, item.generation): item for item in items}
        # In this order a port leads to the new generation before it leaves the old one.
        for item in sorted(items, key=lambda one: one.drains):
            self._want(item)
        for key, replica in self._replicas.items():
            if key not in self._wanted:
                replica.retire(0)
        self._wants_tunnel(any(item.process == WEB for item in items))
        self._changed.set()
        self._printed.set()

    def _want(self, item: HostItem) -> None:
        key = (item.app, item.generation)
        replica = self._replicas.get(key)
        if replica is not None:
            replica.update(item)
            if item.drains:
                replica.retire(item.config.drain_seconds)
        elif item.drains:
            self._stopped[key] = ReplicaStatus(item.app, item.generation, "stopped", time.time_ns() // 1_000_000)
        else:
            self._stopped.pop(key, None)
            self._replicas[key] = Replica(item, self._ground, self._gone)

    def _gone(self, replica: Replica) -> None:
        """All of a replica that was told to end is gone."""
        key = replica.key
        del self._replicas[key]
        self._leftovers = [*self._leftovers[-LEFTOVERS_MAX:], replica.log]
        wanted = self._wanted.get(key)
        if wanted is not None and not wanted.drains and not self._stopping:
            self._want(wanted)  # somebody has changed their mind meanwhile
        else:
            self._stopped[key] = replica.status()
        self._changed.set()

    def statuses(self) -> list[ReplicaStatus]:
        """How each replica is doing; those that are gone are said to be once."""
        gone, self._stopped = self._stopped, {}
        return [*(replica.status() for replica in self._replicas.values()), *gone.values()]

    async def connect(self, app_id: int, generation: int) -> socket.socket:
        """A connected socket, not blocking, to exactly this generation of exactly this app. NotHosted, or OSError where
        it does not answer."""
        replica = self._replicas.get((app_id, generation))
        if replica is None:
            raise NotHosted(f"Generation {generation} of this app does not run here.")
        return await replica.connect()

    def streams(self, app_id: int, generation: int, delta: int) -> None:
        """So many streams more lead to a replica: a draining one waits for them to end."""
        replica = self._replicas.get((app_id, generation))
        if replica is not None:
            replica.streams(delta)

    async def run(self) -> None:
        """Tell the server what there is to tell, until cancelled."""
        async with asyncio.TaskGroup() as telling:
            telling.create_task(self._tell_statuses())
            telling.create_task(self._tell_logs())

    async def _tell_statuses(self) -> None:
        while True:
            try:
                async with asyncio.timeout(STATUS_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass  # nothing changed but the figures
            self._changed.clear()
            self._say_how_it_goes()

    def _say_how_it_goes(self) -> None:
        session = self._session()
        # Not before the server has said what it wants here: it would take what we do not have yet for lost.
        if session and session == self._told_in:
            self._send(Hosted(session, self.statuses()))

    async def _tell_logs(self) -> None:
        while True:
            await self._printed.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._printed.clear()
            if not self._session() or self._session() != self._told_in:
                continue  # it is kept for a while, and `want` wakes us
            logs = [replica.log for replica in self._replicas.values()] + self._leftovers
            for log in logs:
                while chunks := log.taken(OUTPUT_BYTES):
                    self._send(AppOutput(chunks))
            self._leftovers = [log for log in self._leftovers if log.waits]

    async def _keep(self, lock: bytes) -> str:
        digest = hashlib.sha256(lock).hexdigest()
        await self._parcels.bring(digest, lock)
        return digest

    async def stop(self) -> None:
        """End every replica."""
        self._stopping = True
        self._wanted = {}
        replicas = list(self._replicas.values())
        for replica in replicas:
            replica.retire(LAST_DRAIN_SECONDS, LAST_SECONDS)
        await asyncio.gather(*(replica.gone() for replica in replicas))
        self._say_how_it_goes()
