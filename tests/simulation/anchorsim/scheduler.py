"""Virtual time, one source of chance, coroutines driven by hand: the same seed gives the same run, byte for byte."""

import hashlib
import heapq
import random
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from anchor.core.errors import AnchorError, OutOfSpace, Unavailable
from anchor.ports.store import UnknownOutcome

EPOCH_MS = 1_800_000_000_000
"""Where virtual time begins (Unix ms)."""
CALLS_MAX = 300
"""Port calls one coroutine may make before it counts as a busy loop."""


class Violation(Exception):
    """A broken invariant of ARCHITECTURE section 6; `number` is its number there, or a word for what has none."""

    def __init__(self, number: int | str, message: str) -> None:
        super().__init__(f"invariant {number}: {message}")
        self.number = number


class Crashed(BaseException):
    """Thrown into the coroutines of a dead server to unwind them; nothing they do any more has an effect."""


class Cancelled(BaseException):
    """Thrown into one coroutine whose caller went away, as an event loop does."""


class Call:
    """A port call on its way to `place`. `effect(share)` makes it happen, wholly (1.0) or for a leading share of its
    items; `writes` says that a caller may be left without knowing whether it did."""

    __slots__ = ("effect", "place", "writes")

    def __init__(self, effect: Callable[[float], Any], *, place: str = "", writes: bool = False) -> None:
        self.effect = effect
        self.place = place
        self.writes = writes

    def __await__(self) -> Generator["Call", Any, Any]:
        value = yield self
        return value


class Host:
    """Something that can die or stand still: one life of a server or an agent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.paused_until = 0
        self.unheard = False
        """Whether even calls under way come to nothing: it died long before what is now."""
        self.now: Callable[[], int] | None = None
        """What it takes for the time (Unix ms)."""


class Origin:
    """Why a coroutine runs: what the invariants need to know of the one who writes."""

    __slots__ = ("epoch", "held", "key", "kind", "node", "session")

    def __init__(
        self,
        kind: str,
        *,
        node: str = "",
        session: int = 0,
        held: frozenset[tuple[int, int]] = frozenset(),
        key: tuple[str, str] | None = None,
        epoch: int = 0,
    ) -> None:
        self.kind = kind
        self.node = node
        self.session = session
        self.held = held
        self.key = key
        self.epoch = epoch


Done = Callable[[Any, BaseException | None], None]


class Process:
    """One coroutine of a host. `turn` tells its live resumption from ones overtaken by a cancellation."""

    __slots__ = ("calls", "coro", "done", "host", "origin", "over", "turn")

    def __init__(self, host: Host, coro: Coroutine[Call, Any, Any], origin: Origin, done: Done) -> None:
        self.host = host
        self.coro = coro
        self.origin = origin
        self.done = done
        self.calls = 0
        self.turn = 0
        self.over = False


class Simulator:
    """The one queue of everything that is going to happen."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now = EPOCH_MS
        self.trace: list[tuple[Any, ...]] = []
        self.current: Process | None = None
        self.slow_share = 0.0
        self.unknown_share = 0.0
        self.refused_share = 0.0
        self.struck: set[str] = set()
        """The faults that really came about."""
        self.crashed: list[Host] = []
        """Lives that ended; writes they had under way may still happen."""
        self.outages: dict[tuple[str, str], int] = {}
        """Until when (Unix ms) a place cannot be reached from a host; the host "" is all of them."""
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        self._processes: list[Process] = []

    def at(self, when: int, action: Callable[..., None], *args: Any) -> None:
        """Let `action` happen at a time (Unix ms), after whatever was planned for the same time before it."""
        self._sequence += 1
        heapq.heappush(self._queue, (when, self._sequence, action, args))

    def after(self, delay_ms: int, action: Callable[..., None], *args: Any) -> None:
        """Let `action` happen in a while."""
        self.at(self.now + delay_ms, action, *args)

    def log(self, *event: Any) -> None:
        """Add an event to the trace; its items must print the same in every run."""
        self.trace.append((self.now - EPOCH_MS, *event))

    def fingerprint(self) -> str:
        """The SHA-256 of the trace."""
        return hashlib.sha256("\n".join(map(repr, self.trace)).encode()).hexdigest()

    def run(self, until: int, *, stop: Callable[[], bool] | None = None) -> bool:
        """Let things happen up to a time, or until `stop` says so: whether it did."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            when, _, action, args = heapq.heappop(queue)
            self.now = max(when, self.now)
            action(*args)
            if stop is not None and stop():
                return True
        self.now = max(until, self.now)
        return False

    def latency_ms(self) -> int:
        """How long one leg of a port call takes: mostly next to nothing, now and then very long."""
        roll = self.rng.random()
        if roll < self.slow_share:
            self.struck.add("slow")
            return 50 + int(self.rng.random() ** 2 * 9_000)
        return int(roll * 4)

    def spawn(self, host: Host, coro: Coroutine[Call, Any, Any], origin: Origin, done: Done) -> Process:
        """Start a coroutine on a host; `done` gets its value or its error, unless the host dies first."""
        process = Process(host, coro, origin, done)
        self._processes.append(process)
        self._resume(process, 0, None, None)
        return process

    def cancel(self, process: Process) -> None:
        """Throw Cancelled into a waiting coroutine; a write it has under way happens all the same."""
        if not process.over:
            process.turn += 1
            self.after(0, self._resume, process, process.turn, None, Cancelled())

    def crash(self, host: Host) -> None:
        """Kill a host: its coroutines end where they stand and nothing more is heard of them."""
        host.alive = False
        self.crashed.append(host)
        for process in self._processes:
            if process.host is host and not process.over:
                process.over = True
                _unwind(process.coro)
        self._processes = [process for process in self._processes if not process.over]

    def close(self) -> None:
        """Unwind whatever still waits."""
        for process in self._processes:
            if not process.over:
                process.over = True
                _unwind(process.coro)

    def _resume(self, process: Process, turn: int, value: Any, error: BaseException | None) -> None:
        if process.over or process.turn != turn:
            return
        if process.host.paused_until > self.now:
            self.at(process.host.paused_until, self._resume, process, turn, value, error)
            return
        before, self.current = self.current, process
        try:
            call = process.coro.send(value) if error is None else process.coro.throw(error)
        except StopIteration as stop:
            self._finish(process, stop.value, None)
        except (AnchorError, UnknownOutcome, Cancelled) as raised:
            self._finish(process, None, raised)
        except Exception as raised:
            process.over = True
            raise Violation("exception", f"{process.origin.kind} raised {raised!r}") from raised
        else:
            process.calls += 1
            if process.calls > CALLS_MAX:
                raise Violation("busy", f"{process.origin.kind} made {CALLS_MAX} port calls and is not done")
            self.after(self.latency_ms(), self._happen, process, turn, call)
        finally:
            self.current = before

    def _finish(self, process: Process, value: Any, error: BaseException | None) -> None:
        process.over = True
        if len(self._processes) > 64:
            self._processes = [one for one in self._processes if not one.over]
        process.done(value, error)

    def _happen(self, process: Process, turn: int, call: Call) -> None:
        share, unknown = 1.0, False
        if process.host.unheard:
            return
        if not process.host.alive:
            share = self._some_share()
        elif call.writes and self.rng.random() < self.unknown_share:
            share, unknown = self._some_share(), True
        elif self.is_out(call.place, process.host.name):
            # The connection broke before the call left, or after: then nobody knows how far it got.
            unknown = call.writes and self.rng.random() < 0.2
            share = self._some_share() if unknown else 0.0
        elif call.writes and self.rng.random() < self.refused_share:
            share = 0.0
        before, self.current = self.current, process
        value: Any = None
        error: BaseException | None = None
        try:
            if share > 0:
                value = call.effect(share)
        except AnchorError as raised:
            error = raised
        finally:
            self.current = before
        if share == 0.0 and not unknown:
            error = self._why_not(call, process.host.name)
        if unknown:
            self.struck.add("unknown")
            self.log("unknown", process.origin.kind, share)
            error = UnknownOutcome()
        self.after(self.latency_ms(), self._resume, process, turn, value, error)

    def is_out(self, place: str, host: str) -> bool:
        """Whether a place cannot be reached from a host now."""
        outages = self.outages
        return bool(outages) and max(outages.get((place, ""), 0), outages.get((place, host), 0)) > self.now

    def _why_not(self, call: Call, host: str) -> AnchorError:
        if self.is_out(call.place, host):
            self.struck.add(f"{call.place} outage")
            self.log("out of reach", call.place, host)
            return Unavailable(f"The {call.place} cannot be reached.", hint="Try again.")
        self.struck.add("refused")
        return OutOfSpace("The disk is full.", hint="Free some space.")

    def _some_share(self) -> float:
        roll = self.rng.random()
        return 0.0 if roll < 0.4 else 1.0 if roll < 0.8 else (roll - 0.8) * 5


def _unwind(coro: Coroutine[Call, Any, Any]) -> None:
    """Run a dead coroutine's clean-up with every further port call failing."""
    while True:
        try:
            coro.throw(Crashed())
        except (Crashed, StopIteration):
            return
