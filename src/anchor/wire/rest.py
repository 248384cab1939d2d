"""The answers of the REST API as structs; what a task is made of going in is `core.spec.TaskSpec`."""

import datetime
import functools
from typing import Any

import msgspec

from anchor.core.attempt import Reason, Usage
from anchor.core.node import Metrics
from anchor.core.spec import Limits, Payload, Requirements, RetryPolicy, VerifyWish
from anchor.wire.verification import VerificationView

Time = datetime.datetime


class _View(msgspec.Struct, frozen=True, rename="camel", omit_defaults=False):
    pass


class UsageView(Usage, frozen=True, rename="camel", omit_defaults=False):
    """What an attempt used, every number of it: one that nothing counts is 0."""


class AttemptView(_View, frozen=True):
    """An attempt as shown: over, or the live one (then `outcome` and `ended_at` are null)."""

    number: int
    node_id: str
    outcome: str | None
    leased_at: Time
    ended_at: Time | None = None
    reason: Reason | None = None
    usage: UsageView | None = None
    output_truncated: bool = False


class TaskProgress(_View, frozen=True):
    """How far a running attempt said it is: a share from 0 to 1 (null where it gave none), and what it is doing."""

    fraction: float | None
    message: str
    at: Time


class TaskFile(_View, frozen=True):
    """A file that a task left behind; `url` is where on this server its bytes are."""

    name: str
    size: int
    sha256: str
    url: str


class TaskRow(_View, frozen=True):
    """A task in a list. `progress` is null unless it runs, said how far it is, and its node is connected here.

    `dag_id` is the run it is a step of, `step` its number there (from 0); `head_id` is the task it is an item or a copy
    of.
    """

    id: str
    name: str
    type: str
    runtime: str
    state: str
    priority: int
    labels: list[str]
    attempt: int
    node_id: str | None
    reason: Reason | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    progress: TaskProgress | None
    dag_id: str | None
    step: int | None
    head_id: str | None


class TaskView(TaskRow, frozen=True):
    """A task, whole. `result` is null until it succeeded; one too large to show is fetched from `…/result`.

    `verify` is as asked; `verification` is null where it asks for nothing. Of a copy whose round is open, only the
    state, the node and the times are shown.
    """

    owner: str
    payload: Payload | None
    requirements: Requirements
    limits: Limits
    retry: RetryPolicy
    attempts: list[AttemptView]
    result: Any
    result_blob: str | None
    files: list[TaskFile]
    usage: UsageView | None
    retry_of: str | None
    verify: VerifyWish
    verification: VerificationView | None


class Created(_View, frozen=True):
    """A task that was accepted: it is in the truth from this moment on."""

    id: str
    name: str
    state: str
    created_at: Time


class TaskResult(_View, frozen=True):
    """What came of a task. While it is not over, `state` says so and `result` is null."""

    id: str
    state: str
    result: Any
    reason: Reason | None
    result_blob: str | None
    node_id: str | None
    attempt: int
    finished_at: Time | None
    files: list[TaskFile] = []


class LogLine(_View, frozen=True):
    """A piece of output: `stream` is stdout, stderr or progress. `fraction` is the share of the work done that a piece
    of progress tells, from 0 to 1; null where it tells none."""

    id: str
    attempt: int
    stream: str
    at: Time
    text: str
    fraction: float | None = None


class Specs(_View, frozen=True):
    """What a machine has and offers, as its agent measured it; RAM and disk in GiB. `confinement` says for each runtime
    how well its tasks are held; `task_memory_mib` is the most memory a task may ask for (0: the agent did not say)."""

    cores: int
    ram: float
    disk: float
    gpus: list[str]
    cpu: str
    os: str
    arch: str
    host: str
    runtimes: dict[str, str]
    missing: dict[str, str]
    version: str
    confinement: dict[str, str] = {}
    features: list[str] = []
    task_memory_mib: int = 0
    gpu_tasks: bool = True


class NodeMetrics(Metrics, frozen=True, rename="camel", omit_defaults=False):
    """How a machine is doing: CPU and RAM in per cent, uptime in seconds."""

    has_docker: bool = False


class NodeView(_View, frozen=True):
    """A node: `status` is online, offline, draining, blocked or quarantined; `public_key` is the raw Ed25519 key that
    its signatures are checked with. `speed` is how fast one core worked when it was last measured (thousands of
    SHA-512 rounds a second; 0: never, or it did not tell the truth); `faults` counts what went wrong there by whose
    fault it was; `replicas` are those of apps that it is to run."""

    node_id: str
    status: str
    metrics: NodeMetrics
    specs: Specs
    labels: list[str]
    slots: int
    active: int | None
    owner: str
    reason: Reason | None
    joined_at: Time
    seen_at: Time | None
    public_key: bytes = b""
    speed: float = 0.0
    faults: dict[str, int] = {}
    replicas: int = 0


class QueueStats(_View, frozen=True):
    """One queue, counted from the truth. Rates are of the last five whole minutes; ages are those of the oldest task
    that waits and of the oldest that a node has, since they were submitted (null where there is none)."""

    waiting: int
    active: int
    delayed: int
    completed: int
    failed: int
    cancelled: int
    completed_per_minute: float = 0.0
    failed_per_minute: float = 0.0
    oldest_waiting_seconds: float | None = None
    oldest_active_seconds: float | None = None


class Trouble(_View, frozen=True):
    """Something that is wrong, and since when."""

    code: str
    message: str
    hint: str
    since: Time


class Health(_View, frozen=True):
    """Whether the server works, and what is wrong where it does not."""

    status: str
    version: str
    uptime_seconds: float
    problems: list[Trouble]


class Join(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A machine asks to become a node; `public_key` is its raw Ed25519 key in base64."""

    public_key: str
    name: str = ""


class Joined(_View, frozen=True):
    """The machine is a node from now on."""

    node_id: str


class JoinTokenRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A wish for a join token; it is used once and lives at most an hour."""

    seconds: int = 900


class JoinToken(_View, frozen=True):
    """A join token, shown this once."""

    token: str
    expires_at: Time
    command: str


class KeyRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A wish for an API key."""

    name: str
    role: str
    days: int | None = None


class KeyView(_View, frozen=True):
    """An API key without its secret; `id` is the beginning of its digest."""

    id: str
    name: str
    role: str
    created_at: Time
    expires_at: Time | None


class NewKey(KeyView, frozen=True):
    """An API key with its secret, shown this once."""

    token: str


class AuditEntry(_View, frozen=True):
    """Something that happened; `seal` is the SHA-256 over the seal before and everything else in here."""

    number: int
    at: Time
    kind: str
    subject: str
    message: str
    by: str
    seal: str


class BlobView(_View, frozen=True):
    """Bytes that are kept."""

    sha256: str
    size: int


@functools.lru_cache(maxsize=4096)
def time_of(milliseconds: int) -> Time:
    """Unix milliseconds as the API shows them."""
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
