"""A walk past everything a server writes down. It may die on the way, once; whoever walks goes on where they were."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
from tests.failpoints.engines import EngineSet
from tests.failpoints.launch import Died, Server
from tests.failpoints.machine import Machine

from anchor.core.audit import Entry, first_break
from anchor.failpoints import EXIT_CODE

PATIENCE_SECONDS = 30.0
ENDS = {"succeeded", "failed", "cancelled"}
LEASE_SECONDS, HEARTBEAT_SECONDS = 1.5, 0.3


class Lost(AssertionError):
    """Something acknowledged is not as it was acknowledged."""


def spec(do: str, value: object, label: str, **more: object) -> dict[str, Any]:
    """A task that asks a machine to do something."""
    return {
        "name": do,
        "type": "noop",
        "payload": {"input": {"do": do, "value": value}},
        "requirements": {"labels": [label]},
        "retry": {"attempts": 50, "backoffSeconds": 0.05},
        **more,
    }


Step = Callable[[Any], None]
"""A part of a tour, which may be taken again after a death on the way."""


class Tour:
    """One server on one data directory, two machines, and all that its client was told."""

    def __init__(self, directory: Path, engines: EngineSet, port: int, **server: Any) -> None:
        self.directory = directory
        self.engines = engines
        self.settings = engines.settings(directory / "data")
        self.server = Server(
            directory,
            port,
            lease_seconds=LEASE_SECONDS,
            heartbeat_seconds=HEARTBEAT_SECONDS,
            **self.settings,
            **server,
        )
        self.armed = ""
        self.died = False
        self.told: dict[str, dict[str, Any]] = {}
        """Acknowledged tasks: their specs."""
        self.requests: dict[str, tuple[Any, list[str]]] = {}
        """By Idempotency-Key: what was sent, and the ids it got."""
        self.ends: dict[str, dict[str, Any]] = {}
        """The first end that was seen of each task."""
        self.old: set[str] = set()
        """What ended and was then left to retention."""
        self.apps: dict[str, str] = {}
        """Acknowledged apps that are to be there: their ids, by name."""
        self.checks: set[Step] = set()
        """What else has to be well at the end."""
        self._machines: dict[str, Machine] = {}

    # --- what a step is made of

    def ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        """An answer other than "try again"."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self.server.ask(method, path, **what)
            if answer.status_code not in {409, 503} or "retry-after" not in answer.headers:
                return answer
            assert time.monotonic() < until, answer.text
            time.sleep(0.05)

    def submit(self, key: str, body: Any) -> list[str]:
        """Submit under a key; the ids."""
        answer = self.ask("POST", "/api/tasks", json=body, headers={"Idempotency-Key": key})
        if answer.status_code != 201:
            raise Lost(f"{key} was refused: {answer.status_code} {answer.text}")
        specs = body if isinstance(body, list) else [body]
        made = answer.json() if isinstance(body, list) else [answer.json()]
        ids = [task["id"] for task in made]
        before = self.requests.setdefault(key, (body, ids))[1]
        if before != ids:
            raise Lost(f"{key} got {before} first and {ids} now")
        self.told |= dict(zip(ids, specs, strict=True))
        return ids

    def task(self, task: str) -> dict[str, Any]:
        answer = self.ask("GET", f"/api/tasks/{task}")
        if answer.status_code != 200:
            raise Lost(f"{task} was acknowledged and is absent: {answer.text}")
        view: dict[str, Any] = answer.json()
        if view["state"] in ENDS:
            first = self.ends.setdefault(task, view)
            if (first["state"], first.get("result")) != (view["state"], view.get("result")):
                raise Lost(f"{task} was rewritten: {first} became {view}")
        return view

    def until(self, tasks: Sequence[str], *states: str) -> None:
        """Wait for tasks to be in one of these states."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        left = list(tasks)
        while left:
            view = self.task(left[-1])
            if view["state"] in states:
                left.pop()
                continue
            if time.monotonic() > deadline:
                raise Lost(f"{left[-1]} is stuck: {view}")
            time.sleep(0.02)

    def until_tried(self, task: str) -> None:
        """Wait until an attempt at a task is over."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not any(attempt["outcome"] for attempt in self.task(task)["attempts"]):
            if time.monotonic() > deadline:
                raise Lost(f"{task} is not tried: {self.task(task)}")
            time.sleep(0.02)

    def workable(self) -> list[str]:
        """The tasks that end by themselves once there is a machine for them."""
        return [
            task
            for task, wish in self.told.items()
            if wish["requirements"]["labels"] != ["nowhere"] and wish["name"] != "hold"
        ]

    def machine(self, label: str, *more: str, slots: int = 4, owner: str = "", lies: bool = False) -> Machine:
        """The machine with this label (and `more` of them), joined and connected."""
        if label not in self._machines:
            self._machines[label] = self._joined(label, *more, slots=slots, owner=owner, lies=lies)
        self._machines[label].connect()
        return self._machines[label]

    def _joined(self, *labels: str, owner: str, **how: Any) -> Machine:
        key = ""
        if owner:
            answer = self.ask("POST", "/api/keys", json={"name": owner, "role": "operator"})
            key = answer.raise_for_status().json()["token"]
        try:
            return Machine(self.server, *labels, key=key, **how)
        except httpx.TransportError:
            raise self.server.explained() from None

    def disconnect(self, *labels: str) -> None:
        for label in labels or list(self._machines):
            if label in self._machines:
                self._machines[label].disconnect()

    def restart(
        self, how: signal.Signals = signal.SIGTERM, meanwhile: Callable[[], None] | None = None, **settings: Any
    ) -> None:
        """End the server, let something happen, start it again."""
        self.seen_to_die(self.server.end(how), expected=0 if how is signal.SIGTERM else -how)
        if meanwhile is not None:
            meanwhile()
        self.start(**settings)

    def start(self, **settings: Any) -> None:
        """Start the server; once more, unarmed, where it dies of its failpoint."""
        try:
            self.server.start(failpoint=self.failpoint, **settings)
        except Died as death:
            self.seen_to_die(death.args[0])
            self.server.start(**settings)

    def come_back(self) -> None:
        """Start again what died."""
        self.start()

    @property
    def failpoint(self) -> str:
        """What the next process that may die is told."""
        return "" if self.died else self.armed

    def seen_to_die(self, code: int, expected: int | None = None) -> None:
        """Take note of an exit code; one that is neither the failpoint's nor the expected one is an error."""
        if code == EXIT_CODE and self.failpoint:
            self.died = True
        elif code != expected:
            raise Lost(f"it ended with {code}:\n{self.server.said()}")

    # --- the walk

    def walk(self, steps: Sequence[Step]) -> None:
        """Take the steps until the server died, and that step again to its end; then look whether all is well."""
        self.start()
        for step in steps:
            try:
                step(self)
            except Died as death:
                self.seen_to_die(death.args[0])
                self.come_back()
                step(self)
            if self.died:
                break

    def close(self) -> None:
        """Leave nothing running."""
        self.disconnect()
        if self.server.alive:
            self.server.end(signal.SIGKILL)
        self.server.client.close()

    # --- at the end

    def check(self) -> None:
        """Everything acknowledged is there, ended, and recorded once; repeats get the same ids; nothing is stuck."""
        self.everybody_works()
        for task, wish in self.told.items():
            if wish["requirements"]["labels"] == ["nowhere"] and task not in self.ends:
                self.ask("POST", f"/api/tasks/{task}/cancel")
        self.until(list(self.told), *ENDS)
        for task, wish in self.told.items():
            _check_end(self.task(task), wish)
        self._check_repeats()
        self._check_list()
        for check in self.checks:
            check(self)
        for machine in self._machines.values():
            assert machine.trouble == []
        health = self.ask("GET", "/health").json()
        assert health["status"] == "ok", health
        mistakes = self.server.mistakes()
        assert mistakes == [], mistakes
        self.disconnect()
        self.server.end(signal.SIGKILL)
        asyncio.run(self._check_truth())

    def everybody_works(self) -> None:
        """Have nodes that take and finish whatever was submitted."""
        for machine in self._machines.values():
            machine.connect()
        for label in {wish["requirements"]["labels"][0] for wish in self.told.values()} - {"nowhere"}:
            machine = self.machine(label)
            machine.let_go = True
            self.ask("POST", f"/api/nodes/{machine.puppet.node}/resume")

    def _check_repeats(self) -> None:
        for key, (body, ids) in self.requests.items():
            answer = self.ask("POST", "/api/tasks", json=body, headers={"Idempotency-Key": key})
            again = [task["id"] for task in (answer.json() if isinstance(body, list) else [answer.json()])]
            if again != ids or answer.headers.get("idempotent-replayed") != "true":
                raise Lost(f"{key} stands for {ids}; its repeat got {again}")

    def _check_list(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self.ask("GET", "/api/tasks?limit=1000")
            tasks = {task["id"]: task["state"] for task in answer.json()}
            stuck = [task for task, state in tasks.items() if state not in ENDS]
            if not stuck:
                break
            if time.monotonic() > deadline:
                raise Lost(f"stuck: {[self.task(task) for task in stuck]}")
            time.sleep(0.05)  # tasks whose answer was cut off by the crash
        assert int(answer.headers["x-total-count"]) == len(tasks)
        stats = self.ask("GET", "/api/queue/stats").json()["tasks"]
        assert (stats["waiting"], stats["active"], stats["delayed"]) == (0, 0, 0), stats
        for state, counted in (("succeeded", "completed"), ("failed", "failed"), ("cancelled", "cancelled")):
            assert stats[counted] == list(tasks.values()).count(state), (stats, tasks)

    async def _check_truth(self) -> None:
        async with self.engines.store(self.server.data) as store:
            entries: list[Entry] = []
            while page := await store.audit_page(entries[-1].number if entries else None, 1000):
                entries += page
            assert first_break(reversed(entries)) is None, entries
            assert [entry.number for entry in entries] == list(range(len(entries), 0, -1))


def _check_end(view: dict[str, Any], wish: dict[str, Any]) -> None:
    numbers = [attempt["number"] for attempt in view["attempts"]]
    assert numbers == list(range(1, len(numbers) + 1)), view
    succeeded = [attempt for attempt in view["attempts"] if attempt["outcome"] == "succeeded"]
    if view["state"] == "cancelled":
        assert wish["requirements"]["labels"] == ["nowhere"] or wish["name"] == "hold", view
        assert succeeded == []
        return
    if view["state"] != "succeeded" or len(succeeded) != 1:
        raise Lost(f"not one success: {view}")
    if wish["name"] == "big":
        assert view["resultBlob"], view
    elif wish["name"] == "whole":
        assert view["result"] == wish["payload"]["input"], view
    else:
        assert view["result"] == wish["payload"]["input"]["value"], view
