"""The part of the asyncio client that deploys apps and looks after them."""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

from anchor.client import apps, calls, deploys
from anchor.client.app_log import FollowingApp, whole_log
from anchor.client.apps import AppVerb, Variables
from anchor.client.deploys import DEPLOY_SECONDS
from anchor.client.exchange import Manners, Steps
from anchor.client.follow import EventStream
from anchor.client.packing import packed_app
from anchor.wire.apps import AppLine, AppRow, AppView

T = TypeVar("T")


class AsyncDeploying(ABC):
    """Deploys apps, and says and changes how they run, as `Client` does."""

    _manners: Manners

    @abstractmethod
    async def carry_out(self, steps: Callable[[Manners], Steps[T]]) -> T:
        """Do something of `anchor.client.exchange` and its like, with this client's manners."""

    @abstractmethod
    async def call(self, call: calls.Call[T]) -> T:
        """Carry out a request of `anchor.client.dags` and its like."""

    @abstractmethod
    def stream(self, following: EventStream[T]) -> AsyncIterator[T]:
        """What a stream of `anchor.client.follow` and its like tells, over however many connections."""

    async def deploy(
        self,
        source: "str | os.PathLike[str] | Mapping[str, str]",
        name: str = "",
        *,
        config: Mapping[str, Any] | None = None,
        env: Variables | None = None,
        fresh: bool = False,
        wait_seconds: float | None = DEPLOY_SECONDS,
    ) -> AppView:
        """Deploy a folder, a zip or tar, or files as texts by path, and wait until it runs: see `Client.deploy`."""
        packed = await asyncio.to_thread(packed_app, source, name, config=config, env=env, fresh=fresh)
        try:
            view = await self.carry_out(lambda manners: deploys.deployed(packed, manners))
        finally:
            packed.discard()
        number = deploys.newest(view).number
        if wait_seconds == 0:
            return view
        return await self.carry_out(lambda manners: deploys.live_app(view.id, number, wait_seconds, manners))

    async def apps(self, *, page_size: int = 100) -> AsyncIterator[AppRow]:
        """Apps from the newest on, page after page for as long as they are asked for."""
        cursor = ""
        while True:
            page = await self.call(apps.apps(limit=page_size, cursor=cursor))
            for row in page.items:
                yield row
            cursor = page.cursor
            if not cursor:
                return

    async def app(self, name: str) -> AppView:
        """One app, whole."""
        return await self.call(apps.app(name))

    async def settled_app(self, name: str, *, wait_seconds: float | None = DEPLOY_SECONDS) -> AppView:
        """One app once nothing of it is under way any more, or as it is after `wait_seconds`."""
        return await self.carry_out(lambda manners: deploys.settled(name, wait_seconds, manners))

    async def scale_app(self, name: str, **replicas: int) -> AppView:
        """Run so many replicas of each process named: `scale_app("shop", web=3)`."""
        return await self.call(apps.scale(name, replicas))

    async def roll_back_app(self, name: str, release: int | None = None) -> AppView:
        """Go back to the release that was live before, or to the one of this number, variables included."""
        return await self.call(apps.rollback(name, release))

    async def act_on_app(self, name: str, verb: AppVerb) -> AppView:
        """Restart an app, one replica after the other; stop it; or start it again."""
        return await self.call(apps.act(name, verb))

    async def remove_app(self, name: str) -> None:
        """Stop an app and forget it, its releases and its log."""
        await self.call(apps.remove(name))

    async def app_env(self, name: str) -> list[str]:
        """The names of an app's variables; their values are shown to nobody."""
        return await self.call(apps.env(name))

    async def set_app_env(self, name: str, variables: Variables) -> AppView:
        """Change variables (None takes one away), which makes a new release."""
        return await self.call(apps.set_env(name, variables))

    async def app_logs(self, name: str, *, process: str = "", tail: int | None = None) -> list[AppLine]:
        """What an app's replicas and builds printed, as far as it is kept; or the last `tail` lines of it."""
        return await self.carry_out(lambda manners: whole_log(name, process, tail, manners))

    def follow_app(
        self, name: str, *, process: str = "", tail: int | None = None, after: str = ""
    ) -> AsyncIterator[AppLine]:
        """What an app's replicas and builds print, as it comes, for as long as there is the app."""
        return self.stream(FollowingApp(name, self._manners, process=process, tail=tail, after=after))
