"""The durable truth: a call that returns has been written down, a call that raises has not (or does not know)."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from anchor.core.access import Key
from anchor.core.app import App
from anchor.core.audit import Entry
from anchor.core.case import Case
from anchor.core.dag import Run, RunState
from anchor.core.node import Node
from anchor.core.task import State, Task
from anchor.core.task_query import TaskQuery
from anchor.core.usage import By, Sum, Use


class UnknownOutcome(Exception):
    """A write that may or may not have happened: read again before deciding anything."""


class Swap(msgspec.Struct, frozen=True):
    """Replace `old` by `new` if `old.ver` is still the stored version."""

    old: Task
    new: Task


class QueuedRef(msgspec.Struct, frozen=True):
    """As much of a queued task as a hint needs."""

    id: int
    priority: int
    shape: str
    owner: str = ""


class Page(msgspec.Struct, frozen=True):
    """Tasks from the newest down; `below` continues the list (None at its end). A page may hold fewer than asked, and
    have `skipped` fewer."""

    tasks: list[Task]
    below: int | None
    skipped: int = 0


class Counted(msgspec.Struct, frozen=True):
    """How many tasks of a stretch are in each state (without those that none is in); `below` continues it."""

    counts: dict[State, int]
    below: int | None


PULSE_MINUTES = 5
"""Whole minutes that a pulse looks back on."""


class Pulse(msgspec.Struct, frozen=True):
    """How a queue moves: when its oldest queued and oldest leased tasks were created (Unix ms, None where there are
    none), and how many tasks ended in each state within the last `PULSE_MINUTES` whole minutes."""

    oldest_queued: int | None
    oldest_leased: int | None
    ended: dict[State, int]


class TaskStore(Protocol):
    """Tasks, newest truth first."""

    async def insert(self, tasks: Sequence[Task]) -> list[bool]:
        """Write new tasks; False for one whose id exists already (it is left as it is)."""

    async def swap(self, swaps: Sequence[Swap]) -> list[bool]:
        """Compare-and-set each task on its version; False where somebody else was faster."""

    async def get(self, ids: Sequence[int]) -> list[Task | None]:
        """The tasks as they are now, in the order asked. `spec.payload` may be missing: see `payloads`."""

    async def due(self, state: State, now: int, limit: int) -> list[Task]:
        """Tasks of a non-terminal state whose `wake_at` has come, longest waiting first."""

    async def queued(self, after: int, limit: int) -> list[QueuedRef]:
        """Queued tasks with an id above `after`, oldest first: what the ready queue is refilled from."""

    async def page(self, query: TaskQuery, *, below: int | None, limit: int, skip: int = 0) -> Page:
        """Tasks that fit by falling id below `below`, without the first `skip` and without the copies that verification
        makes. One call looks at a bounded number of rows, whatever it finds."""

    async def count(self, query: TaskQuery, *, below: int | None, above: int | None) -> Counted:
        """How many tasks between `above` and `below` fit, copies aside: of a bounded number of rows, newest first."""

    async def states(self, first: int, count: int) -> dict[int, State]:
        """The states of those of the tasks first, first + STEP, … (`count` of them) that exist, by id."""

    async def counts(self, owner: str | None) -> dict[State, int]:
        """How many tasks are in each state, copies aside; exact, and as cheap with a million tasks as with none."""

    async def pulse(self, owner: str | None, now: int) -> Pulse:
        """How the queue moves; as cheap with a million tasks as with none."""

    async def endings(self, owner: str | None, first: int, until: int) -> dict[tuple[int, State], int]:
        """How many tasks ended in each state in each minute (of Unix time) from `first` to before `until`, as far as a
        day back and as tasks are kept."""

    async def payloads(self, ids: Sequence[int]) -> list[bytes]:
        """The payloads as JSON bytes, in the order asked (empty where one rests in a blob or there is none)."""

    async def remove_finished(self, before_ms: int, limit: int) -> int:
        """Remove up to `limit` tasks that ended before `before_ms`, with payload, output and old claims; says how many.

        A task that is `part_of` a run or task that is not over stays.

        A call looks at a bounded number of tasks, oldest first, and goes on where the last one stopped, starting over
        at the end: 0 means that this stretch had none.
        """

    async def has_room(self) -> bool:
        """Whether there is space for new work; False while what is left is needed by the work that is there."""


class RunStore(Protocol):
    """Runs of graphs."""

    async def insert_run(self, run: Run) -> bool:
        """Write a new run; False where the id exists already (it is left as it is)."""

    async def swap_run(self, old: Run, new: Run) -> bool:
        """Compare-and-set on `ver`."""

    async def run(self, run_id: int) -> Run | None:
        """One run as it is now."""

    async def runs_due(self, now: int, limit: int) -> list[Run]:
        """Runs that are not over and whose `wake_at` has come, longest waiting first."""

    async def runs_page(
        self, *, below: int | None, limit: int, state: RunState | None, kind: str | None, owner: str | None
    ) -> list[Run]:
        """Runs by falling id below `below`, without `plan`."""

    async def run_counts(self, owner: str | None) -> dict[RunState, int]:
        """How many runs are in each state."""

    async def remove_runs(self, before_ms: int, limit: int) -> int:
        """Remove up to `limit` runs that ended before `before_ms`; says how many. Their tasks have a retention of their
        own."""


class CaseStore(Protocol):
    """Evidence of dissent."""

    async def insert_case(self, case: Case) -> bool:
        """Write a new case; False where the id exists already (it is left as it is)."""

    async def swap_case(self, old: Case, new: Case) -> bool:
        """Compare-and-set on `ver`."""

    async def case(self, case_id: int) -> Case | None:
        """One case as it is now."""

    async def cases_page(self, *, below: int | None, limit: int, owner: str | None) -> list[Case]:
        """Cases by falling id below `below`."""

    async def round_counts(self, owner: str | None) -> dict[State, int]:
        """How many tasks that are verified by copies are in each state."""

    async def remove_cases(self, before_ms: int, limit: int) -> int:
        """Remove up to `limit` cases opened before `before_ms`; says how many."""


class AppStore(Protocol):
    """Apps. There are few of them beside tasks: each server remembers all, and reads again those whose version rose."""

    async def insert_app(self, app: App) -> bool:
        """Write a new app; False where its id or its name is taken (what is there is left as it is)."""

    async def swap_app(self, old: App, new: App) -> bool:
        """Compare-and-set on `ver`."""

    async def app(self, app_id: int) -> App | None:
        """One app as it is now."""

    async def app_named(self, name: str) -> App | None:
        """The app with this name."""

    async def app_versions(self) -> dict[int, int]:
        """The version of every app, by id."""

    async def apps_due(self, now: int, limit: int) -> list[App]:
        """Apps whose `wake_at` has come, longest waiting first."""

    async def remove_app(self, app: App) -> bool:
        """Remove an app if `app.ver` is still the stored version, with its log; its name is free again."""


class NodeStore(Protocol):
    """Machines."""

    async def insert_node(self, node: Node) -> bool:
        """Write a new node; False where the id is taken."""

    async def swap_node(self, old: Node, new: Node) -> bool:
        """Compare-and-set on `ver`."""

    async def node(self, node_id: str) -> Node | None:
        """One node as it is now."""

    async def nodes(self) -> list[Node]:
        """All nodes, by id."""


class LogChunk(msgspec.Struct, frozen=True):
    """A piece of a task's output. `seq` numbers the pieces of one attempt from 1; `at` is Unix milliseconds."""

    task: int
    attempt: int
    seq: int
    at: int
    stream: str
    text: str


class LogStore(Protocol):
    """What tasks printed."""

    async def append(self, chunks: Sequence[LogChunk]) -> None:
        """Keep chunks; one that is there already is left as it is."""

    async def read(self, task: int, *, attempt: int, seq: int, limit: int) -> list[LogChunk]:
        """Chunks after (attempt, seq), in order."""

    async def trim_log(self, task: int, attempt: int, below: int | None) -> None:
        """Forget the chunks of one attempt whose `seq` is below `below` (None: all of them)."""


class Claim(msgspec.Struct, frozen=True):
    """What an Idempotency-Key stands for: the request it came with and the ids it got."""

    owner: str
    key: str
    digest: str
    first: int
    count: int
    done: bool
    at: int


class ClaimStore(Protocol):
    """Idempotency keys."""

    async def claim(self, claim: Claim) -> Claim:
        """Write a claim, or return the one that was there first for this owner and key."""

    async def fulfil(self, claim: Claim) -> None:
        """Mark a claim as carried out."""


class KeyStore(Protocol):
    """Credentials."""

    async def add_key(self, key: Key) -> None:
        """Keep a new key."""

    async def key(self, digest: str) -> Key | None:
        """The key with this digest."""

    async def swap_key(self, old: Key, new: Key) -> bool:
        """Compare-and-set on `ver`: how a single use is taken exactly once."""

    async def keys(self) -> list[Key]:
        """All keys, newest first."""

    async def remove_key(self, digest: str) -> bool:
        """Forget a key; False where there was none."""


class Duty(msgspec.Struct, frozen=True):
    """What one server does at a time, held until `until` (Unix ms). `term` is its fence: it rises with each new
    holder; `note` is what the holder wants others to know."""

    name: str
    holder: str
    term: int
    until: int
    note: str = ""


class DutyStore(Protocol):
    """Which server does what there must be one of."""

    async def duty(self, name: str) -> Duty | None:
        """Who holds a duty, or held it last."""

    async def duties(self) -> list[Duty]:
        """All duties, by name."""

    async def swap_duty(self, old: Duty | None, new: Duty) -> bool:
        """Compare-and-set: False where the duty is not exactly `old` any more (None: where there is one)."""


class AuditStore(Protocol):
    """What happened that somebody may ask about later: a chain of entries, each sealed by the hash of all before."""

    async def audit_tail(self) -> Entry | None:
        """The newest entry."""

    async def audit_append(self, entry: Entry) -> bool:
        """Write an entry; False where its number is taken."""

    async def audit_page(self, below: int | None, limit: int) -> list[Entry]:
        """Entries by falling number below `below`."""


class UsageStore(Protocol):
    """What was used, for as long as `core.usage.DAYS_KEPT`: of tasks, counted exactly once when they are over."""

    async def usage(self, by: By, *, since: int, owner: str | None) -> list[Sum]:
        """The sums of an owner (None: of everybody) since a day (since 1970, UTC), by one thing, in no order."""

    async def add_usage(self, uses: Sequence[Use]) -> None:
        """Add what apps used, or what was summed elsewhere; with an unknown outcome it may be there twice."""

    async def forget_usage(self, before: int) -> None:
        """Forget the days before one."""


class Store(
    TaskStore,
    RunStore,
    CaseStore,
    AppStore,
    NodeStore,
    LogStore,
    ClaimStore,
    KeyStore,
    DutyStore,
    AuditStore,
    UsageStore,
    Protocol,
):
    """Everything durable, in one place with one life."""

    async def epoch(self) -> int:
        """How often this truth was restored from a backup; agents and servers of another epoch know other facts."""

    async def close(self) -> None:
        """Finish what was asked, then let go of the data."""
