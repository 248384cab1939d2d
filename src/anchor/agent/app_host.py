"""All that a node needs to host apps, put together: builds, replicas, and the tunnel that leads to them."""

import asyncio
import contextlib
from pathlib import Path

from anchor.agent.apps.box_key import box_key_in
from anchor.agent.apps.building import Builds
from anchor.agent.apps.hosting import Hosting
from anchor.agent.budget import Budget
from anchor.agent.connection import Connection
from anchor.agent.parcels import Parcels
from anchor.agent.policy import Policy
from anchor.agent.runtimes.native.environments import Environments
from anchor.agent.sandbox.confinement import Confinement
from anchor.agent.tunnel import Tunnel


class AppHost:
    """The hosting side of one agent."""

    def __init__(
        self,
        url: str,
        directory: Path,
        policy: Policy,
        confinement: Confinement,
        parcels: Parcels,
        connection: Connection,
        *,
        memory: Budget,
        disk: Budget | None,
    ) -> None:
        self._environments = Environments(directory, confinement)
        self._builds = Builds(directory, self._environments, confinement, parcels)
        self.hosting = Hosting(
            directory,
            confinement,
            self._builds,
            memory,
            parcels,
            disk=disk,
            network=policy.network,
            box_key=box_key_in(directory),
            session=lambda: connection.hosting_session,
            send=connection.send,
            wants_tunnel=lambda wanted: self._tunnel.want(wanted),
        )
        self._tunnel = Tunnel(url, self.hosting, lambda: parcels.token if connection.hosting_session else "")
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Clear what an agent that was killed has left, and begin."""
        await asyncio.to_thread(self._environments.prepare)
        await self._builds.prepare()
        await self.hosting.prepare()
        self._tasks = [asyncio.create_task(self.hosting.run()), asyncio.create_task(self._tunnel.run())]

    async def stop(self) -> None:
        """End every replica, say so, and close the tunnel."""
        await self.hosting.stop()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
