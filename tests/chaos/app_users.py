"""Those who deploy, scale, go back, stop and start apps, and those who look at them; and what each is then to see."""

import asyncio
import contextlib
import random
from typing import Any

import httpx
from tests.chaos.app_sources import BAD, KINDS, bad, config_of, good

TIMEOUT_SECONDS = 10.0
AGAIN_SECONDS = 0.5
LOOKS_A_SECOND = 4.0
"""Requests to each app."""


class Deployed:
    """One app, and what the last change that was acknowledged makes of it. `label` is what it is to answer with,
    `possible` all that it may have answered with since all was as it should be."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.config = config_of(kind)
        self.is_stopped = False
        self.is_bad = False
        self.label = ""
        self.possible: set[str] = set()
        self.known: dict[int, str] = {}
        """The labels of releases that were live when all was settled."""
        self.serial = 0

    @property
    def scale(self) -> dict[str, int]:
        """Replicas by process."""
        scale: dict[str, int] = self.config["scale"]
        return scale

    def next_label(self) -> str:
        """A label that was never used."""
        self.serial += 1
        self.possible.add(f"{self.name}-{self.serial}")
        return f"{self.name}-{self.serial}"

    def settled(self, live: int) -> None:
        """All is as it should be: nothing older may answer from now on."""
        self.possible = {self.label}
        self.known[live] = self.label


class AppUsers:
    """Ask one URL. A change is repeated until it is acknowledged, since its outcome may be unknown."""

    def __init__(self, url: str, seed: int, prefix: str) -> None:
        self.apps = [Deployed(f"{prefix}-{kind}", kind) for kind in KINDS]
        self.asked: dict[str, int] = {}
        self.answers: dict[str, int] = {}
        self.wrong: list[str] = []
        self._dice = random.Random(seed)
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)

    async def close(self) -> None:
        """No more requests."""
        await self._http.aclose()

    async def create(self) -> None:
        """Each app's first release."""
        for app in self.apps:
            label = app.next_label()
            body = {"name": app.name, "type": "Web", "config": app.config, "files": good(app.kind, label)}
            await self._post("/api/clusters", body)
            app.label = label

    async def change(self) -> None:
        """One change of one app, as the dice fall; returns once it is acknowledged."""
        app = self._dice.choice(self.apps)
        if app.is_stopped:
            await self._start(app)
            return
        kinds = {"good": 5, "bad": 1, "scale": 3, "env": 2, "rollback": 2, "restart": 1, "stop": 1}
        what = self._dice.choices(list(kinds), list(kinds.values()))[0]
        self.asked[what] = self.asked.get(what, 0) + 1
        await getattr(self, f"_{what}")(app)

    async def _good(self, app: Deployed) -> None:
        label = app.next_label()
        body = {"files": good(app.kind, label), "config": app.config}
        await self._post(f"/api/clusters/{app.name}/releases", body)
        app.label, app.is_bad = label, False

    async def _bad(self, app: Deployed) -> None:
        if await self._is_under_way(app):
            return  # what stays live were nobody's guess
        await self._post(f"/api/clusters/{app.name}/releases", bad(app.kind, self._dice.choice(BAD), app.config))
        app.is_bad = True

    async def _scale(self, app: Deployed) -> None:
        scale = {"web": self._dice.randint(1, 3)}
        await self._post(f"/api/clusters/{app.name}/scale", scale)
        app.config["scale"] = app.config["scale"] | scale

    async def _env(self, app: Deployed) -> None:
        if app.is_bad:
            await self._good(app)
            return
        await self._ask("PUT", f"/api/clusters/{app.name}/env", {"COLOUR": f"{self._dice.random()}"})

    async def _rollback(self, app: Deployed) -> None:
        kept = {one["number"] for one in (await self.view(app))["releases"]}
        known = [number for number in app.known if number in kept]
        if not known:
            return
        number = self._dice.choice(known)
        app.possible.add(app.known[number])
        answer = await self._post(f"/api/clusters/{app.name}/rollback", {"release": number})
        if answer.status_code < 300:
            app.label, app.is_bad = app.known[number], False

    async def _restart(self, app: Deployed) -> None:
        await self._post(f"/api/clusters/{app.name}/restart")

    async def _stop(self, app: Deployed) -> None:
        await self._post(f"/api/clusters/{app.name}/stop")
        app.is_stopped = True

    async def _start(self, app: Deployed) -> None:
        await self._post(f"/api/clusters/{app.name}/start")
        app.is_stopped = False

    async def _is_under_way(self, app: Deployed) -> bool:
        return any(one["state"] == "pending" for one in (await self.view(app))["releases"])

    async def nodes(self) -> list[dict[str, Any]]:
        """As the API shows them."""
        found: list[dict[str, Any]] = (await self._ask("GET", "/api/nodes")).json()
        return found

    async def put_node(self, node: str, verb: str) -> None:
        """`drain`, `resume` or `block` a node."""
        self.asked[verb] = self.asked.get(verb, 0) + 1
        await self._post(f"/api/nodes/{node}/{verb}")

    async def view(self, app: Deployed) -> dict[str, Any]:
        """An app as the API shows it."""
        found: dict[str, Any] = (await self._ask("GET", f"/api/clusters/{app.name}")).json()
        return found

    async def log(self, app: Deployed) -> list[dict[str, Any]]:
        """The newest of an app's log."""
        answer = await self._ask("GET", f"/api/clusters/{app.name}/logs")
        lines: list[dict[str, Any]] = answer.raise_for_status().json()
        return lines

    async def _post(self, path: str, body: object = None) -> httpx.Response:
        return await self._ask("POST", path, body if body is not None else {})

    async def _ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        unknown = False
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self._http.request(method, path, json=body)
                if answer.status_code < 300 or (answer.status_code == 409 and unknown):
                    return answer
                if answer.status_code == 409 and path.endswith("/rollback"):
                    return answer
                if answer.status_code < 500 and answer.status_code not in (408, 429):
                    raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
            unknown = True
            await asyncio.sleep(AGAIN_SECONDS)

    async def look(self) -> None:
        """Ask every app again and again, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for app in self.apps:
                group.create_task(self._look_at(app))

    async def _look_at(self, app: Deployed) -> None:
        while True:
            label = await self.answer(app)
            kind = label if label.startswith(("no answer", "status")) else "answered"
            self.answers[kind] = self.answers.get(kind, 0) + 1
            await asyncio.sleep(1 / LOOKS_A_SECOND)

    async def answer(self, app: Deployed) -> str:
        """The label an app answers with, or what came instead; whatever is wrong is noted."""
        before = set(app.possible)
        headers = {"Host": f"{app.name}.apps.localhost"}
        try:
            answer = await self._http.get("/", headers=headers)
        except httpx.TransportError as error:
            return f"no answer: {type(error).__name__}"
        if answer.status_code != 200:
            return f"status {answer.status_code}"
        label = answer.text if app.kind == "static" else answer.json()["label"]
        if label not in before | app.possible:
            self.wrong.append(f"{app.name} answered {label}, and it may be {', '.join(sorted(app.possible))}")
        return str(label)
