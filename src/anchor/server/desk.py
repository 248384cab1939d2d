"""What every handler can reach: the world of tasks, the gate, and facts about this server."""

import asyncio
from dataclasses import dataclass, field

from anchor.core.attempt import Reason
from anchor.orchestrator.audit import Remarks
from anchor.orchestrator.world import World
from anchor.server.gate import Gate


@dataclass
class Desk:
    """One per server. `problems` are what `/health` has to say by code, each with the Unix ms since when; `url` is how
    this server is called on the machine it runs on; once `stopping` is set, nothing waits any longer for what may
    never come; `remarks` go to the audit trail."""

    world: World
    gate: Gate
    version: str
    url: str
    started_at: int
    ready: bool = False
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    problems: dict[str, tuple[Reason, int]] = field(default_factory=dict)
    remarks: Remarks = field(init=False)

    def __post_init__(self) -> None:
        self.remarks = Remarks(self.world)

    def trouble(self, reason: Reason) -> None:
        """Remember what is wrong, and since when, until `well` says it is over."""
        self.problems.setdefault(reason.code, (reason, self.world.clock.now()))

    def well(self, code: str) -> None:
        """What was wrong under this code is over."""
        self.problems.pop(code, None)
