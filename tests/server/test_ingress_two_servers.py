"""Two servers of one store: a request reaches an app whichever of the two it and the node are connected to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from ingress_app import LARGE, Site
from ingress_stand import Doors, NoStore, Stand, a_node, a_port, a_stand
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from anchor.adapters.sqlite import SqliteStore
from anchor.core.node import Node
from anchor.ports.store import Duty
from anchor.server.ingress import far

SHOP = {"Host": "shop.apps.x"}


class Shared(NoStore):
    """Duties as a store keeps them."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def duty(self, name: str) -> Duty | None:
        return await self._store.duty(name)

    async def duties(self) -> list[Duty]:
        return await self._store.duties()

    async def swap_duty(self, old: Duty | None, new: Duty) -> bool:
        return await self._store.swap_duty(old, new)

    async def node(self, node: str) -> Node:
        return await NoStore.node(self, node)


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    store = await SqliteStore.open(tmp_path / "store.db")
    yield Shared(store)
    await store.close()


async def asked(stand: Stand, code: int = 200, seconds: float = 30.0) -> httpx.Response:
    """An answer with this status, once there is one."""
    async with asyncio.timeout(seconds), httpx.AsyncClient(base_url=stand.url, headers=SHOP, trust_env=False) as caller:
        while (answer := await caller.get("/hello")).status_code != code:  # noqa: ASYNC110 - nothing says when
            await asyncio.sleep(0.05)
        return answer


@pytest.mark.anyio
async def test_a_server_without_the_tunnel_asks_the_one_that_has_it(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far, "LOOK_SECONDS", 0.1)
    site, doors = Site("a"), Doors()
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(a_stand(server="here", store=shared))
        there = await stack.enter_async_context(a_stand(server="there", store=shared))
        port = await stack.enter_async_context(a_port(site.serve))
        for stand in (here, there):
            doors.ports[stand.app("shop", ("N1", 1)).id, 1] = port
        async with a_node(there.url, "N1", doors):
            assert (await asked(here)).text == (await asked(there)).text == "a /hello"
            async with httpx.AsyncClient(base_url=here.url, headers=SHOP, trust_env=False) as caller:
                assert (await caller.post("/echo", content=LARGE * 30)).content == LARGE * 30
                assert (await caller.get("/garbage")).status_code == 502
            duty = await shared.duty("tunnel/N1")
            assert duty is not None
            assert (duty.holder, duty.note) == ("there", there.url)
        async with a_node(here.url, "N1", doors):  # the node is connected to the other server now
            await here.reached("N1")
            assert (await asked(there)).text == "a /hello"
            async with asyncio.timeout(30):
                while (duty := await shared.duty("tunnel/N1")) is None or duty.holder != "here":  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert (await asked(there)).text == "a /hello"
        unreached = await asked(there, 503)
        assert unreached.json()["code"] == "no_replica_reached"


@pytest.mark.anyio
async def test_only_a_server_of_the_same_secret_is_passed_on(shared: Shared) -> None:
    async with a_stand(server="here", store=shared) as here:
        address = f"ws{here.url.removeprefix('http')}/relay"
        for token in ("ancp_1.abc", "ancn_N1", "ancp_x.", "ancp_"):
            with pytest.raises(InvalidStatus):
                async with connect(address, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None):
                    pass
