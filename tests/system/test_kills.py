"""Whatever is killed, whenever: nothing acknowledged is lost, and nothing recorded changes."""

import asyncio
import random
from typing import Any

import httpx
import pytest
from tests.system.fleet import READY_SECONDS, Agent, Server

TASKS = 500
PER_REQUEST = 5
SERVER_KILLS = 10
AGENT_KILLS = 5
ENDS = {"succeeded", "failed", "cancelled"}


def _spec(number: int) -> dict[str, Any]:
    """Every task has its own result; half of them do nothing, the others run for a while in an isolate."""
    retry = {"attempts": 50, "backoffSeconds": 0.1}
    if number % 2:
        return {"name": f"noop {number}", "type": "noop", "payload": {"input": number}, "retry": retry}
    code = "const end = Date.now() + 20; while (Date.now() < end); return input"
    return {"name": f"script {number}", "payload": {"sourceCode": code, "input": number}, "retry": retry}


class History:
    """What a client was told: which tasks were acknowledged, and the first end it saw of each."""

    def __init__(self, url: str) -> None:
        self.acknowledged: dict[str, int] = {}
        self.ends: dict[str, Any] = {}
        self.rewritten: list[tuple[Any, Any]] = []
        self._client = httpx.AsyncClient(base_url=url, timeout=10, trust_env=False)

    async def submit(self) -> None:
        """Submit everything, repeating each request under its key until it is acknowledged."""
        for first in range(0, TASKS, PER_REQUEST):
            numbers = range(first, first + PER_REQUEST)
            made = await self._insist(first, [_spec(number) for number in numbers])
            self.acknowledged |= {task["id"]: number for task, number in zip(made, numbers, strict=True)}

    async def _insist(self, first: int, specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        while True:
            try:
                answer = await self._client.post("/api/tasks", json=specs, headers={"Idempotency-Key": f"bulk {first}"})
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 201:
                made: list[dict[str, Any]] = answer.json()
                return made
            assert answer.status_code in {409, 503}, answer.text
            await asyncio.sleep(0.05)

    async def look(self) -> None:
        """Read all tasks; note first ends, and any that changed since."""
        try:
            for task in [task async for task in self._pages()]:
                if task["state"] in ENDS:
                    first = self.ends.setdefault(task["id"], task)
                    if first != task:
                        self.rewritten.append((first, task))
        except httpx.TransportError:
            return

    async def _pages(self) -> Any:
        url = "/api/tasks?limit=1000"
        while url:
            answer = await self._client.get(url)
            for task in answer.raise_for_status().json():
                yield task
            url = answer.links.get("next", {}).get("url", "")

    async def everything_ended(self) -> None:
        while set(self.ends) < set(self.acknowledged) or len(self.acknowledged) < TASKS:
            await self.look()
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        await self._client.aclose()

    async def result(self, task: str) -> dict[str, Any]:
        answer = await self._client.get(f"/api/tasks/{task}/result")
        found: dict[str, Any] = answer.raise_for_status().json()
        return found


async def _kill_everything(server: Server, agents: list[Agent], dice: random.Random) -> list[float]:
    """Kill and restart in a random order; the CPU seconds each start of the server took until it was ready."""
    kills: list[Server | Agent] = [server] * SERVER_KILLS + [agent for agent in agents for _ in range(AGENT_KILLS)]
    dice.shuffle(kills)
    ready: list[float] = []
    for victim in kills:
        await asyncio.sleep(dice.uniform(0.05, 0.5))
        await asyncio.to_thread(victim.kill)
        await asyncio.sleep(dice.uniform(0, 0.3))
        if isinstance(victim, Server):
            ready.append(await asyncio.to_thread(victim.start_and_wait))
        else:
            victim.start()
    return ready


@pytest.mark.anyio
@pytest.mark.timeout(240)
async def test_ten_kills_of_the_server_and_five_of_each_agent_lose_nothing(server: Server, agents: list[Agent]) -> None:
    seed = random.randrange(2**32)
    history = History(server.url)
    try:
        await _kill_and_compare(history, server, agents, seed)
    finally:
        await history.close()


async def _kill_and_compare(history: History, server: Server, agents: list[Agent], seed: int) -> None:
    watching = asyncio.create_task(history.everything_ended())
    submitting = asyncio.create_task(history.submit())
    ready = await _kill_everything(server, agents, random.Random(seed))
    await asyncio.wait_for(submitting, 60)
    await asyncio.wait_for(watching, 120)
    await history.look()

    assert len(ready) == SERVER_KILLS
    assert max(ready) < READY_SECONDS
    assert len(history.acknowledged) == TASKS, f"seed {seed}"
    assert set(history.ends) == set(history.acknowledged), f"lost or made up tasks, seed {seed}"
    assert not history.rewritten, f"seed {seed}"
    for task, number in history.acknowledged.items():
        found = await history.result(task)
        assert (found["state"], found["result"]) == ("succeeded", number), f"seed {seed}: {found}"
