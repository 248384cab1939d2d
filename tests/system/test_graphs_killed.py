"""A server and its agents are killed over and over while graphs run: each comes to the end it would have come to."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx
import pytest
from tests.system.fleet import READY_SECONDS, Agent, Server

from anchor.failpoints import EXIT_CODE

STEPS = 200
SERVER_KILLS, AGENT_KILLS = 10, 5
ITEMS = 100
MODULUS = 10_007
OVER = {"succeeded", "failed", "cancelled"}
RETRY = {"attempts": 50, "backoffSeconds": 0.1}
WORDS = ["the", "cat", "and", "the", "dog", "and", "the", "bird", "saw", "a", "cat"] * 10

CODE = """
console.log("begun", Date.now())
const end = Date.now() + 15
while (Date.now() < end);
let sum = 0
for (const value of Object.values(inputs)) sum += value
return (anchor.env.NUMBER * 7 + sum * 31) % 10007
"""
ITEM = "console.log('begun', Date.now()); return input * input + inputs.%s"


class Drawn:
    """A random graph of steps that reckon with numbers, then a step over a list, and what comes of all of them."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        self.parents = {
            number: dice.sample(range(max(0, number - 25), number), min(number, dice.randint(0, 3)))
            for number in range(STEPS)
        }
        self.values: dict[int, int] = {}
        for number, parents in self.parents.items():
            self.values[number] = (number * 7 + sum(self.values[parent] for parent in parents) * 31) % MODULUS
        last = STEPS - 1
        self.items = [(self.values[last] + item) % MODULUS for item in range(ITEMS)]
        self.squares = [item * item + self.values[last] for item in self.items]
        self.sum = sum(self.squares)

    def graph(self) -> dict[str, Any]:
        steps = [
            {
                "id": f"s{number}",
                "dependencies": [f"s{parent}" for parent in parents],
                "payload": {"sourceCode": CODE, "env": {"NUMBER": str(number)}},
                "retry": RETRY,
            }
            for number, parents in self.parents.items()
        ]
        last = f"s{STEPS - 1}"
        make = f"return Array.from({{length: {ITEMS}}}, (_, item) => (inputs.{last} + item) % {MODULUS})"
        steps += [
            {"id": "list", "dependencies": [last], "payload": {"sourceCode": make}, "retry": RETRY},
            {
                "id": "squares",
                "type": "parallel",
                "items": {"step": "list"},
                "dependencies": [last],
                "payload": {"sourceCode": ITEM % last},
                "retry": RETRY,
            },
            {
                "id": "sum",
                "dependencies": ["squares"],
                "payload": {"sourceCode": "return inputs.squares.reduce((a, b) => a + b)"},
                "retry": RETRY,
            },
        ]
        return {"name": "random", "steps": steps}


JOB = {
    "name": "words",
    "input": {"list": WORDS},
    "map": {"sourceCode": "function map(word) { return [[word, 1]] }"},
    "reduce": {"sourceCode": "function reduce(word, counts) { return counts.reduce((a, b) => a + b) }"},
    "retry": RETRY,
}


class Client:
    """Asks until it is answered: a server that is away comes back."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=10, trust_env=False)

    async def ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        while True:
            try:
                answer = await self._http.request(method, path, **how)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code not in {409, 503} or "retry-after" not in answer.headers:
                return answer.raise_for_status()
            await asyncio.sleep(0.05)

    async def get(self, path: str) -> Any:
        return (await self.ask("GET", path)).json()

    async def schedule(self, path: str, body: dict[str, Any], key: str) -> str:
        run: str = (await self.ask("POST", path, json=body, headers={"Idempotency-Key": key})).json()["id"]
        return run

    async def over(self, run: str, path: str = "/api/dags") -> dict[str, Any]:
        """The run at its end."""
        version = ""
        while True:
            view: dict[str, Any] = await self.get(f"{path}/{run}?wait=5&version={version}")
            if view["state"] in OVER:
                return view
            version = view["version"]

    async def until_done(self, run: str, steps: int) -> None:
        """Wait until so many steps of a run have ended."""
        done, version = -1, ""
        while done < steps:
            view = await self.get(f"/api/dags/{run}?wait=5&version={version}")
            done = sum(count for state, count in view["counts"].items() if state in OVER)
            version = view["version"]

    async def tasks(self) -> list[dict[str, Any]]:
        """Every task there is."""
        found: list[dict[str, Any]] = []
        path = "/api/tasks?limit=1000"
        while path:
            answer = await self.ask("GET", path)
            found += answer.json()
            path = answer.links.get("next", {}).get("url", "")
        return found

    async def close(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def asking(server: Server) -> AsyncIterator[Client]:
    client = Client(server.url)
    try:
        yield client
    finally:
        await client.close()


async def _kill_on_the_way(
    client: Client, run: str, server: Server, agents: list[Agent], dice: random.Random
) -> list[float]:
    """Kill somebody whenever some more steps are done; the CPU seconds of each start of the server."""
    kills: list[Server | Agent] = [server] * SERVER_KILLS + [agents[at % 2] for at in range(AGENT_KILLS)]
    dice.shuffle(kills)
    ready: list[float] = []
    for turn, victim in enumerate(kills):
        await client.until_done(run, STEPS * turn // len(kills))
        await asyncio.sleep(dice.uniform(0, 0.05))
        await asyncio.to_thread(victim.kill)
        if isinstance(victim, Server):
            ready.append(await asyncio.to_thread(victim.start_and_wait))
        else:
            victim.start()
    return ready


@pytest.mark.anyio
@pytest.mark.timeout(240)
async def test_8_a_graph_of_200_steps_comes_to_its_end_whoever_is_killed_on_the_way(
    server: Server, agents: list[Agent]
) -> None:
    seed = random.randrange(2**32)
    drawn = Drawn(seed)
    async with asking(server) as client:
        run = await client.schedule("/api/dags", drawn.graph(), "random")
        ready = await _kill_on_the_way(client, run, server, agents, random.Random(seed))
        view = await asyncio.wait_for(client.over(run), 120)
        assert view["state"] == "succeeded", f"seed {seed}: {view}"
        assert len(ready) == SERVER_KILLS
        assert max(ready) < READY_SECONDS
        assert await client.schedule("/api/dags", drawn.graph(), "random") == run
        await _check_steps(client, run, drawn, f"seed {seed}")


async def _check_steps(client: Client, run: str, drawn: Drawn, seed: str) -> None:
    tasks = [task for task in await client.tasks() if task["dagId"] == run]
    assert Counter(task["step"] for task in tasks) == Counter(range(STEPS + 3)), f"{seed}: a step has not one task"
    by_step = {task["step"]: task for task in tasks}
    answers = [await client.get(f"/api/tasks/{by_step[step]['id']}/result") for step in range(STEPS + 3)]
    assert {answer["state"] for answer in answers} == {"succeeded"}, seed
    results = [answer["result"] for answer in answers]
    assert results == [*drawn.values.values(), drawn.items, drawn.squares, drawn.sum], seed
    ended = {step: _ms(task["finishedAt"]) for step, task in by_step.items()}
    for number, parents in drawn.parents.items():
        begun = await _begun(client, by_step[number]["id"])
        assert begun, f"{seed}: step {number} succeeded and never ran"
        early = [parent for parent in parents if min(begun) < ended[parent]]
        assert not early, f"{seed}: step {number} ran before {early} had succeeded"


async def _begun(client: Client, task: str) -> list[int]:
    """When each execution of a task that was heard of began, as its node's clock said it."""
    lines = (await client.ask("GET", f"/api/tasks/{task}/logs")).text
    return [int(at) for at in re.findall(r"begun (\d+)", lines)]


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


DEATHS = {
    "submit.inserted": "the map's head is written, its items are not",
    "follow.taken:2": "items have ended and nobody has looked at them",
    "items.gathered": "the map's end is written and not followed",
    "graphs.finished": "the end of the job is written and told to nobody",
}
"""Where the server of one job dies, one after the other."""


@pytest.mark.anyio
@pytest.mark.timeout(120)
async def test_a_shuffle_goes_on_after_a_death_between_any_two_of_its_writes(
    server: Server, agents: list[Agent]
) -> None:
    async with asking(server) as client:
        server.kill()
        server.start_and_wait(failpoint=next(iter(DEATHS)))
        for agent in agents:
            await asyncio.to_thread(agent.wait_until_online)
        scheduled = asyncio.create_task(client.schedule("/api/mapreduce", JOB, "words"))
        for what, after in zip(DEATHS.values(), [*list(DEATHS)[1:], ""], strict=True):
            assert await asyncio.to_thread(server.wait) == EXIT_CODE, what
            server.start(failpoint=after)  # it may die before it is ready
        run = await scheduled
        view = await asyncio.wait_for(client.over(run, "/api/mapreduce"), 60)
        assert view["state"] == "succeeded", view
        assert view["result"]["result"] == sorted([word, count] for word, count in Counter(WORDS).items())
        heads = [task["id"] for task in await client.tasks() if task["dagId"] == run and task["step"] is not None]
        assert sorted(heads) == sorted(phase["taskId"] for phase in view["phases"])
