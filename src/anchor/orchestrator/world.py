"""Everything a step may touch, handed to it as one value."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from anchor.core.ids import KeySequence
from anchor.core.task import Task
from anchor.orchestrator.app_memory import AppMemory
from anchor.orchestrator.fleet import Fleet
from anchor.orchestrator.list_memory import ListMemory
from anchor.orchestrator.run_memory import RunMemory
from anchor.ports.blobs import Blobs
from anchor.ports.bus import Bus
from anchor.ports.clock import Chance, Clock
from anchor.ports.links import Links
from anchor.ports.ready import Ready
from anchor.ports.store import Store


@dataclass
class World:
    """The ports of one server and what it remembers between steps.

    `swept_at` is when the last whole sweep ended; `reap_after` is the end of the grace after a start or a standstill,
    before which no lease is taken for lost (Unix ms); `server` is this server's name among those that share the store;
    `in_flight` are the (owner, Idempotency-Key) pairs being carried out right now; `newer_epochs` are the nodes that
    know a newer epoch than the store's, each with that epoch; of a `sole_writer` nobody else writes the store, and what
    it has written stays: what it remembers is true. `spot_check_share` (0 to 1) of what trusted nodes answer is checked
    all the same. `ended` are steps, items and copies that ended here a moment ago and that `follow` has not looked at
    yet: a hint, for what they are part of is looked at again on a timer. `onlooker` is shown tasks as they were just
    written.
    """

    store: Store
    ready: Ready
    bus: Bus
    blobs: Blobs
    links: Links
    clock: Clock
    chance: Chance
    keys: KeySequence
    lease_ms: int
    heartbeat_ms: int
    swept_at: int = 0
    reap_after: int = 0
    server: str = "alone"
    sole_writer: bool = False
    spot_check_share: float = 0.0
    fleet: Fleet = field(default_factory=Fleet)
    in_flight: set[tuple[str, str]] = field(default_factory=set)
    newer_epochs: dict[str, int] = field(default_factory=dict)
    ended: deque[Task] = field(default_factory=deque)
    runs: RunMemory = field(default_factory=RunMemory)
    lists: ListMemory = field(default_factory=ListMemory)
    apps: AppMemory = field(default_factory=AppMemory)
    onlooker: Callable[[Sequence[Task]], None] | None = None

    def __post_init__(self) -> None:
        """What apps were promised is not there for tasks."""
        self.fleet.promised_mib = lambda node: self.apps.promised(node).mib
