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


class TaskCounts(_View, frozen=True):
    """How many of the tasks that fit are in each state, `total` of them in all; a running task counts as leased.
    `newer` are those among them that came after the task `before`."""

    counts: dict[str, int]
    total: int
    newer: dict[str, int]


class BulkFailure(_View, frozen=True):
    """A task that could not be treated, and why."""

    id: str
    code: str
    message: str


class BulkOutcome(_View, frozen=True):
    """What a bulk did to the `matched` tasks it looked at: `unchanged` ones needed nothing, or could not have it. While
    `cursor` is not null, there are more: the next request goes on there."""

    matched: int
    done: int
    unchanged: int
    failed: list[BulkFailure]
    cursor: str | None


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


class Standing(_View, frozen=True):
    """How far a node's answers in a runtime are to be relied on, from 0 to 1, and what that rests on: answers that were
    found right and wrong (what is older counts less), and how many right ones there were in a row."""

    reliability: float
    right: float
    wrong: float
    right_in_row: int


class NodeView(_View, frozen=True):
    """A node: `status` is online, offline, draining, blocked or quarantined; `public_key` is the raw Ed25519 key that
    its signatures are checked with. `speed` is how fast one core worked when it was last measured, at `measured_at`
    (thousands of SHA-512 rounds a second; 0: never, or it did not tell the truth); `faults` counts what went wrong
    there by whose fault it was, `standing` is by runtime; `replicas` are those of apps that it is to run. `labels` are
    all that it is found by, `given_labels` those among them that an operator gave it."""

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
    given_labels: list[str] = []
    measured_at: Time | None = None
    standing: dict[str, Standing] = {}


class NodeDecision(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Why a node is drained, blocked or taken back, in a sentence that others read."""

    reason: str = ""


class NodeLabels(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The labels that an operator gives a node: all of them, whatever they were before."""

    labels: list[str]


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


class JoinCommands(_View, frozen=True):
    """One line each with which a machine joins: `linux` (macOS, too) and `windows` need nothing but themselves and
    Python, `python` is for where one wants to install by oneself."""

    linux: str
    windows: str
    python: str


class JoinToken(_View, frozen=True):
    """A join token, shown this once; `id` is what it goes by afterwards. `command` is for a machine that has Anchor,
    `commands` are for one that has not, with the address by which the caller reached this server."""

    token: str
    expires_at: Time
    command: str
    id: str = ""
    commands: JoinCommands | None = None


class JoinTokenView(_View, frozen=True):
    """What became of a join token: `state` is waiting, used or expired; once used, which node joined with it, when, and
    from which address."""

    id: str
    state: str
    expires_at: Time
    node_id: str | None
    used_at: Time | None
    used_from: str | None


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
