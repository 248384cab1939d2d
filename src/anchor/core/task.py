"""The life of a task: its states as a table, and the pure decisions that move it from one to the next."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from anchor.core.attempt import NOT_CHARGED, AttemptRecord, Ending, Outcome, Reason, Result, took_its_node_down
from anchor.core.errors import FailureCode
from anchor.core.ids import STEP
from anchor.core.items import Items
from anchor.core.retry import backoff_ms, may_retry
from anchor.core.spec import TaskSpec, need_of_shape, shape_of
from anchor.core.verification import Round, Undecided, Verdict, policy_of


class State(StrEnum):
    """Where a task is in its life. `running` is shown, never stored: a lease the agent has acknowledged. `waiting` and
    `verifying` are tasks that no node runs: their items do, or their copies."""

    WAITING = "waiting"
    VERIFYING = "verifying"
    QUEUED = "queued"
    LEASED = "leased"
    BACKOFF = "backoff"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INCONCLUSIVE = "inconclusive"


class Event(StrEnum):
    """What can happen to a task."""

    LEASE = "lease"
    SUCCEED = "succeed"
    FAIL = "fail"
    GIVE_UP = "give up"
    RETURN = "return"
    WAKE = "wake"
    CANCEL = "cancel"
    STOP = "stop"
    DISAGREE = "disagree"


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.WAITING, Event.SUCCEED): State.SUCCEEDED,
    (State.WAITING, Event.GIVE_UP): State.FAILED,
    (State.WAITING, Event.CANCEL): State.CANCELLING,
    (State.VERIFYING, Event.SUCCEED): State.SUCCEEDED,
    (State.VERIFYING, Event.GIVE_UP): State.FAILED,
    (State.VERIFYING, Event.DISAGREE): State.INCONCLUSIVE,
    (State.VERIFYING, Event.CANCEL): State.CANCELLING,
    (State.QUEUED, Event.LEASE): State.LEASED,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.LEASED, Event.SUCCEED): State.SUCCEEDED,
    (State.LEASED, Event.FAIL): State.BACKOFF,
    (State.LEASED, Event.GIVE_UP): State.FAILED,
    (State.LEASED, Event.RETURN): State.QUEUED,
    (State.LEASED, Event.CANCEL): State.CANCELLING,
    (State.BACKOFF, Event.WAKE): State.QUEUED,
    (State.BACKOFF, Event.LEASE): State.LEASED,
    (State.BACKOFF, Event.CANCEL): State.CANCELLED,
    (State.CANCELLING, Event.STOP): State.CANCELLED,
}
"""The authority on a task's life; `docs/lifecycle.md` is drawn from it."""

TERMINAL: Final = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.INCONCLUSIVE})
HELD: Final = frozenset({State.LEASED, State.CANCELLING})
"""States in which a node holds an attempt."""

HINT_SECONDS: Final = 30
"""How long a queued task may be without a hint before the reconciler gives it one."""


FREE_MAX: Final = 100
"""How often an attempt may end at nobody's charge; from then on every ending counts, so that no task circles on."""

VERIFYING_SECONDS: Final = 30
"""How long a verified task may be without anybody looking at it before the reconciler does."""

POISON_NODES = 3
"""A task that took down this many different nodes is not tried again, however many attempts it has left."""


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task was made for. `run` and `step` (its number) of a graph; `head` is the waiting or verifying task it is
    item or, where it `is_copy`, copy `number` of. Of the tasks `apart` (first key, how many, STEP between them) no two
    may run on one node, nor, with `owners_apart`, on nodes of one owner."""

    run: int = 0
    step: int = -1
    head: int = 0
    number: int = -1
    apart: tuple[int, int] | None = None
    owners_apart: bool = False
    is_copy: bool = False


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One unit of work and everything true of it. Times are Unix milliseconds.

    `attempt` is the number of the newest lease and, with `node` and `session`, the fence: only the holder of exactly
    that lease may end it. `charged` counts the attempts that used up one of the policy's tries.
    `payload_blob` names the blob that holds the payload where it is too large to rest in the document. `part_of` is the
    run, or else the task, that it belongs to: while that one lives, it is not removed. `parts` are the items or copies
    of a task that no node runs.
    """

    id: int
    owner: str
    spec: TaskSpec
    shape: str
    created_at: int
    payload_blob: str = ""
    retry_of: int = 0
    part_of: int = 0
    origin: Origin | None = None
    ver: int = 1
    state: State = State.QUEUED
    attempt: int = 0
    charged: int = 0
    node: str = ""
    session: int = 0
    wake_at: int | None = None
    leased_at: int | None = None
    finished_at: int | None = None
    reason: Reason | None = None
    result: Result | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    parts: Items | Round | None = None


class IllegalTransition(Exception):
    """An event that the table does not allow in this state: the caller decided on stale facts."""


def _next(task: Task, event: Event) -> State:
    try:
        return TRANSITIONS[task.state, event]
    except KeyError:
        raise IllegalTransition(f"{event} while {task.state}") from None


def queued(
    *,
    key: int,
    owner: str,
    spec: TaskSpec,
    shape: str,
    now: int,
    payload_blob: str = "",
    retry_of: int = 0,
    part_of: int = 0,
    origin: Origin | None = None,
) -> Task:
    """A new task, ready to be leased."""
    return Task(
        id=key,
        owner=owner,
        spec=spec,
        shape=shape,
        created_at=now,
        payload_blob=payload_blob,
        retry_of=retry_of,
        part_of=part_of,
        origin=origin,
        wake_at=now + HINT_SECONDS * 1000,
    )


def verified(task: Task, round_: Round) -> Task:
    """A new task as one that no node runs: its copies do."""
    until = task.created_at + VERIFYING_SECONDS * 1000
    return replace(task, state=State.VERIFYING, parts=round_, wake_at=until)


def copied(head: Task, round_: Round, number: int, *, now: int) -> Task:
    """Copy `number` of a verified task: the same work, on a node that seals its answers, kept apart from the other
    copies by node and, as a rule, by owner."""
    need = need_of_shape(head.shape)
    run, step = (head.origin.run, head.origin.step) if head.origin is not None else (0, -1)
    policy = policy_of(head.spec.verify)
    origin = Origin(
        run=run,
        step=step,
        head=head.id,
        number=number,
        apart=(round_.first, round_.cap),
        owners_apart=policy is None or not policy.same_owner,
        is_copy=True,
    )
    return queued(
        key=round_.first + number * STEP,
        owner=head.owner,
        spec=replace(head.spec, verify="none"),
        shape=shape_of(msgspec.structs.replace(need, features=(*need.features, "seals"))),
        now=now,
        payload_blob=head.payload_blob,
        part_of=head.part_of or head.id,
        origin=origin,
    )


def with_round(task: Task, round_: Round, *, now: int) -> Task:
    """A verified task that asked for more copies, or whose round is decided."""
    return replace(task, ver=task.ver + 1, parts=round_, wake_at=_not_before_its_past(task, now) + 1000)


def concluded(task: Task, verdict: Verdict, winner: Task | None, *, now: int) -> Task:
    """A verified task as its verdict says: with the answer of the copy that won, or without one and why."""
    now = _not_before_its_past(task, now)
    base: dict[str, object] = {"ver": task.ver + 1, "wake_at": None, "finished_at": now}
    if winner is not None and verdict.agreed:
        base |= {"node": winner.node, "leased_at": winner.leased_at}
        if winner.state is State.SUCCEEDED:
            return replace(task, **base, state=_next(task, Event.SUCCEED), result=winner.result)
        return replace(task, **base, state=_next(task, Event.GIVE_UP), reason=winner.reason)
    if verdict.why is Undecided.POISON:
        return replace(task, **base, state=_next(task, Event.GIVE_UP), reason=_undecided(task, verdict))
    return replace(task, **base, state=_next(task, Event.DISAGREE), reason=_undecided(task, verdict))


def stopped(task: Task, *, now: int) -> Task:
    """A task that somebody wanted stopped, once nothing that is part of it runs any more."""
    now = _not_before_its_past(task, now)
    return replace(task, ver=task.ver + 1, state=_next(task, Event.STOP), wake_at=None, finished_at=now)


def _undecided(task: Task, verdict: Verdict) -> Reason:
    votes = len(verdict.votes)
    asked = task.parts.asked if isinstance(task.parts, Round) else votes
    match verdict.why:
        case Undecided.POISON:
            return Reason(
                FailureCode.POISON,
                "A copy of this task took down the nodes that ran it, so no other copies are risked.",
                "Look at what it does to a machine, then retry it.",
            )
        case Undecided.NOT_DETERMINISTIC:
            return Reason(
                str(verdict.why),
                f"This task is not deterministic: no two of the answers of its {votes} copies are the same.",
                "Take out chance, time and order, leave out what differs (compare json, ignore), or compare numeric.",
            )
        case Undecided.TOO_FEW_ANSWERS:
            return Reason(
                str(verdict.why),
                f"Only {votes} of the {asked} copies of this task brought an answer that counts.",
                "Ask for more (verify.copiesMax), or see with `anchor node ls` why nodes are lost.",
            )
        case _:
            return Reason(
                str(Undecided.NO_MAJORITY),
                f"Of the answers of {votes} copies not enough are the same, so none is taken.",
                "Look at the votes: `anchor task get`; run it again with more copies (verify.copiesMax).",
            )


def lease(task: Task, *, node: str, session: int, now: int, lease_ms: int) -> Task:
    """The task as attempt n + 1, held by this node's session."""
    return replace(
        task,
        ver=task.ver + 1,
        state=_next(task, Event.LEASE),
        attempt=task.attempt + 1,
        node=node,
        session=session,
        leased_at=_not_before_its_past(task, now),
        wake_at=now + lease_ms,
        reason=None,
    )


def holds(task: Task, *, node: str, session: int, attempt: int) -> bool:
    """Whether this is the live lease: the fence every report has to pass."""
    return task.state in HELD and task.node == node and task.session == session and task.attempt == attempt


def extend(task: Task, *, until: int) -> Task:
    """The same task in the same state, looked at again at `until`."""
    return replace(task, ver=task.ver + 1, wake_at=until)


def adopt(task: Task, *, session: int, until: int) -> Task:
    """The same attempt carried over to its node's newer session, after a reconnect."""
    return replace(task, ver=task.ver + 1, session=session, wake_at=until)


def settle(task: Task, ending: Ending, *, now: int, chance: float) -> Task:
    """What a task becomes when its live attempt ends. `chance` in [0, 1) is the jitter of a backoff."""
    now = _not_before_its_past(task, now)
    record = AttemptRecord(
        number=task.attempt,
        node=task.node,
        session=task.session,
        outcome=ending.outcome,
        leased_at=task.leased_at or now,
        ended_at=now,
        reason=ending.reason,
        usage=ending.usage,
        output_truncated=ending.output_truncated,
        seal=ending.seal,
    )
    free = ending.outcome in NOT_CHARGED and len(task.attempts) - task.charged < FREE_MAX
    charged = task.charged + (not free)
    base = {
        "ver": task.ver + 1,
        "charged": charged,
        "attempts": (*task.attempts, record),
        "session": 0,
    }
    if task.state is State.CANCELLING:
        return replace(task, **base, state=_next(task, Event.STOP), wake_at=None, finished_at=now)
    if ending.outcome is Outcome.SUCCEEDED:
        return replace(
            task, **base, state=_next(task, Event.SUCCEED), wake_at=None, finished_at=now, result=ending.result
        )
    reason = ending.reason or Reason(FailureCode.CRASHED, "The attempt ended without saying why.")
    downed = nodes_taken_down((*task.attempts, record)) if took_its_node_down(record) else []
    if len(downed) >= POISON_NODES:
        poison = _poison(downed)
        return replace(task, **base, state=_next(task, Event.GIVE_UP), wake_at=None, finished_at=now, reason=poison)
    if free and ending.outcome is Outcome.RELEASED:
        return replace(
            task, **base, state=_next(task, Event.RETURN), wake_at=now + HINT_SECONDS * 1000, node="", reason=reason
        )
    if free or may_retry(task.spec.retry, charged, reason.code):
        delay = backoff_ms(task.spec.retry, max(charged, 1), chance=chance)
        return replace(task, **base, state=_next(task, Event.FAIL), wake_at=now + delay, node="", reason=reason)
    return replace(task, **base, state=_next(task, Event.GIVE_UP), wake_at=None, finished_at=now, reason=reason)


def nodes_taken_down(attempts: Iterable[AttemptRecord]) -> list[str]:
    """The nodes whose agents died or fell silent under these attempts, each once, in the order of the attempts."""
    return list(dict.fromkeys(past.node for past in attempts if took_its_node_down(past)))


def _poison(nodes: Sequence[str]) -> Reason:
    return Reason(
        FailureCode.POISON,
        f"{len(nodes)} nodes were lost while they ran this task: {', '.join(nodes)}.",
        "It is not tried again by itself. Look at what it does to a machine, then retry it.",
    )


def wake(task: Task, *, now: int) -> Task:
    """A task whose backoff is over, queued again."""
    return replace(task, ver=task.ver + 1, state=_next(task, Event.WAKE), wake_at=now + HINT_SECONDS * 1000)


def cancel(task: Task, *, by: str, now: int, reason: Reason | None = None) -> Task:
    """The task as it is once somebody asked for its end: cancelled, or cancelling while a node still holds it."""
    state = _next(task, Event.CANCEL)
    now = _not_before_its_past(task, now)
    reason = reason or Reason(FailureCode.CANCELLED, f"Cancelled by {by}.")
    if state in TERMINAL:
        return replace(task, ver=task.ver + 1, state=state, wake_at=None, finished_at=now, reason=reason)
    return replace(task, ver=task.ver + 1, state=state, reason=reason, wake_at=now)


def _not_before_its_past(task: Task, now: int) -> int:
    """`now`, or the newest time on record where that is later: another server, whose clock is ahead, wrote it."""
    return max(now, task.created_at, task.leased_at or 0, task.attempts[-1].ended_at if task.attempts else 0)
