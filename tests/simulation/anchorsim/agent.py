"""A simulated agent: a durable journal, copies that run for a while, and the link's rules on the agent's side.

*Accepted* is written before running, *result* before sending; an entry is dropped only on the server's word.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from anchor.core.attempt import Ending, Outcome, Reason, Result, Usage
from anchor.core.errors import FailureCode
from anchor.core.node import Profile
from anchor.wire.link import UNKNOWN_EPOCH
from anchorsim.clocks import drifting
from anchorsim.hosting import SimHosting
from anchorsim.network import Connection, Frame, Weather
from anchorsim.scheduler import Host, Simulator
from anchorsim.server import HEARTBEAT_MS, LEASE_MS, Hello, Server
from anchorsim.truth import Truth

Held = tuple[int, int]

ENDLESS = "endless"
"""The name of a task that runs until somebody stops it."""
LISTER = "lister"
"""The name of a task whose result holds a list."""
WELCOME_MS = 2_000
"""How long an agent waits for the answer to its hello."""
REPEAT_MS = 1_000
"""How often it repeats a report that nobody confirmed."""


@dataclass
class Nature:
    """What runs are like: how long they take, how often they fail or are refused, how many results are blobs."""

    run_ms_max: int = 400
    long_share: float = 0.0
    fail_share: float = 0.15
    reject_share: float = 0.0
    blob_share: float = 0.1


@dataclass
class Entry:
    """What the journal holds about an attempt; `ending` is None while it runs."""

    ending: Ending | None = None
    reported_at: int = 0


@dataclass
class Bugs:
    """Deliberate mistakes, for the tests that plant them."""

    forgets_early: bool = False
    calls_crashes_success: bool = False
    names_blob_first: bool = False
    reports_once: bool = False


class Agent:
    """One machine through the lives of its agent process."""

    def __init__(
        self,
        sim: Simulator,
        truth: Truth,
        weather: Weather,
        name: str,
        slots: int,
        servers: list[Server],
        nature: Nature,
        on_forget: Callable[["Agent", Held], None],
        bugs: Bugs,
    ) -> None:
        self.sim = sim
        self.truth = truth
        self.name = name
        self.slots = slots
        self.lies = ""
        """How it lies where copies are compared: `constant`, `random`, or not at all."""
        self.profile = Profile(host=name, cores=4, ram=8.0)
        self.servers = servers
        self.nature = nature
        self.journal: dict[Held, Entry] = {}
        self.epoch = UNKNOWN_EPOCH
        self._ran_since: dict[tuple[int, int, str], int] = {}
        self._took_since: dict[tuple[int, int, float], int] = {}
        self.era_ms = 1
        """What began before (Unix ms) counts no more: the store was restored."""
        self.local_ms = drifting(sim.rng)
        self.host = Host(name)
        self.host.alive = False
        self.hosting = SimHosting(self)
        self._weather = weather
        self._on_forget = on_forget
        self._bugs = bugs

    # Lives

    def start(self) -> None:
        """Begin a life with nothing but the journal; what ran when the last one ended has crashed."""
        self.host = Host(self.name)
        self.connection: Connection | None = None
        self.session = 0
        self.lease_until = 0
        self.running: dict[Held, int] = {}
        self._beat_sent = 0
        self._tries = 0
        self.hosting.running.clear()
        self.sim.log("agent up", self.name)
        for held, entry in self.journal.items():
            if entry.ending is None:
                self._journal_crash(held, entry)
        self.soon(int(self.sim.rng.random() * 200), self._connect)

    def crash(self) -> None:
        """kill -9."""
        self.sim.log("agent down", self.name)
        self.host.alive = False
        if self.connection is not None and self.sim.rng.random() < 0.8:
            self.connection.close_agent_end()
        elif self.connection is not None:
            self.connection.agent_end_open = False

    def pause(self, ms: int) -> None:
        """SIGSTOP, and SIGCONT later."""
        self.sim.log("agent paused", self.name, ms)
        self.host.paused_until = self.sim.now + ms

    def has_run(self, task: int, attempt: int, value: str) -> bool:
        """Whether it ran this attempt to this value since the last restore (see `era_ms`)."""
        return self._ran_since.get((task, attempt, value), 0) >= self.era_ms

    def has_measured(self, task: int, attempt: int, seconds: float) -> bool:
        """Whether this attempt took so long here, on the wall, since the last restore."""
        return self._took_since.get((task, attempt, seconds), 0) >= self.era_ms

    def once_made(self, task: int, value: str) -> bool:
        """Whether any attempt at a task here, ever, came to this value."""
        return any(ran == task and came_to == value for ran, _, came_to in self._ran_since)

    @property
    def hosts(self) -> bool:
        """Whether it runs apps."""
        return "apps" in self.profile.features

    def hang_up(self) -> None:
        """The connection breaks."""
        if self.host.alive:
            self._lost_connection(self.connection)

    def _journal_crash(self, held: Held, entry: Entry) -> None:
        if self._bugs.calls_crashes_success:
            entry.ending = Ending(*held, Outcome.SUCCEEDED, result=Result(json=b'"made up"'))
        else:
            entry.ending = _failed(held, Outcome.CRASHED, FailureCode.AGENT_RESTARTED)

    def soon(self, delay_ms: int, action: Callable[..., None], *args: Any) -> None:
        """Do something in a while, if this life lasts so long."""
        self.sim.after(delay_ms, self._act, self.host, action, args)

    def _act(self, host: Host, action: Callable[..., None], args: tuple[Any, ...]) -> None:
        if not host.alive:
            return
        if host.paused_until > self.sim.now:
            self.sim.at(host.paused_until, self._act, host, action, args)
        else:
            action(*args)

    # The link

    def _connect(self) -> None:
        if self.connection is not None:
            return
        server = self.servers[int(self.sim.rng.random() * len(self.servers))]
        if not server.up:
            self._connect_later()
            return
        host, life = self.host, server.host
        self.connection = connection = Connection(
            self.sim,
            self._weather,
            agent=self.name,
            server=server.name,
            to_agent=lambda on, frame: self._act(host, self._frame, (on, frame)),
            to_server=lambda on, frame: server.frame(life, on, frame),
        )
        self._beat_sent = self.sim.now
        connection.up("hello", Hello(self.slots, self.profile, list(self.journal), self.epoch))
        self.soon(WELCOME_MS, self._unwelcome, connection)

    def _connect_later(self) -> None:
        self._tries += 1
        self.soon(50 + int(self.sim.rng.random() * min(4_000, 200 * 2**self._tries)), self._connect)

    def _unwelcome(self, connection: Connection) -> None:
        if self.connection is connection and self.session == 0:
            self._lost_connection(connection)

    def _lost_connection(self, connection: Connection | None) -> None:
        if connection is not None and self.connection is connection:
            connection.close_agent_end()
            self.connection = None
            self.session = 0
            self._connect_later()

    def _frame(self, connection: Connection, frame: Frame) -> None:
        if self.connection is not connection:
            return
        kind, body = frame
        self.sim.log("down", connection.server, self.name, kind)
        if kind == "welcome" and self.session == 0:
            self.session, self.epoch, dropped = body
            self._tries = 0
            self._renew()
            self._drop(dropped)
            for entry in self.journal.values():
                entry.reported_at = 0  # whatever the old connection carried may be lost
            self._report(connection)
            self.soon(self.local_ms(HEARTBEAT_MS), self._heartbeat, connection)
            if self.hosts:
                self.hosting.say_again(connection)
        elif kind == "closed" or kind == "refused":
            self._lost_connection(connection)
        elif self.session == 0:
            return
        elif kind == "assign":
            self._accept(connection, body)
        elif kind == "cancel":
            for held in body:
                entry = self.journal.get(held)
                if entry is not None and entry.ending is None:
                    self._end(held, _failed(held, Outcome.CANCELLED, FailureCode.CANCELLED))
        elif kind == "host":
            self.hosting.want(body)
        elif kind == "recorded":
            self._drop(body)
        elif kind == "renewed":
            self._renew()
            self._drop(body)

    def _heartbeat(self, connection: Connection) -> None:
        if self.connection is not connection:
            return
        if self._beat_sent and self._beat_sent < self.sim.now - 2 * HEARTBEAT_MS:
            self._lost_connection(connection)
            return
        self._beat_sent = self._beat_sent or self.sim.now
        connection.up("heartbeat", list(self.journal))
        self.soon(self.local_ms(HEARTBEAT_MS), self._heartbeat, connection)

    def _renew(self) -> None:
        """The lease runs from when the oldest unanswered frame was sent: never later than the server counts."""
        if self._beat_sent:
            self.lease_until = self._beat_sent + self.local_ms(LEASE_MS)
            self._beat_sent = 0
            self.soon(self.lease_until - self.sim.now, self._check_lease)

    def _check_lease(self) -> None:
        if self.lease_until <= self.sim.now and self.running:
            for held in sorted(self.running):
                self._end(held, _failed(held, Outcome.RELEASED, FailureCode.RELEASED))

    def _report(self, connection: Connection) -> None:
        if self.connection is not connection or self.session == 0:
            return
        now = self.sim.now
        due = [
            (held, entry)
            for held, entry in self.journal.items()
            if entry.ending is not None and (entry.reported_at <= now - REPEAT_MS or entry.reported_at == 0)
            if not (self._bugs.reports_once and entry.reported_at)
        ]
        for _, entry in due:
            entry.reported_at = now
        if due:
            connection.up("report", [entry.ending for _, entry in due])
            self.soon(REPEAT_MS, self._report, connection)
        if self._bugs.forgets_early:
            self._drop([held for held, _ in due])

    # The work

    def _accept(self, connection: Connection, assigned: list[Held]) -> None:
        news = [held for held in assigned if held not in self.journal]
        for held in news:
            self.journal[held] = Entry()
            self.running[held] = self.sim.now
            if self.truth.names.get(held[0]) == ENDLESS:
                self.sim.struck.add("endless")
                continue
            longest = self.nature.run_ms_max
            if self.sim.rng.random() < self.nature.long_share:
                self.sim.struck.add("long runs")
                longest = 2 * LEASE_MS
            self.soon(1 + int(self.sim.rng.random() * longest), self._ran, held)
        if news:
            connection.up("accepted", news)

    def _ran(self, held: Held) -> None:
        if held not in self.running:
            return
        nature, roll = self.nature, self.sim.rng.random()
        if roll < nature.reject_share:
            self.sim.struck.add("rejects")
            self._end(held, _failed(held, Outcome.REJECTED, FailureCode.RUNTIME_UNAVAILABLE))
        elif roll < nature.reject_share + nature.fail_share:
            code = FailureCode.INVALID_PAYLOAD if roll * 100 % 1 < 0.1 else FailureCode.SCRIPT_ERROR
            self._end(held, _failed(held, Outcome.ERRORED, code))
        else:
            value = f'{{"task":{held[0]},"attempt":{held[1]},"node":"{self.name}","at":{self.sim.now}}}'
            origin = self.truth.tasks[held[0]].origin if held[0] in self.truth.tasks else None
            if origin is not None and origin.is_copy:
                value = self._vote(origin.head)
            elif self.truth.names.get(held[0]) == LISTER:
                value = f'{value[:-1]},"list":[{",".join(map(str, range(held[0] % 5)))}]}}'
            if (origin is None or not origin.is_copy) and self.sim.rng.random() < nature.blob_share:
                content = value.encode()
                digest = hashlib.sha256(content).hexdigest()
                if self._bugs.names_blob_first:
                    self.soon(3_000, self.truth.blobs.setdefault, digest, content)
                else:
                    self.truth.blobs[digest] = content
                result = Result(blob=digest, size=len(content))
            else:
                result = Result(json=value.encode())
            self._ran_since[*held, result.blob or value] = self.running[held]
            self._end(held, Ending(*held, Outcome.SUCCEEDED, result=result))

    def _vote(self, head: int) -> str:
        """What it answers to a copy of a verified task."""
        if self.lies == "":
            return answer_to(head)
        self.sim.struck.add(f"{self.lies} liar")
        return '"a lie"' if self.lies == "constant" else f'"{self.name} at {self.sim.now}"'

    def _end(self, held: Held, ending: Ending) -> None:
        """A copy is over: written down, then sent."""
        began = self.running.pop(held, None)
        if began is not None:
            ending = replace(ending, usage=Usage(wall_seconds=(self.sim.now - began) / 1000))
            self._took_since[*held, (self.sim.now - began) / 1000] = began
        self.journal[held] = Entry(ending)
        if self.connection is not None:
            self.soon(int(self.sim.rng.random() * 5), self._report, self.connection)

    def _drop(self, items: list[Held]) -> None:
        for held in items:
            self.running.pop(held, None)
            if self.journal.pop(held, None) is not None:
                self._on_forget(self, held)


def answer_to(head: int) -> str:
    """The right answer of every copy of a verified task."""
    return f'{{"head":{head}}}'


def _failed(held: Held, outcome: Outcome, code: FailureCode) -> Ending:
    return Ending(*held, outcome, reason=Reason(code, f"The attempt ended: {outcome}."))
