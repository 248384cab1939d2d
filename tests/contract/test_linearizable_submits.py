"""One Idempotency-Key, many clients at once, servers killed in between: there is one task, as if asked one by one."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.chaos.cluster import Cluster
from tests.chaos.wing_gong import UNKNOWN, Op, order_of

pytestmark = pytest.mark.anyio
KEYS = 4
CLIENTS = 6
ROUNDS = 8
KILLS = 2


def one_task(state: Any, asked: Any, answer: Any) -> Iterable[Any]:
    """The task a key stands for, None while there is none. `asked` holds every id that any client was told."""
    what, ids = asked
    if what == "list":
        return [state] if answer == (() if state is None else (state,)) else []
    if answer == UNKNOWN:
        return [state] if state is not None else [None, *ids]
    return [answer] if state in (None, answer) else []


class Client:
    """Submits under a few keys and looks what is there, noting both."""

    def __init__(self, number: int, port: int, ticks: Iterable[int], histories: dict[str, list[Op]]) -> None:
        self._http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=3, trust_env=False)
        self._dice = random.Random(number)
        self._ticks = iter(ticks)
        self._histories = histories

    async def run(self) -> None:
        for _ in range(ROUNDS):
            key = f"key{self._dice.randrange(KEYS)}"
            await self.submit(key)
            await self.list(key)
            await asyncio.sleep(self._dice.uniform(0, 0.3))
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def submit(self, key: str) -> None:
        begun = next(self._ticks)
        body = {"name": key, "type": "noop", "labels": [key]}
        answer: Any = UNKNOWN
        try:
            told = await self._http.post("/api/tasks", json=body, headers={"Idempotency-Key": key})
            if told.status_code == 409:
                return  # somebody else's request under this key is being carried out, and this one was not begun
            if told.status_code == 201:
                answer = told.json()["id"]
        except httpx.TransportError:
            await asyncio.sleep(0.1)
        self._histories[key].append(Op(begun, next(self._ticks), "submit", answer))

    async def list(self, key: str) -> None:
        begun = next(self._ticks)
        try:
            told = await self._http.get("/api/tasks", params={"label": key})
        except httpx.TransportError:
            return
        if told.status_code == 200:
            found = tuple(task["id"] for task in told.json())
            self._histories[key].append(Op(begun, next(self._ticks), "list", found))


async def _kill_servers(cluster: Cluster, dice: random.Random) -> None:
    for at in range(KILLS):
        await asyncio.sleep(dice.uniform(0.2, 0.6))
        server = cluster.servers[at % len(cluster.servers)]
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await cluster.wait_until_ready()


@pytest.mark.parametrize("engines", ["embedded", "shared"])
async def test_the_submits_under_one_key_have_an_order_with_one_task(engines: str, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, engines=engines, agents=0, slots=1, can_set_clock=False)
    histories: dict[str, list[Op]] = defaultdict(list)
    ticks = iter(range(10**9))
    try:
        await cluster.open()
        clients = [Client(at, cluster.ports[at % len(cluster.ports)], ticks, histories) for at in range(CLIENTS)]
        await asyncio.gather(*(client.run() for client in clients), _kill_servers(cluster, random.Random(engines)))
        last = Client(CLIENTS, cluster.ports[0], ticks, histories)
        for key in [f"key{at}" for at in range(KEYS)]:
            await last.submit(key)
            await last.list(key)
        await last.close()
    finally:
        await cluster.close()
    assert len(histories) == KEYS
    for key, history in histories.items():
        ids = tuple({op.answer for op in history if op.asked == "submit" and op.answer != UNKNOWN})
        whole = [Op(op.begun, op.done, (op.asked, ids), op.answer) for op in history]
        lines = "\n".join(map(str, sorted(history, key=lambda op: op.begun)))
        assert order_of(whole, one_task, None) is not None, f"{key}:\n{lines}"
