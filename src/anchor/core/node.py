"""A machine that runs an agent: what it is, what it offers, and whether it may be given work."""

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from anchor.core.attempt import AttemptRecord, Ending, Finite, Reason
from anchor.core.ids import born_ms, wire_id
from anchor.core.reputation import HALF_LIFE_MS, Cause, Reputation, cause_of, confirmed, contradicted, restored

NODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"


class Status(StrEnum):
    """What the fleet's owner (or, for a quarantine, the network itself) has decided about a node; whether it is
    connected is read off its lease."""

    READY = "ready"
    DRAINING = "draining"
    BLOCKED = "blocked"
    QUARANTINED = "quarantined"


CRASHES_MAX = 3
"""A node that ended this many sessions in a row with a different task under way is quarantined."""
CRASH_TASKS_KEPT = 100
DISSENTS_MAX = 3
"""A node that contradicted what was agreed on this often, in cases that nobody explained, is quarantined."""
DISSENTS_KEPT = 20


class Crash(msgspec.Struct, frozen=True, omit_defaults=True):
    """A session that ended with these attempts' tasks under way: one event, however many there were. It is `explained`
    where one of them took down other nodes too, or this one before: then the task is to blame."""

    session: int
    tasks: tuple[int, ...] = ()
    explained: bool = False


class Dissent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A decided round, by its case, in which this node gave another answer; it ended a row of `row` right ones.
    `forgiven`: the node's owner took it back into service after it."""

    case: int
    runtime: str
    row: int
    forgiven: bool = False


class Finding(msgspec.Struct, frozen=True):
    """What a decided round found of one node's answer. The round goes by the id of the task it verified."""

    node: str
    runtime: str
    round: int
    valid: bool


class Profile(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a machine has and its owner offers, as its agent measured it. RAM and disk in GiB.

    `confinement` says for each runtime how well its tasks are held (`confined`, `process` or `none`: see
    docs/sandbox.md). `task_memory_mib` is the most a task may ask for (0: not said), `features` what of
    core.spec.FEATURES is offered, `gpu_tasks` whether tasks may use the GPUs.
    """

    host: str = ""
    os: str = ""
    arch: str = ""
    cpu: str = ""
    cores: int = 0
    ram: Finite = 0.0
    disk: Finite = 0.0
    gpus: tuple[str, ...] = ()
    runtimes: dict[str, str] = {}
    missing: dict[str, str] = {}
    labels: tuple[str, ...] = ()
    version: str = ""
    has_docker: bool = False
    confinement: dict[str, str] = {}
    task_memory_mib: int = 0
    features: tuple[str, ...] = ()
    gpu_tasks: bool = True


TROUBLE_LENGTH_MAX = 500


class Metrics(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How a machine is doing: CPU and RAM in per cent, uptime in seconds, free RAM and disk in GiB. `trouble` says why
    it takes no work at the moment; empty where it does."""

    cpu_usage: Finite = 0.0
    ram_usage: Finite = 0.0
    uptime: int = 0
    free_ram: Finite = 0.0
    free_disk: Finite = 0.0
    trouble: Annotated[str, Meta(max_length=TROUBLE_LENGTH_MAX)] = ""


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A machine known to this network. Times are Unix milliseconds.

    `session` is the epoch of its newest connection; leases of tasks hang on the session and the session's own lease
    runs until `lease_until`. `public_key` is the raw Ed25519 key that signs its frames. `crashes` are the ends of its
    sessions that no success has followed yet; `dissents` the newest of its answers that others contradicted. `speed`
    is how fast it worked when it was last measured (thousands of SHA-512 rounds a second on one core; 0: never), at
    `measured_at`; `reputation` is by runtime; `faults` counts what went wrong on it by whose fault it was (`task`,
    `node`, `network`, `owner`); `box_key` is the raw X25519 key that apps' secrets are sealed to (empty: it has none).
    `labels` are those that an operator gave it, beside those in its profile: `offer_of` has both.
    """

    id: str
    owner: str
    public_key: bytes
    joined_at: int
    ver: int = 1
    status: Status = Status.READY
    reason: Reason | None = None
    session: int = 0
    lease_until: int = 0
    seen_at: int = 0
    slots: int = 1
    profile: Profile = Profile()
    metrics: Metrics = Metrics()
    crashes: tuple[Crash, ...] = ()
    dissents: tuple[Dissent, ...] = ()
    speed: Finite = 0.0
    measured_at: int = 0
    reputation: dict[str, Reputation] = {}
    faults: dict[str, int] = {}
    box_key: bytes = b""
    labels: tuple[str, ...] = ()


def offer_of(node: Node) -> Profile:
    """What a node is placed by: what its machine offers, with the labels that an operator gave it."""
    given = tuple(label for label in node.labels if label not in node.profile.labels)
    return replace(node.profile, labels=(*node.profile.labels, *given)) if given else node.profile


def node_id_from(name: str, chances: bytes) -> str:
    """`REX-A1B2C3`: three letters of the machine's name (or chance) and six drawn ones."""
    letters = [letter for letter in name.upper() if "A" <= letter <= "Z"][:3]
    drawn = [NODE_LETTERS[chance % len(NODE_LETTERS)] for chance in chances[:9]]
    prefix = "".join([*letters, *(NODE_LETTERS[chance % 24] for chance in chances[9:12])][:3])
    return f"{prefix}-{''.join(drawn[:6])}"


def greet(node: Node, *, profile: Profile, slots: int, now: int, lease_ms: int, box_key: bytes = b"") -> Node:
    """The node with a new session: every hello raises the epoch, so the old connection speaks for nobody."""
    return replace(
        node,
        ver=node.ver + 1,
        session=node.session + 1,
        profile=profile,
        slots=slots,
        lease_until=now + lease_ms,
        seen_at=now,
        box_key=box_key,
    )


def beat(node: Node, metrics: Metrics, *, now: int, lease_ms: int) -> Node:
    """The node after a heartbeat: one write renews every lease it holds."""
    return replace(node, ver=node.ver + 1, metrics=metrics, lease_until=now + lease_ms, seen_at=now)


def with_status(node: Node, status: Status, reason: Reason | None) -> Node:
    """The node as its owner wants it from now on; taken back into service, it begins with a clean slate."""
    if status is not Status.READY:
        return replace(node, ver=node.ver + 1, status=status, reason=reason)
    dissents = tuple(replace(dissent, forgiven=True) for dissent in node.dissents)
    return replace(node, ver=node.ver + 1, status=status, reason=reason, crashes=(), dissents=dissents)


def labelled(node: Node, labels: Iterable[str]) -> Node:
    """The node with these labels beside its machine's own, and no others."""
    return replace(node, ver=node.ver + 1, labels=tuple(dict.fromkeys(labels)))


def crashed(node: Node, *, session: int, tasks: Iterable[int], explained: bool) -> Node:
    """The node after a session ended with these tasks under way; quarantined once there are too many such in a row."""
    mine = next((crash for crash in node.crashes if crash.session == session), Crash(session))
    others = [crash for crash in node.crashes if crash.session != session and not crash.explained]
    before = {task for crash in others for task in crash.tasks}
    under_way = tuple(dict.fromkeys((*mine.tasks, *tasks)))
    explained = explained or mine.explained or not before.isdisjoint(under_way)
    mine = Crash(session, under_way[:CRASH_TASKS_KEPT], explained)
    return _judged(replace(node, ver=node.ver + 1, crashes=(*others, mine)))


def pardoned(node: Node, tasks: Collection[int]) -> Node:
    """The node once these tasks took down another node too: what it was accused of with them is explained."""
    crashes = tuple(
        crash if crash.explained or not set(tasks).intersection(crash.tasks) else replace(crash, explained=True)
        for crash in node.crashes
    )
    return node if crashes == node.crashes else _judged(replace(node, ver=node.ver + 1, crashes=crashes))


def proven(node: Node) -> Node:
    """The node after a success: the row of crashes is broken. A quarantine is for its owner to end."""
    return node if not is_suspect(node) else replace(node, ver=node.ver + 1, crashes=())


def is_suspect(node: Node) -> bool:
    """Whether the next success of this node has to be written down."""
    return bool(node.crashes) and node.status is not Status.QUARANTINED


def found(node: Node, findings: Iterable[Finding], *, now: int) -> Node:
    """The node after decided rounds looked at its answers; the same node where all of them are in already.

    Quarantined once it contradicted too many of them, with nobody to explain it.
    """
    ratings = dict(node.reputation)
    dissents = list(node.dissents)
    faults = node.faults
    for finding in findings:
        old = ratings.get(finding.runtime, Reputation())
        rate = confirmed if finding.valid else contradicted
        new = rate(old, finding.round, now=now)
        ratings[finding.runtime] = new
        if new is not old and not finding.valid:
            dissents.append(Dissent(finding.round, finding.runtime, old.valid_in_row))
            faults = _with_fault(faults, Cause.NODE, 1)
    if ratings == node.reputation:
        return node
    recent = tuple(one for one in dissents if born_ms(one.case) > now - HALF_LIFE_MS)[-DISSENTS_KEPT:]
    return _judged(replace(node, ver=node.ver + 1, reputation=ratings, dissents=recent, faults=faults))


def absolved(node: Node, cases: Collection[int], *, now: int) -> Node:
    """The node once its dissent in these cases is explained: its reputation is what it would be without them."""
    taken_back = [dissent for dissent in node.dissents if dissent.case in cases]
    if not taken_back:
        return node
    ratings = dict(node.reputation)
    for dissent in taken_back:
        old = ratings.get(dissent.runtime, Reputation())
        ratings[dissent.runtime] = restored(old, row=dissent.row, now=now)
    left = tuple(dissent for dissent in node.dissents if dissent.case not in cases)
    faults = _with_fault(node.faults, Cause.NODE, -len(taken_back))
    return _judged(replace(node, ver=node.ver + 1, reputation=ratings, dissents=left, faults=faults))


def at_fault(node: Node, ended: Iterable[Ending | AttemptRecord]) -> Node:
    """The node with what went wrong on it counted, by whose fault it was."""
    faults = node.faults
    for one in ended:
        cause = cause_of(one)
        if cause is not None:
            faults = _with_fault(faults, cause, 1)
    return node if faults is node.faults else replace(node, ver=node.ver + 1, faults=faults)


def _with_fault(faults: dict[str, int], cause: Cause, count: int) -> dict[str, int]:
    return {**faults, cause.value: max(faults.get(cause.value, 0) + count, 0)}


def _judged(node: Node) -> Node:
    """The node quarantined, or taken back, by what it is accused of and nobody has explained."""
    reason = _crash_reason(node) or _dissent_reason(node)
    if reason is not None and node.status is Status.READY:
        return replace(node, status=Status.QUARANTINED, reason=reason)
    if reason is None and node.status is Status.QUARANTINED:
        return replace(node, status=Status.READY, reason=None)
    return node


def _crash_reason(node: Node) -> Reason | None:
    unexplained = [crash for crash in node.crashes if not crash.explained]
    if len(unexplained) < CRASHES_MAX:
        return None
    culprits = ", ".join(wire_id("task", crash.tasks[0]) for crash in unexplained)
    return Reason(
        str(Status.QUARANTINED),
        f"{len(unexplained)} times in a row its agent died or fell silent under different tasks: {culprits}.",
        f"Look at the machine and at its agent's log, then take it back: `anchor node resume {node.id}`.",
    )


def _dissent_reason(node: Node) -> Reason | None:
    unforgiven = [dissent for dissent in node.dissents if not dissent.forgiven]
    if len(unforgiven) < DISSENTS_MAX:
        return None
    cases = ", ".join(wire_id("case", dissent.case) for dissent in unforgiven[-DISSENTS_MAX:])
    return Reason(
        str(Status.QUARANTINED),
        f"{len(unforgiven)} of its answers were not those that other nodes agreed on: {cases}.",
        f"`anchor case get` shows the evidence; `anchor case clear` explains a case, `anchor node resume {node.id}` "
        "takes the node back.",
    )


def is_connected(node: Node, *, now: int) -> bool:
    """Whether the node's session lease still runs."""
    return node.lease_until > now


def lease_has_ended(node: Node | None, session: int, *, now: int) -> bool:
    """Whether a lease taken under `session` is over: the session was replaced, ran out, or its node is gone."""
    return node is None or node.session != session or node.lease_until <= now
