"""A server whose clock stands where it is told to, and machines that say what they are told to and nothing else."""

import hashlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from anchor.core.attempt import Ending, Usage
from anchor.core.node import Profile
from anchor.wire import box
from anchor.wire.link import (
    Assignment,
    Chunk,
    Hosted,
    HostItem,
    Output,
    Recorded,
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
PATIENCE_SECONDS = 20.0
FEATURES = ("files", "inputs", "seals")


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

    def hosting(self, *items: HostItem) -> None:
        """Say that it runs these."""
        statuses = [
            ReplicaStatus(item.app, item.generation, "healthy", self.server.now, cpu=0.04, memory_mib=38.5)
            for item in items
        ]
        self.session.send(Hosted(self.session.number, statuses))
