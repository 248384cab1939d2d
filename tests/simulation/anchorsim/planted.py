"""Deliberate mistakes, each put into the code or the simulated machines for the length of a test: all must be found."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any

from msgspec.structs import replace

from anchor.core import audit as core_audit
from anchor.core import task as core_task
from anchor.core.attempt import Ending, Outcome, Reason, Usage
from anchor.core.audit import Entry
from anchor.core.errors import Unavailable
from anchor.core.ids import KeySequence
from anchor.core.items import Walk
from anchor.core.node import beat
from anchor.core.run_view import RunView
from anchor.core.task import HELD, TERMINAL, State, Task
from anchor.core.verification import Verify, policy_of
from anchor.orchestrator import (
    apart,
    attend,
    audit,
    cancel,
    dispatch,
    duties,
    enter,
    fleet,
    graphs,
    nodes,
    reconcile,
    rounds,
    settle,
)
from anchor.orchestrator.run_memory import Known
from anchor.orchestrator.world import World
from anchor.ports.store import Claim, Duty, Swap, UnknownOutcome
from anchorsim.agent import Bugs
from anchorsim.cluster import Wiring
from anchorsim.scheduler import Call
from anchorsim.store import SimStore

# The package gives functions the names of the modules they are in.
advance, stop, sweep = (sys.modules[f"anchor.orchestrator.graphs.{name}"] for name in ("advance", "cancel", "sweep"))


@dataclasses.dataclass(frozen=True)
class Bug:
    """A mistake: `patches` maps (place, name) to what is put there, and `wiring` exchanges simulated parts.

    `caught_by` are the invariants that may find it first.
    """

    name: str
    caught_by: frozenset[int | str]
    patches: tuple[tuple[Any, str, Any], ...] = ()
    wiring: Wiring = dataclasses.field(default_factory=Wiring)

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """Make the mistake, and mend it afterwards."""
        before = [(place, name, getattr(place, name)) for place, name, _ in self.patches]
        try:
            for place, name, wrong in self.patches:
                setattr(place, name, wrong)
            yield
        finally:
            for place, name, right in before:
                setattr(place, name, right)


def _bug(name: str, *caught_by: int | str, wiring: Wiring | None = None, patches: Sequence[Any] = ()) -> Bug:
    return Bug(name, frozenset(caught_by), tuple(patches), wiring or Wiring())


# Stores that lie


class _AcksBeforeWriting(SimStore):
    """Says yes at once and writes a little later, if its server still lives then."""

    async def insert(self, tasks: Sequence[Task]) -> list[bool]:
        sim = self._truth.sim
        process = sim.current
        if process is not None:
            sim.after(40, lambda: self._truth.insert(tasks, 1.0) if process.host.alive else None)
        return await Call(lambda _: [True] * len(tasks), writes=True)


class _TakesUnknownForFailure(SimStore):
    """Says that nothing was written where nobody knows."""

    async def swap(self, swaps: Sequence[Swap]) -> list[bool]:
        try:
            return await super().swap(swaps)
        except UnknownOutcome:
            raise Unavailable("The store did not answer.") from None


class _TakesUnknownForSuccess(SimStore):
    """Says that all was written where nobody knows."""

    async def insert(self, tasks: Sequence[Task]) -> list[bool]:
        try:
            return await super().insert(tasks)
        except UnknownOutcome:
            return [True] * len(tasks)


class _TakesSilenceForAbsence(SimStore):
    """Knows of nothing while it cannot be reached."""

    async def get(self, ids: Sequence[int]) -> list[Task | None]:
        try:
            return await super().get(ids)
        except Unavailable:
            return [None] * len(ids)


class _IgnoresClaims(SimStore):
    """Lets every request with an Idempotency-Key have its way."""

    async def claim(self, claim: Claim) -> Claim:
        await super().claim(claim)
        return claim


# Decisions that are wrong


def _holds_whatever_attempt(task: Task, *, node: str, session: int, attempt: int) -> bool:
    return task.state in HELD


def _holds_after_the_end(task: Task, *, node: str, session: int, attempt: int) -> bool:
    ended = task.state in TERMINAL and any((past.number, past.node) == (attempt, node) for past in task.attempts)
    return ended or core_task.holds(task, node=node, session=session, attempt=attempt)


def _settled_again(task: Task, ending: Ending, *, now: int, chance: float) -> Task:
    if task.state in TERMINAL:
        return replace(task, ver=task.ver + 1, result=ending.result)
    return core_task.settle(task, ending, now=now, chance=chance)


def _settled_twice_charged(task: Task, ending: Ending, *, now: int, chance: float) -> Task:
    new = core_task.settle(task, ending, now=now, chance=chance)
    return replace(new, charged=new.charged + 1) if ending.outcome is Outcome.LOST else new


def _settled_for_ever(task: Task, ending: Ending, *, now: int, chance: float) -> Task:
    patient = replace(task, spec=replace(task.spec, retry=replace(task.spec.retry, attempts=100)))
    return replace(core_task.settle(patient, ending, now=now, chance=chance), spec=task.spec)


def _lease_without_counting(task: Task, *, node: str, session: int, now: int, lease_ms: int) -> Task:
    new = core_task.lease(task, node=node, session=session, now=now, lease_ms=lease_ms)
    return replace(new, attempt=max(task.attempt, 1))


def _lease_in_the_past(task: Task, *, node: str, session: int, now: int, lease_ms: int) -> Task:
    new = core_task.lease(task, node=node, session=session, now=now, lease_ms=lease_ms)
    return replace(new, leased_at=now - 3_000)


def _pick_whoever(candidates: Any, *_: Any) -> Any:
    return min((one for one in candidates if one.free > 0), key=lambda one: one.node, default=None)


def _takes_any_work(seat: fleet.Seat, now: int) -> bool:
    return seat.free > 0 and seat.lease_until > now


def _wake_never(task: Task, *, now: int, **_: Any) -> Task:
    return replace(core_task.wake(task, now=now), wake_at=None)


def _cancelled_in_mid_run(task: Task, *, by: str, now: int, reason: Reason | None = None) -> Task:
    if task.state is State.LEASED:
        return replace(task, ver=task.ver + 1, state=State.CANCELLED, wake_at=None, finished_at=now)
    return core_task.cancel(task, by=by, now=now, reason=reason)


def _settled_with_a_slip(task: Task, ending: Ending, *, now: int, chance: float) -> Task:
    return core_task.settle(task, ending, now=now, chance=1 / (ending.outcome is not Outcome.CRASHED))


def _undated(task: Task, now: int) -> int:
    return now


def _usage_added_up(task: Task, ending: Ending, *, now: int, chance: float) -> Task:
    if task.attempts and task.attempts[-1].usage is not None and ending.usage is not None:
        both = task.attempts[-1].usage.wall_seconds + ending.usage.wall_seconds
        ending = replace(ending, usage=Usage(wall_seconds=both))
    return core_task.settle(task, ending, now=now, chance=chance)


def _rested_already(task: Task, now: int) -> bool:
    return task.state in (State.QUEUED, State.BACKOFF)


def _sealed_alone(before: Entry | None, *, at: int, kind: str, subject: str, message: str, by: str) -> Entry:
    entry = core_audit.sealed(None, at=at, kind=kind, subject=subject, message=message, by=by)
    return replace(entry, number=1 if before is None else before.number + 1)


async def _welcome_whatever_epoch(world: World, node_id: str, *, epoch: int, **hello: Any) -> nodes.Greeted:
    return await _welcome(world, node_id, epoch=await world.store.epoch(), **hello)


_welcome = nodes.welcome


async def _refuse_nobody(world: World, node: str, *, epoch: int, ours: int) -> None:
    await world.store.epoch()


async def _note_nothing(world: World, *, kind: str, subject: str, message: str, by: str) -> None:
    await world.store.audit_tail()


def _key_without_end(self: KeySequence, count: int, *, now_ms: int) -> range:
    self.valid_until = inf
    return _take(self, count, now_ms=now_ms)


_take = KeySequence.take


# Steps that are wrong


async def _cancel_said_once(world: World, now: int) -> None:
    await world.store.due(State.CANCELLING, now, 1)


async def _number_of_ones_own(store: Any, name: str, *, holder: str, now: int, lease_ms: int, note: str = "") -> Duty:
    await store.duty(name)
    return Duty(name=name, holder=holder, term=1, until=now + lease_ms, note=note)


def _unmissed(seat: fleet.Seat, task: Task, *, now: int) -> None:
    """Whoever is not missed is not looked for."""


async def _no_reconcile(world: World) -> None:
    await world.store.counts(None)


async def _wake_nobody(world: World, now: int) -> None:
    await world.store.due(State.BACKOFF, now, 1)


async def _no_second_hint(world: World, now: int) -> None:
    await world.store.due(State.QUEUED, now, 1)


async def _nothing_taken_back(world: World, seat: fleet.Seat, helds: Sequence[nodes.Held], reason: Reason) -> None:
    await world.store.get([task for task, _ in helds])


_heartbeat = nodes.heartbeat


async def _any_heartbeat(
    world: World, node_id: str, session: int, *, metrics: Any, held: Sequence[nodes.Held], **rest: Any
) -> list[nodes.Held] | None:
    old = await world.store.node(node_id)
    if old is None or old.session == session:
        return await _heartbeat(world, node_id, session, metrics=metrics, held=held, **rest)
    await world.store.swap_node(old, beat(old, metrics, now=world.clock.now(), lease_ms=world.lease_ms))
    return []


async def _adopt_whatever(world: World, node: Any, held: Sequence[nodes.Held]) -> tuple[list[Task], list[nodes.Held]]:
    found = await world.store.get([task for task, _ in held])
    swaps = [
        Swap(task, core_task.adopt(task, session=node.session, until=node.lease_until))
        for task in found
        if task is not None and task.state in HELD
    ]
    done = await world.store.swap(swaps)
    return [swap.new for swap, ok in zip(swaps, done, strict=True) if ok], []


async def _lease_what_is_hinted(world: World, hints: Sequence[Any]) -> int:
    tasks = await world.store.get([hint.id for hint in hints])
    now = world.clock.now()
    swaps = []
    for task in tasks:
        seat = world.fleet.choose(task.shape, now=now) if task is not None else None
        if task is not None and seat is not None:
            queued = replace(task, state=State.QUEUED)
            new = core_task.lease(queued, node=seat.node, session=seat.session, now=now, lease_ms=world.lease_ms)
            seat.held[task.id] = (new.attempt, now)
            swaps.append(Swap(task, new))
    done = await world.store.swap(swaps)
    await dispatch.hand_out(world, [swap.new for swap, ok in zip(swaps, done, strict=True) if ok])
    return sum(done)


async def _blob_named_and_not_kept(world: World, task: Task) -> Task:
    return replace(task, spec=replace(task.spec, payload=None), payload_blob="0" * 64)


def _never_blocked(view: RunView, step: int) -> int | None:
    return None


async def _no_sweep(world: World, now: int) -> None:
    await world.store.runs_due(now, 1)


def _nothing_counted(view: RunView) -> dict[str, int]:
    return {}


def _anywhere(siblings: apart.Apart, task: Task) -> None:
    """Whoever has no siblings may go anywhere."""


def _one_is_enough(wish: Verify | str) -> Verify | None:
    policy = policy_of(wish)
    return None if policy is None else replace(policy, agree=1)


def _over_at_once(self: Walk, number: int, *, succeeded: bool) -> int | None:
    self.ended = self.succeeded = self.count
    return _note_item(self, number, succeeded=succeeded)


_note_item = Walk.note


async def _stop_no_step(world: World, known: Known) -> None:
    await world.store.run(known.run.id)


def _agent(**bugs: bool) -> Wiring:
    return Wiring(bugs=Bugs(**bugs))


def _seat_with_one_more(seat: fleet.Seat) -> int:
    return seat.slots + 1 - len(seat.held)


def _ready_for_ever(seat: fleet.Seat, node: Any) -> None:
    seat.lease_until = node.lease_until


BUGS = (
    _bug("no fence in settle", 3, 9, 21, patches=[(settle, "holds", _holds_whatever_attempt)]),
    _bug("blind put instead of compare-and-set", 2, 3, 4, 10, 11, 15, 23, "transition", wiring=Wiring(blind=True)),
    _bug("ack before write", 1, wiring=Wiring(store=_AcksBeforeWriting)),
    _bug("no reconciler", 6, patches=[(reconcile, "reconcile", _no_reconcile)]),
    _bug(
        "attempt not incremented", 4,
        patches=[(dispatch, "lease", _lease_without_counting), (enter, "lease", _lease_without_counting)],
    ),
    _bug("old session's heartbeat extends", 10, patches=[(nodes, "heartbeat", _any_heartbeat)]),
    _bug(
        "lease to a drained node", 13,
        patches=[(fleet, "pick", _pick_whoever), (fleet, "_takes_work", _takes_any_work)],
    ),
    _bug("a seat ignores its node's status", 6, 13, patches=[(fleet.Seat, "see", _ready_for_ever)]),
    _bug("slots overbooked", 12, patches=[(fleet.Seat, "free", property(_seat_with_one_more))]),
    _bug("hint taken for truth", 2, 11, 15, patches=[(dispatch, "_lease", _lease_what_is_hinted)]),
    _bug(
        "result rewritten after the end", 2,
        patches=[(settle, "holds", _holds_after_the_end), (settle, "settled", _settled_again)],
    ),
    _bug("idempotency claim ignored", 7, wiring=Wiring(store=_IgnoresClaims)),
    _bug("agent forgets before recorded", "journal", wiring=_agent(forgets_early=True)),
    _bug("agent calls a crash a success", 9, wiring=_agent(calls_crashes_success=True)),
    _bug("agent reports only once", 6, wiring=_agent(reports_once=True)),
    _bug("result names a blob before it is kept", 20, wiring=_agent(names_blob_first=True)),
    _bug("payload blob named and not kept", 20, patches=[(enter, "resting_apart", _blob_named_and_not_kept)]),
    _bug("adoption without checking the attempt", 3, 10, patches=[(nodes, "_adopt", _adopt_whatever)]),
    _bug("backoff never woken", 6, patches=[(reconcile, "_wake_rested", _wake_nobody)]),
    _bug("queued without a wake-up", 15, patches=[(reconcile, "wake", _wake_never)]),
    _bug("lost hints not replaced", 6, patches=[(reconcile, "_hint_waiting", _no_second_hint)]),
    _bug("lost assignment unnoticed", 6, patches=[(nodes, "take_back", _nothing_taken_back)]),
    _bug("lost charged twice", 5, patches=[(settle, "settled", _settled_twice_charged)]),
    _bug("tried for ever", 5, patches=[(settle, "settled", _settled_for_ever)]),
    _bug("an exception nobody expects", "exception", patches=[(settle, "settled", _settled_with_a_slip)]),
    _bug("lease dated into the past", 23, patches=[(dispatch, "lease", _lease_in_the_past)]),
    _bug("unknown outcome taken for failure", 12, wiring=Wiring(store=_TakesUnknownForFailure)),
    _bug("unknown outcome taken for success", 1, wiring=Wiring(store=_TakesUnknownForSuccess)),
    _bug("unreachable store taken for an empty one", "journal", wiring=Wiring(store=_TakesSilenceForAbsence)),
    _bug("skewed clocks date things before their past", 23, patches=[(core_task, "_not_before_its_past", _undated)]),
    _bug("usage counted again with the next attempt", 21, patches=[(settle, "settled", _usage_added_up)]),
    _bug("resting task taken for due", 15, patches=[(dispatch, "_can_be_leased", _rested_already)]),
    _bug("keys made past the end of the number's lease", "keys", patches=[(KeySequence, "take", _key_without_end)]),
    _bug("number taken without asking", "keys", patches=[(duties, "take", _number_of_ones_own)]),
    _bug("lost cancel never repeated", 6, 14, patches=[(reconcile, "_repeat_cancels", _cancel_said_once)]),
    _bug(
        "late lease missed on no other server", 6,
        patches=[(attend, "miss_if_unlisted", _unmissed), (reconcile, "miss_if_unlisted", _unmissed)],
    ),
    _bug("epoch ignored", 3, 9, 21, 24, patches=[(nodes, "welcome", _welcome_whatever_epoch)]),
    _bug("agent of a newer epoch taken in", 24, patches=[(nodes, "refuse_newer", _refuse_nobody)]),
    _bug("audit entry sealed without the one before", 22, patches=[(audit, "sealed", _sealed_alone)]),
    _bug("node blocked unseen", 22, patches=[(nodes, "note", _note_nothing)]),
    _bug("step begins before what it waits for", 8, patches=[(RunView, "_blocker", _never_blocked)]),
    _bug("runs never looked at again", 6, patches=[(graphs, "sweep", _no_sweep)]),
    _bug("a run miscounts its steps", 21, patches=[(advance, "tallied", _nothing_counted)]),
    _bug("a cancelled run stops nothing", 6, patches=[(sweep, "stop", _stop_no_step), (stop, "stop", _stop_no_step)]),
    _bug("a list ends with its first item", 6, 9, "items", "orphan", patches=[(Walk, "note", _over_at_once)]),
    _bug("copies on one owner's nodes", 16, patches=[(apart.Apart, "barred", _anywhere)]),
    _bug("one vote is enough", 17, patches=[(rounds, "policy_of", _one_is_enough)]),
    _bug("cancelled while a node still runs it", "transition", patches=[(cancel, "cancelled", _cancelled_in_mid_run)]),
)  # fmt: skip
"""Every planted bug and the invariants that may be the first to find it."""
