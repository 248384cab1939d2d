"""Those who submit, wait, cancel and read again; whatever they ask and are told goes into the history."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import httpx
from tests.chaos.history import ENDS, History, seen_in

TIMEOUT_SECONDS = 5.0
WAIT_SECONDS = 2.0
PAUSE_SECONDS = 0.1
READERS = 8
AGAIN = 500
"""So many tasks that ended last are read again and again."""
SUBMITTERS = 4
WORK = """
await new Promise(done => setTimeout(done, input.ms));
if (input.fails) throw new Error("as asked");
return {task: anchor.task, attempt: anchor.attempt, nonce: Math.random()};
"""
SUCCEEDS, FAILS = frozenset({"succeeded"}), frozenset({"failed"})


def spec_of(name: str, dice: random.Random) -> tuple[dict[str, Any], frozenset[str]]:
    """A task and the ends that are right for it. A script says which attempt made its result, and draws a number, so
    that no two executions give the same."""
    retry = {"attempts": 100, "backoffSeconds": 0.02}
    match dice.choices(["noop", "script", "slow", "fails"], [60, 25, 10, 5])[0]:
        case "noop":
            spec = {"type": "noop", "payload": {"input": name}}
        case "script":
            spec = {"payload": {"sourceCode": WORK, "input": {"ms": dice.randrange(10)}}}
        case "slow":
            spec = {"payload": {"sourceCode": WORK, "input": {"ms": 300}}}
        case _:
            fails = {"attempts": 2, "backoffSeconds": 0.02}
            spec = {"payload": {"sourceCode": WORK, "input": {"ms": 0, "fails": True}}}
            return {"name": name, "retry": fails, **spec}, FAILS
    return {"name": name, "retry": retry, **spec}, SUCCEEDS


class Clients:
    """Asks one URL; every request may go unanswered, and those that must succeed are repeated until they do."""

    def __init__(self, url: str, history: History, seed: int) -> None:
        self.expected: dict[str, frozenset[str]] = {}
        self.ids: list[str] = []
        self._ended: deque[str] = deque(maxlen=AGAIN)
        self.refused: dict[str, int] = {}
        self._history = history
        self._dice = random.Random(seed)
        self._to_follow: asyncio.Queue[str] = asyncio.Queue()
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=16)
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False, limits=limits)

    async def submit(self, tasks: int, seconds: float) -> None:
        """Submit so many tasks within the time, in requests of 1 to 10."""
        loop = asyncio.get_running_loop()
        began, made, number = loop.time(), 0, 0
        places = asyncio.Semaphore(SUBMITTERS)
        async with asyncio.TaskGroup() as group:
            while made < tasks:
                await asyncio.sleep(began + seconds * made / tasks - loop.time())
                size = min(self._dice.choice([1, 1, 2, 5, 10]), tasks - made)
                names = [f"s{number}/{at}" for at in range(size)]
                specs = [self._spec(name) for name in names]
                await places.acquire()
                group.create_task(self._submit_once(f"s{number}", names, specs)).add_done_callback(
                    lambda _: places.release()
                )
                made += size
                number += 1

    def _spec(self, name: str) -> dict[str, Any]:
        spec, self.expected[name] = spec_of(name, self._dice)
        return spec

    async def _submit_once(self, key: str, names: list[str], specs: list[dict[str, Any]]) -> None:
        """The same request under one key until it is acknowledged; now and then from two clients at once."""
        twins = ["anna", "bert"] if self._dice.random() < 0.1 else ["anna"]
        body = specs[0] if len(specs) == 1 else specs
        await asyncio.gather(*(self._insist(who, key, names, body) for who in twins))

    async def _insist(self, who: str, key: str, names: list[str], body: object) -> None:
        while True:
            self._history.note(who, "submit", key=key, names=names)
            answer = await self._ask(who, "POST", "/api/tasks", key=key, json=body, headers={"Idempotency-Key": key})
            if answer is not None and answer.status_code == 201:
                made = answer.json()
                ids = [task["id"] for task in (made if isinstance(made, list) else [made])]
                self._history.note(who, "accepted", key=key, names=names, ids=ids)
                if who == "anna":
                    self.ids.extend(ids)
                    for task in ids:
                        if self._dice.random() < 0.5:
                            self._to_follow.put_nowait(task)
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def attend(self) -> None:
        """Wait for ends, cancel, and read again what has ended, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(READERS):
                group.create_task(self._follow(f"reader{number}"))
            group.create_task(self._read_again("historian"))
            group.create_task(self._cancel_some("canceller"))

    async def _follow(self, who: str) -> None:
        while True:
            task = await self._to_follow.get()
            state = await self.read(who, task, wait=WAIT_SECONDS)
            if state not in ENDS:
                self._to_follow.put_nowait(task)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _read_again(self, who: str) -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            if self._ended:
                await self.read(who, self._dice.choice(self._ended))

    async def _cancel_some(self, who: str) -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS * 5)
            if self.ids:
                task = self._dice.choice(self.ids[-20:])
                self._history.note(who, "cancel", task=task)
                answer = await self._ask(who, "POST", f"/api/tasks/{task}/cancel", task=task)
                if answer is not None and answer.status_code == 202:
                    self._history.note(who, "cancel taken", task=task, seen=seen_in(answer.json()))
                elif answer is not None and answer.status_code == 409:
                    self._history.note(who, "cancel late", task=task)

    async def read(self, who: str, task: str, *, wait: float = 0) -> str:
        """The state of a task as shown now, or after it ended within `wait` seconds; empty without an answer."""
        way = f"/api/tasks/{task}/result?wait={wait:g}" if wait else f"/api/tasks/{task}"
        answer = await self._ask(who, "GET", way, task=task)
        if answer is None or answer.status_code != 200:
            if answer is not None and answer.status_code == 404:
                self._history.note(who, "gone", task=task)
            return ""
        seen = seen_in(answer.json())
        self._history.note(who, "read", task=task, seen=seen)
        if seen.state in ENDS:
            self._ended.append(task)
        return seen.state

    async def _ask(self, who: str, method: str, way: str, *, key: str = "", task: str = "", **more: Any) -> Any:
        """The answer; None without one. Answers that are no success and no 404 or 409 are noted as refused."""
        try:
            answer = await self._http.request(method, way, **more)
        except httpx.TransportError as error:
            self._history.note(who, "unanswered", key=key, task=task, note=f"{method} {type(error).__name__}")
            return None
        if answer.status_code >= 400 and answer.status_code not in {404}:
            problem = answer.json()
            code = f"{answer.status_code} {problem['code']}"
            self.refused[code] = self.refused.get(code, 0) + 1
            self._history.note(who, "refused", key=key, task=task, note=code)
        return answer

    async def everything_ended(self) -> None:
        """Returns when no task is left that is not over."""
        left = await self._unfinished()
        while left != 0:
            await asyncio.sleep(PAUSE_SECONDS)
            left = await self._unfinished()

    async def _unfinished(self) -> int | None:
        """How many tasks are not over yet, None without an answer."""
        answer = await self._ask("judge", "GET", "/api/queue/stats")
        if answer is None or answer.status_code != 200:
            return None
        stats = answer.json()["tasks"]
        return int(stats["waiting"] + stats["active"] + stats["delayed"])

    async def truth(self) -> list[dict[str, Any]]:
        """Every task there is, whole. Raises where it cannot be had: by now nothing is faulty any more."""
        places = asyncio.Semaphore(READERS)

        async def one(task: str) -> dict[str, Any]:
            async with places:
                answer = await self._http.get(f"/api/tasks/{task}")
                view: dict[str, Any] = answer.raise_for_status().json()
                return view

        return await asyncio.gather(*[one(task) async for task in self._everything()])

    async def _everything(self) -> AsyncIterator[str]:
        way = "/api/tasks?limit=1000"
        while way:
            answer = await self._http.get(way)
            for task in answer.raise_for_status().json():
                yield task["id"]
            way = answer.links.get("next", {}).get("url", "")

    async def close(self) -> None:
        """Ask no more."""
        with contextlib.suppress(httpx.TransportError):
            await self._http.aclose()
