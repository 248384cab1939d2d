"""A fleet that stands still: a real server with something of everything, to the same millisecond each time.

The machines are puppets (tests/server/puppet.py), each of which says what it is told to. The clock goes on when it is
told to, from one thing that happens to the next, and stands still from then on.
"""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from anchor.core.attempt import Ending, Usage
from anchor.core.node import Profile
from anchor.core.progress import progress_text
from anchor.wire import box
from anchor.wire.link import (
    Assignment,
    Chunk,
    Hosted,
    HostItem,
    Output,
    Recorded,
    Renewed,
    ReplicaStatus,
    decode_from_server,
)

sys.path.insert(0, str(Path(__file__).parents[2] / "server"))
from puppet import F, Puppet, Session, failure, join, sealed, success
from served import Served

TODAY = datetime(2026, 5, 20, 10, 30, tzinfo=UTC)
"""When the clock stands still."""
NOW_MS = int(TODAY.timestamp() * 1000)
LEASE_SECONDS = 1_500
SECOND_MS = 1000
FEATURES = ("files", "inputs", "seals")
PATIENCE_SECONDS = 20.0
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


class StandingServer(Served):
    """A server whose clock is a file."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            directory,
            lease_seconds=LEASE_SECONDS,
            heartbeat_seconds=LEASE_SECONDS / 4,
            requests_per_second=10_000,
            public_url="http://localhost",
        )
        self._clock = directory / "clock"
        self.program = ("-m", "tests.acceptance.browser.standing_server", str(self._clock))
        self.to(NOW_MS)

    def to(self, moment: int) -> None:
        """It is this time (Unix milliseconds) now, on the server."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(str(moment), "ascii")
        os.replace(fresh, self._clock)
        self.now = moment


class Line(Session):
    """A session that keeps what comes before what is waited for: news of new work overtakes that of what ended."""

    def __init__(self, machine: Puppet) -> None:
        super().__init__(machine)
        self._kept: list[Any] = []

    def next(self, kind: type[F], seconds: float = PATIENCE_SECONDS) -> F:
        """The next frame of this kind; others stay for later."""
        for at, frame in enumerate(self._kept):
            if isinstance(frame, kind):
                del self._kept[at]
                return frame
        while True:
            content = self.socket.recv(timeout=seconds)
            assert isinstance(content, bytes)
            frame = decode_from_server(content)
            if isinstance(frame, kind):
                return frame
            self._kept.append(frame)


class Machine(Puppet):
    """A machine whose keys come from its name."""

    def __init__(self, server: StandingServer, name: str, *labels: str, slots: int = 2, **profile: Any) -> None:
        self.server: StandingServer = server
        self.name = name
        self.key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        self.box_key = box.new_private_key()
        self.slots = slots
        self.profile = Profile(
            host=name,
            arch="x86_64",
            runtimes={"isolate": "1", "wasm": "1"},
            confinement={"isolate": "confined", "wasm": "confined"},
            labels=(f"only:{name}", *labels),
            task_memory_mib=8192,
            version="0.1.0",
            **{
                "os": "Linux",
                "cpu": "Ryzen 5 3600",
                "cores": 12,
                "ram": 16.0,
                "disk": 240.0,
                "features": FEATURES,
                **profile,
            },
        )
        owner = server.as_holder_of(server.key(name, "operator"))
        token = owner.post("/api/nodes/join-tokens", json={}).raise_for_status().json()["token"]
        owner.close()
        answer = join(server, token, self.key.public_key().public_bytes_raw(), name).raise_for_status()
        self.node = answer.json()["nodeId"]
        self.session = self.connect()
        self._held: set[tuple[int, int]] = set()

    def call(self) -> Line:
        return Line(self)

    def takes(self, count: int = 1) -> list[Assignment]:
        """As many tasks as it is given, in the order of their names."""
        items = self.session.assigned(count)
        self._held |= {(item.task, item.attempt) for item in items}
        return sorted(items, key=lambda item: item.name)

    def took(self, item: Assignment, seconds: float, value: object, code: str = "") -> Ending:
        """How this ended: with a value, or with a failure of this code."""
        ending = failure(item, code, str(value)) if code else success(item, value)
        used = Usage(wall_seconds=seconds, cpu_seconds=seconds * 0.9, peak_memory_mb=48 + len(self.name))
        return sealed(self.session, item, replace(ending, usage=used))

    def ends(self, *endings: Ending) -> None:
        """Report what is over, and wait until that is written down."""
        self.session.report(list(endings))
        self.session.next(Recorded)
        self._held -= {(ending.task, ending.attempt) for ending in endings}

    def tells(self, item: Assignment, first: int, *lines: str, stream: str = "stdout", every_ms: int = 0) -> None:
        """Print, the last line now and each before it so much earlier."""
        begun = self.server.now - every_ms * (len(lines) - 1)
        pieces = [
            Chunk(item.task, item.attempt, first + at, begun + every_ms * at, stream, text)
            for at, text in enumerate(lines)
        ]
        self.session.send(Output(pieces))

    def beats(self) -> None:
        """Say how it is. `Renewed` comes back once everything that was said before is written down, too."""
        load = 12.5 * len(self.name) % 100
        figures = {"cpu_usage": load, "ram_usage": load / 2 + 9, "uptime": 86_400, "free_ram": 7.5, "free_disk": 120.0}
        self.session.beat(*sorted(self._held), **figures)

    def hosting(self, *items: HostItem, **more: Any) -> None:
        """Say that it runs these."""
        statuses = [
            ReplicaStatus(item.app, item.generation, "healthy", self.server.now, cpu=0.04, memory_mib=38.5, **more)
            for item in items
        ]
        self.session.send(Hosted(self.session.number, statuses))


class Standing:
    """The server, six machines of four sites, one of which is lost and one of which cheats, and their work."""

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
