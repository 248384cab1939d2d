"""What every handler can reach: the world of tasks, the gate, and facts about this server."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from anchor.core.attempt import Reason
from anchor.orchestrator.audit import Remarks
from anchor.orchestrator.world import World
from anchor.ports.parts import Parts
from anchor.server.about import About
from anchor.server.app_secrets import AppSecrets
from anchor.server.gate import Gate
from anchor.server.history import History
from anchor.server.sketches import Sketches
from anchor.wire.rest import TaskProgress

INSPECTIONS_AT_ONCE = 2


@dataclass
class Desk:
    """One per server. `parts` are uploads under way; `progress` is how far running attempts said they are, by task and
    attempt, where their agents are connected to this server. `problems` are what `/health` has to say by code, each
    with the Unix ms since when; `url` is how this server is called on the machine it runs on; once `stopping` is set,
    nothing waits any longer for what may never come; `keys_changed` is set when a key or a session was taken back;
    `sketches` are graphs that somebody looked at; `history` is how it went; `remarks` go to the audit trail. `secrets`
    are how apps' variables are kept, `scratch` is a directory for what nothing needs after a restart, `apps_domain`
    what apps' names stand before in addresses ("": `apps.` of any name of this server), `peer_url` how the other
    servers of its store reach this one; `inspecting` bounds the archives looked through at a time; `evidence_ms` is how
    long cases are kept (0: nobody said); `about` is what it was set to and stands on."""

    world: World
    gate: Gate
    parts: Parts
    version: str
    url: str
    started_at: int
    secrets: AppSecrets
    scratch: Path
    peer_url: str
    apps_domain: str = ""
    evidence_ms: int = 0
    ready: bool = False
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    keys_changed: asyncio.Event = field(default_factory=asyncio.Event)
    problems: dict[str, tuple[Reason, int]] = field(default_factory=dict)
    progress: dict[tuple[int, int], TaskProgress] = field(default_factory=dict)
    inspecting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(INSPECTIONS_AT_ONCE))
    sketches: Sketches = field(default_factory=Sketches)
    history: History = field(default_factory=History)
    about: About = field(default_factory=About)
    remarks: Remarks = field(init=False)

    def __post_init__(self) -> None:
        self.remarks = Remarks(self.world)

    def trouble(self, reason: Reason) -> None:
        """Remember what is wrong, and since when, until `well` says it is over."""
        self.problems.setdefault(reason.code, (reason, self.world.clock.now()))

    def well(self, code: str) -> None:
        """What was wrong under this code is over."""
        self.problems.pop(code, None)
