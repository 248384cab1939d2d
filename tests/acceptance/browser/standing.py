"""A fleet that stands still: a real server with something of everything, to the same millisecond each time.

The clock goes on when it is told to, from one thing that happens to the next, and stands still from then on.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.acceptance.browser.standing_machines import FEATURES, NOW_MS, PATIENCE_SECONDS, Machine, StandingServer

from anchor.core.progress import progress_text
from anchor.wire.link import Assignment, Renewed

SECOND_MS = 1000
BROKEN = "const ledger = null;\nreturn ledger.rows.length;"
PRIMES = """
const { to } = input;
const found = [];
for (let n = 2; n < to; n += 1) if (found.every((prime) => n % prime)) found.push(n);
console.log("primes", found.length);
return found.length;
"""
MATMUL = "for (let block = 1; block <= 600; block += 1) multiply(block);"
NOWHERE = {"requirements": {"labels": ["gpu:a100"]}}
HERE = {"requirements": {"labels": ["site:Porto", "for:reports"]}}
NIGHTLY = {
    "name": "nightly-report",
    "tasks": [
        {"id": "fetch", "payload": {"sourceCode": "return [3, 1, 2]"}, **HERE},
        {"id": "clean", "dependencies": ["fetch"], "payload": {"sourceCode": "return 1"}, **HERE},
        {"id": "enrich", "dependencies": ["fetch"], "payload": {"sourceCode": "return 2"}, **HERE},
        {
            "id": "convert",
            "dependencies": ["fetch"],
            "payload": {"sourceCode": BROKEN},
            "retry": {"attempts": 1},
            **HERE,
        },
        {"id": "verify", "dependencies": ["clean", "enrich"], "payload": {"sourceCode": "return true"}, **HERE},
        {"id": "publish", "dependencies": ["verify", "convert"], "payload": {"sourceCode": "return 'out'"}, **HERE},
    ],
}
SITE = {"index.html": "<h1>Tides of today</h1>\n", "style.css": "h1 { font-style: italic }\n"}
WORK = ("primes", "resize", "thumbs", "tide-table")


class Standing:
    """The server, six machines of three sites, one of which is lost and one of which cheats, and their work."""

    def __init__(self, directory: Path) -> None:
        self.server = StandingServer(directory)
        self.machines: dict[str, Machine] = {}
        self.ids: dict[str, str] = {}

    @property
    def url(self) -> str:
        return self.server.url

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.server.client.post(path, json=body).raise_for_status().json()
        return answer

    def submit(self, name: str, code: str, *, to: int = 0, **more: Any) -> str:
        payload = {"sourceCode": code, "input": {"to": to}}
        task: str = self.post("/api/tasks", name=name, payload=payload, **more)["id"]
        return task

    def on(self, machine: str, name: str, code: str = PRIMES, **more: Any) -> tuple[str, Assignment]:
        """A task that this machine has taken."""
        more = {"retry": {"attempts": 1}, **more}
        task = self.submit(name, code, requirements={"labels": [f"only:{machine}"]}, **more)
        [item] = self.machines[machine].takes()
        return task, item

    def seed(self) -> None:
        """Some of everything, from an hour ago till now."""
        self.ago(3600)
        self.server.start()
        self._gather()
        self._deploy()
        self._beat(2_400)
        self._beat(1_210)
        self._run()
        self._disagree()
        followed = self._begin_long_ones()
        self._work_off()
        self.ago(0)
        ferrol = self.machines["ferrol"]
        ferrol.tells(followed, 1, *(f"block {block}/600 ok\n" for block in range(1, 401)), every_ms=SECOND_MS)
        ferrol.tells(followed, 401, progress_text(400 / 600, "multiplying"), stream="progress")
        self._beat(0)

    def _beat(self, seconds: float) -> None:
        """All machines are heard of."""
        self.ago(seconds)
        for machine in self.machines.values():
            machine.beats()
        for machine in self.machines.values():
            machine.session.next(Renewed)

    def ago(self, seconds: float) -> None:
        """It is so long before the end now."""
        self.server.to(NOW_MS - round(seconds * SECOND_MS))

    def end(self) -> None:
        for machine in self.machines.values():
            machine.session.close()
        self.server.end()

    def _gather(self) -> None:
        """The machines join; the last one is not heard from again."""
        lisbon, porto = "site:Lisbon", "site:Porto"
        for machine in (
            Machine(self.server, "maria", lisbon, "for:checks"),
            Machine(self.server, "joana", lisbon, "for:checks", cpu="Core i7-8700", ram=32.0),
            Machine(self.server, "uni-porto", porto, "for:reports", slots=4, cores=32, ram=64.0, cpu="EPYC 7302P"),
            Machine(
                self.server,
                "ferrol",
                "site:Ferrol",
                slots=4,
                features=("apps", *FEATURES),
                cores=4,
                ram=8.0,
                cpu="Core i5-6500",
            ),
            Machine(self.server, "eve", porto, "for:checks", os="Windows", cpu="Core i9-9900K"),
        ):
            self.machines[machine.name] = machine
        lost = Machine(self.server, "old-laptop", "site:Ferrol", cores=2, ram=4.0, cpu="Core i3-4005U")
        self.ago(3400)
        lost.session.close()
        self.ids["node"] = self.machines["ferrol"].node

    def _deploy(self) -> None:
        """An app that is live."""
        self.ago(3000)
        small = {"ram": "128MB", "cpu": 0.5}
        self.ids["app"] = self.post("/api/clusters", name="tides", type="Web", files=SITE, config=small)["id"]
        ferrol = self.machines["ferrol"]
        items = ferrol.session.hosts()
        self.ago(2990)
        ferrol.hosting(*items)
        until(lambda: self.get(f"/api/clusters/{self.ids['app']}")["state"] == "running")

    def _run(self) -> None:
        """A run of a graph, one step of which fails."""
        porto = self.machines["uni-porto"]
        self.ago(1200)
        self.ids["run"] = self.post("/api/dags", **NIGHTLY)["id"]
        [fetch] = porto.takes()
        self.ago(1192)
        porto.ends(porto.took(fetch, 7.9, [3, 1, 2]))
        clean, convert, enrich = porto.takes(3)
        self.ago(1189)
        porto.ends(porto.took(convert, 2.8, "Cannot read properties of null (reading 'rows')", "user_error"))
        self.ago(1180)
        porto.ends(porto.took(clean, 11.7, 1))
        self.ago(1171)
        porto.ends(porto.took(enrich, 20.6, 2))
        [verify] = porto.takes()
        self.ago(1160)
        porto.ends(porto.took(verify, 10.8, True))
        until(lambda: self.get(f"/api/dags/{self.ids['run']}")["state"] == "failed")

    def _disagree(self) -> None:
        """Three machines give an answer, one of them another one."""
        self.ago(600)
        checked = {"verify": {"policy": "quorum", "copies": 3, "agree": 2}, "requirements": {"labels": ["for:checks"]}}
        task = self.submit("prime-finder", PRIMES, to=2100, **checked)
        for seconds, name, value in ((1, "eve", -42), (4, "maria", 317), (5, "joana", 317)):
            machine = self.machines[name]
            [item] = machine.takes()
            self.ago(600 - seconds)
            machine.ends(machine.took(item, seconds - 0.2, value))
        self.server.client.get(f"/api/tasks/{task}/result", params={"wait": 20}).raise_for_status()
        [case] = self.get("/api/verification/cases")
        self.ids["case"] = case["id"]

    def _begin_long_ones(self) -> Assignment:
        """What waits and what runs until the end; the one that is looked at."""
        long = {"limits": {"timeoutSeconds": 86_400}}
        self.ago(430)
        for number in range(8):
            task = self.submit(f"train-{number}", "return 1", **NOWHERE)
        self.server.client.post(f"/api/tasks/{task}/cancel").raise_for_status()
        for name in ("render-1", "render-2"):
            self.on("ferrol", name, "render();", **long)
        self.ago(412)
        self.ids["task"], followed = self.on("ferrol", "matmul-4096", MATMUL, **long)
        return followed

    def _work_off(self) -> None:
        """Small tasks one after the other, most of them in the last minute."""
        rooms = ["maria", "joana", "uni-porto"]
        for turn in range(14):
            begun = 360 - 20 * turn if turn < 4 else 61 - 6 * (turn - 4)
            self.ago(begun)
            taken = [(name, self.on(name, f"{WORK[(turn + at) % 4]}-{turn}")[1]) for at, name in enumerate(rooms)]
            for at, (name, item) in enumerate(taken):
                seconds = 0.7 + 1.1 * at + turn * 7 % 11 / 10
                self.ago(begun - seconds)
                machine = self.machines[name]
                broken = (turn * 3 + at) % 17 == 5
                told: tuple[object, str] = ("It is not a number.", "user_error") if broken else (turn, "")
                machine.ends(machine.took(item, seconds - 0.05, *told))

    def get(self, path: str) -> Any:
        return self.server.client.get(path).raise_for_status().json()


def until(holds: Callable[[], bool]) -> None:
    """Wait until this is so."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def standing(directory: Path) -> Iterator[Standing]:
    """One that is seeded."""
    one = Standing(directory)
    try:
        one.seed()
        yield one
    finally:
        one.end()
