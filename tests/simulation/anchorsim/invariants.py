"""The invariants of ARCHITECTURE section 6, checked on every write, acknowledgement and forgotten journal entry.

A rollback of unreplicated writes relaxes four of them, and only for what it undid: an acknowledged submit (1) and a
terminal state (2) may be gone, and are counted as reported; a key (7) whose claim is gone may get new tasks; an attempt
whose end is gone is on no server's books any more, nor are those of a session whose hello is gone and whose number is
given again, so their slots (12) may be taken by others, and their agent may have forgotten them. All else holds against
the truth as it is after the rollback: no state is invented, whoever holds an attempt the truth does not know is
refused, no two live leases are accepted, and what is there comes to its end.
A restore relaxes the same for all that came after its backup; besides, nothing an agent holds from before it counts
(24), which is checked with what each agent ran since.

Blobs, duties and the audit trail are not rolled back here: they are no part of what an operator may weaken.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from anchor.core.attempt import NOT_CHARGED, AttemptRecord, Outcome
from anchor.core.audit import first_break
from anchor.core.node import Node, Status
from anchor.core.spec import INLINE_BYTES_MAX
from anchor.core.task import FREE_MAX, HELD, TERMINAL, TRANSITIONS, State, Task, holds
from anchorsim.clocks import SWING_MS_MAX
from anchorsim.scheduler import Origin, Simulator, Violation
from anchorsim.truth import Truth, Undone

if TYPE_CHECKING:
    from anchorsim.agent import Agent

_STEPS = frozenset((old, new) for (old, _), new in TRANSITIONS.items())
_MAY_STAY = (State.WAITING, State.VERIFYING, State.QUEUED, State.LEASED, State.CANCELLING)
_WAKE_MS_MAX = 61_000
"""The longest a document may sleep: the backoff cap, and a second for who writes it late."""
_SKEW_MS = 2 * SWING_MS_MAX
"""How far two servers' clocks may be apart."""


class Invariants:
    """Watches one simulated cluster. Everything it keeps is updated write by write."""

    def __init__(self, sim: Simulator, truth: Truth, agents: Mapping[str, "Agent"], *, lease_ms: int) -> None:
        self._sim = sim
        self._truth = truth
        self._agents = agents
        self._lease_ms = lease_ms
        self._unready_since: dict[str, int] = {}
        self._held_by: dict[str, set[int]] = {}
        self._born_of: dict[tuple[str, str], int] = {}
        self._usage: dict[tuple[int, int], float] = {}
        self._excused: set[tuple[int, int]] = set()
        self._untold: dict[tuple[int, int], int] = {}
        self.acked: dict[int, int] = {}
        self._rekeyed: set[tuple[str, str]] = set()
        self._given_again: set[tuple[str, int]] = set()
        self._changes: dict[str, int] = {}
        self.gone: set[int] = set()
        """Tasks that a rollback has undone and nobody made again."""
        self.reported = 0
        """How many acknowledged submits and recorded ends were undone by rollbacks."""
        self.steps_seen: set[tuple[State, State]] = set()
        self.outcomes_seen: set[Outcome] = set()
        truth.on_task.append(self.task_written)
        truth.on_node.append(self.node_written)
        truth.on_rollback.append(self.rolled_back)

    def task_written(self, old: Task | None, new: Task, origin: Origin) -> None:
        """Look at one write of a task, before it is applied."""
        if old is None:
            self._born(new, origin)
        else:
            self._changed(old, new, origin)
        # What runs by its items or copies no node holds.
        if new.parts is None and new.state in HELD and (old is None or old.state not in HELD):
            self._held_by.setdefault(new.node, set()).add(new.id)
            self._leased(new)
        elif new.parts is None and old is not None and old.state in HELD and new.state not in HELD:
            self._held_by[old.node].discard(new.id)
        if new.state not in TERMINAL:
            self._will_wake(new)
        if new.result is not None and new.result.blob:
            self._blob_is_there(new.result.blob)
        if new.result is not None and len(new.result.json) > INLINE_BYTES_MAX:
            raise Violation(20, f"task {new.id} has {len(new.result.json)} bytes of result inside its document")

    def node_written(self, old: Node | None, new: Node, origin: Origin) -> None:
        """Look at one write of a node, before it is applied."""
        if old is None:
            return
        if new.session == old.session and new.lease_until != old.lease_until:
            speaks = (origin.kind, origin.node, origin.session) == ("heartbeat", old.id, old.session)
            if not speaks:
                raise Violation(10, f"{origin.kind} of session {origin.session} moved the lease of {old.id}")
        if new.session != old.session and origin.epoch > self._truth.epoch:
            raise Violation(24, f"{new.id} knows epoch {origin.epoch} and is taken in at epoch {self._truth.epoch}")
        if new.session != old.session and (new.session != old.session + 1 or origin.kind != "hello"):
            raise Violation(10, f"{origin.kind} moved {old.id} from session {old.session} to {new.session}")
        if new.status is not old.status and origin.kind == "operator":
            self._noted(new)
        if new.status is Status.READY:
            self._unready_since.pop(new.id, None)
        elif old.status is Status.READY:
            self._unready_since[new.id] = self._truth.host_ms()

    def acknowledged(self, tasks: Iterable[Task], origin: Origin) -> None:
        """Look at what a submit is about to answer."""
        tasks = list(tasks)
        for task in tasks:
            if task.id in self.gone:
                self.reported += 1
            elif task.id not in self._truth.tasks:
                raise Violation(1, f"task {task.id} was acknowledged and is not in the store")
            else:
                self.acked.setdefault(task.id, self._sim.now)
        if origin.key is None or origin.key in self._rekeyed:
            return
        first = self._born_of[origin.key] if tasks else 0
        if tasks and tasks[0].id != first:
            raise Violation(7, f"{origin.key} stood for task {first}, now for {tasks[0].id}")

    def forgotten(self, agent: "Agent", held: tuple[int, int]) -> None:
        """Look at an entry that an agent's journal just dropped."""
        task = self._truth.tasks.get(held[0])
        node = self._truth.nodes[agent.name]
        if held in self._excused:
            return
        if task is not None and holds(task, node=agent.name, session=node.session, attempt=held[1]):
            raise Violation("journal", f"{agent.name} forgot its live attempt {held[1]} at task {held[0]}")

    def still_there(self) -> None:
        """Look for every acknowledged task."""
        for key in self.acked:
            if key not in self._truth.tasks:
                raise Violation(1, f"task {key} was acknowledged and is gone")

        recorded = sum(
            past.usage.wall_seconds for task in self._truth.tasks.values() for past in task.attempts if past.usage
        )
        broken = first_break(self._truth.audit)
        if broken is not None:
            raise Violation(22, f"the audit chain is broken at entry {broken}")
        if abs(recorded - sum(self._usage.values())) > 1e-6:
            raise Violation(21, f"{recorded} s are on record, {sum(self._usage.values())} s were reported")

    def still_running(self) -> None:
        """In peace: look for copies that somebody wants stopped, whose node is here and was never told."""
        now = self._sim.now
        untold: dict[tuple[int, int], int] = {}
        for task in self._truth.open.values():
            agent = self._agents.get(task.node) if task.state is State.CANCELLING else None
            held = (task.id, task.attempt)
            if agent is not None and agent.host.alive and agent.session == task.session and held in agent.running:
                since = untold[held] = self._untold.get(held, now)
                if since < now - 2 * self._lease_ms:
                    raise Violation(14, f"{task.node} was never told to stop attempt {held[1]} at task {task.id}")
        self._untold = untold

    def rolled_back(self, undone: Sequence[Undone]) -> None:
        """Take over the truth as it is after writes were undone, the newest first."""
        truth = self._truth
        for table, key, was, again in undone:
            if table is truth.tasks:
                self._task_undone(key, was, again)
            elif table is truth.nodes:
                self._given_again.update((key, session) for session in range(again.session + 1, was.session + 1))
            elif table is truth.claims and (was is None or again is None or was.first != again.first):
                self._rekeyed.add(key)
                self._born_of.pop(key, None)
        self._changes.clear()
        for node in truth.nodes.values():
            if node.status is Status.READY:
                self._unready_since.pop(node.id, None)
            else:
                self._unready_since.setdefault(node.id, self._sim.now)
        self._held_by.clear()
        for task in truth.tasks.values():
            if task.state in HELD and task.parts is None:
                self._held_by.setdefault(task.node, set()).add(task.id)

    def _task_undone(self, key: int, was: Task | None, again: Task | None) -> None:
        attempts = [task.attempt for task in (was, again) if task is not None]
        self._excused.update((key, number) for number in range(min(attempts), max(attempts) + 1))
        if again is None:
            self.gone.add(key)
        else:
            self.gone.discard(key)
        ended = was is not None and was.state in TERMINAL
        if ended or (again is None and key in self.acked):
            self.reported += 1
        if again is None:
            self.acked.pop(key, None)
        for past in was.attempts if was is not None else ():
            self._usage.pop((key, past.number), None)
        for past in again.attempts if again is not None else ():
            self._usage[key, past.number] = past.usage.wall_seconds if past.usage is not None else 0.0

    def may_change(self, key: tuple[str, str]) -> bool:
        """Whether an Idempotency-Key may stand for other tasks than it did: its claim was undone."""
        return key in self._rekeyed

    def _noted(self, new: Node) -> None:
        """What an operator does is in the audit trail before it is done."""
        self._changes[new.id] = self._changes.get(new.id, 0) + 1
        if (
            sum(entry.subject == new.id and entry.by == "operator" for entry in self._truth.audit)
            < self._changes[new.id]
        ):
            raise Violation(22, f"{new.id} became {new.status}, and no entry says who wanted it")

    def _born(self, new: Task, origin: Origin) -> None:
        self.gone.discard(new.id)
        made = (new.origin is not None or new.parts is not None) and (
            new.state in (State.WAITING, State.VERIFYING) or new.state in TERMINAL
        )
        if (new.attempt, new.state) not in ((0, State.QUEUED), (1, State.LEASED)) and not (made and not new.attempt):
            raise Violation(4, f"task {new.id} was born {new.state} with attempt {new.attempt}")
        if new.payload_blob:
            self._blob_is_there(new.payload_blob)
        elif new.spec.payload is not None and len(new.spec.payload.source_code or "") > INLINE_BYTES_MAX:
            raise Violation(20, f"task {new.id} carries a large payload inside its document")
        if (
            origin.kind == "submit"
            and new.origin is None
            and origin.key is not None
            and origin.key not in self._rekeyed
        ):
            first = self._truth.claims[origin.key].first if origin.key in self._truth.claims else new.id
            known = self._born_of.setdefault(origin.key, first)
            count = self._truth.claims[origin.key].count if origin.key in self._truth.claims else 1
            if not known <= new.id <= known + (count << 8):
                raise Violation(7, f"{origin.key} made task {new.id} besides {known}")

    def _changed(self, old: Task, new: Task, origin: Origin) -> None:
        if old.state in TERMINAL:
            raise Violation(2, f"task {old.id} was {old.state} and is written again as {new.state} by {origin.kind}")
        leased = new.state is State.LEASED and (old.state is not State.LEASED or new.attempt != old.attempt)
        if leased and old.state in HELD:
            raise Violation(11, f"task {old.id} is leased to {new.node} while {old.node} holds it")
        rested = old.state is State.BACKOFF and (old.wake_at or 0) <= self._truth.host_ms()
        if leased and old.state is not State.QUEUED and not rested:
            raise Violation(15, f"task {old.id} is leased out of {old.state}: a hint was taken for truth")
        if new.attempt != old.attempt + leased:
            raise Violation(4, f"task {old.id} goes from attempt {old.attempt} to {new.attempt}")
        same = old.state is new.state and old.state in _MAY_STAY
        if not same and (old.state, new.state) not in _STEPS:
            raise Violation("transition", f"task {old.id} goes from {old.state} to {new.state}")
        self.steps_seen.add((old.state, new.state))
        self._recorded(old, new, origin)
        if old.state in HELD and new.state in HELD and (old.node, old.session) != (new.node, new.session):
            self._moved(old, new, origin)
        if leased:
            latest = max(old.created_at, old.leased_at or 0, old.attempts[-1].ended_at if old.attempts else 0)
            if (new.leased_at or 0) < latest:
                raise Violation(23, f"task {old.id} is leased {latest - (new.leased_at or 0)} ms before its past")
        if new.finished_at is not None:
            latest = max(new.created_at, new.leased_at or 0, new.attempts[-1].ended_at if new.attempts else 0)
            if new.finished_at < latest or new.finished_at > max(latest, self._truth.host_ms()):
                raise Violation(23, f"task {old.id} finishes {latest - new.finished_at} ms before its past")

    def _recorded(self, old: Task, new: Task, origin: Origin) -> None:
        if new.attempts[: len(old.attempts)] != old.attempts or len(new.attempts) > len(old.attempts) + 1:
            raise Violation(2, f"task {old.id}: the record of a past attempt changed")
        free = min(FREE_MAX, sum(past.outcome in NOT_CHARGED for past in new.attempts))
        charged = len(new.attempts) - free
        if new.charged != charged or charged > new.spec.retry.attempts:
            raise Violation(5, f"task {old.id} is charged {new.charged} for {charged} of {new.spec.retry.attempts}")
        if len(new.attempts) == len(old.attempts):
            if new.state is State.SUCCEEDED and new.parts is None:
                raise Violation(9, f"task {old.id} succeeded without an attempt")
            return
        last = new.attempts[-1]
        self.outcomes_seen.add(last.outcome)
        if (last.number, last.node, last.session) != (old.attempt, old.node, old.session):
            raise Violation(3, f"task {old.id}: attempt {last.number} is recorded where {old.attempt} was live")
        if last.ended_at < last.leased_at:
            raise Violation(23, f"task {old.id}: attempt {last.number} ends before it began")
        if origin.kind == "report" and (origin.node, origin.session) != (old.node, old.session):
            raise Violation(3, f"{origin.node} in session {origin.session} ended the lease of {old.node}")
        if last.outcome is Outcome.SUCCEEDED:
            self._executed(old, new, origin)
        self._measured(old, last)

    def _measured(self, old: Task, last: AttemptRecord) -> None:
        if [past.number for past in old.attempts if past.number >= last.number] or (old.id, last.number) in self._usage:
            raise Violation(21, f"task {old.id}: attempt {last.number} is counted a second time")
        seconds = last.usage.wall_seconds if last.usage is not None else 0.0
        if seconds and not self._agents[last.node].has_measured(old.id, last.number, seconds):
            raise Violation(21, f"task {old.id}: {last.node} never measured {seconds} s for attempt {last.number}")
        self._usage[old.id, last.number] = seconds

    def _executed(self, old: Task, new: Task, origin: Origin) -> None:
        if origin.kind != "report":
            raise Violation(3, f"task {old.id} succeeded by {origin.kind}, not by its holder")
        if new.state is State.CANCELLED:
            return
        value = (new.result.blob or new.result.json.decode()) if new.result is not None else ""
        if self._agents[old.node].has_run(old.id, old.attempt, value):
            return
        for agent in self._agents.values():
            if agent.once_made(old.id, value):
                raise Violation(
                    3, f"task {old.id} takes {agent.name}'s {value} for attempt {old.attempt} of {old.node}"
                )
        raise Violation(9, f"task {old.id} succeeded with {value}, which {old.node} never logged")

    def _moved(self, old: Task, new: Task, origin: Origin) -> None:
        if new.session < old.session:
            raise Violation(10, f"task {old.id} goes back from session {old.session} to {new.session} of {old.node}")
        if max(origin.epoch, 0) != self._truth.epoch:
            raise Violation(24, f"attempt {old.attempt} at task {old.id} is carried over from epoch {origin.epoch}")
        own = origin.kind == "hello" and origin.node == old.node == new.node
        if not own or (old.id, old.attempt) not in origin.held:
            raise Violation(3, f"attempt {old.attempt} at task {old.id} moves to a session that does not hold it")

    def _leased(self, new: Task) -> None:
        node = self._truth.nodes[new.node]
        held = [self._truth.tasks[key] for key in self._held_by[new.node] if key != new.id]
        live = sum(task.session == node.session and (task.id, task.attempt) not in self._excused for task in held)
        live += new.session == node.session
        if live > node.slots and (node.id, node.session) not in self._given_again:
            raise Violation(12, f"{live} live leases on the {node.slots} slots of {node.id}")
        since = self._unready_since.get(new.node)
        if since is not None and (new.leased_at or 0) > since + self._lease_ms + _SKEW_MS:
            ago = (new.leased_at or 0) - since
            raise Violation(13, f"task {new.id} is leased to {new.node}, which is {node.status} since {ago} ms")

    def _will_wake(self, new: Task) -> None:
        if new.wake_at is None or new.wake_at > self._truth.host_ms() + _WAKE_MS_MAX:
            raise Violation(15, f"task {new.id} is {new.state} and nothing will look at it again")

    def _blob_is_there(self, digest: str) -> None:
        content = self._truth.blobs.get(digest)
        if content is None or hashlib.sha256(content).hexdigest() != digest:
            raise Violation(20, f"the blob {digest[:12]} is named and not there")
