"""The nodes connected to this server, and the slots they have open: a memory, never the truth."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from anchor.core.expression import parse
from anchor.core.node import Node, Profile, Status, is_suspect, offer_of
from anchor.core.placement import facts_of, meets, pick, short_of, standing_of, unmet_by
from anchor.core.reputation import reliability
from anchor.core.spec import Need, need_of_shape
from anchor.core.task import Task
from anchor.orchestrator.nowhere import FOR_GOOD, Nowhere
from anchor.orchestrator.shares import Shares

WINDOW = 32
"""Fitting seats with an open slot that are compared for one task; where there are more, the next task sees others."""
LIVE_MS = 2_000
"""How long it is remembered who meets an expression whose values change all the time."""
SHAPES_MAX = 500
"""Needs whose fitting seats are remembered; the one remembered longest goes first."""
DIGESTS_MAX = 10_000
HOLDERS_MAX = 8
"""Nodes remembered for one blob, the newest ones."""


class _Held(dict[int, tuple[int, int]]):
    """What a seat holds, and in `booked` whose each task is and what it was promised; says so when the first slot of a
    full seat opens."""

    def __init__(self, slots: int, opened: Callable[[], None]) -> None:
        super().__init__()
        self.booked: dict[int, tuple[str, str]] = {}
        self._slots = slots
        self._opened = opened

    def __delitem__(self, task: int) -> None:
        super().__delitem__(task)
        self.booked.pop(task, None)
        if len(self) == self._slots - 1:
            self._opened()


class Seat:
    """A connected node's place in the fleet. `held` maps the tasks leased to it to their attempt and the time (Unix
    ms) from which a heartbeat has to list them; `running` are the ones it has acknowledged. While it is `suspect`,
    its next success is written down with it."""

    def __init__(self, node: Node, fleet: "Fleet") -> None:
        self.node = node.id
        self.session = node.session
        self.profile: Profile = offer_of(node)
        self.status: Status = node.status
        self.suspect = is_suspect(node)
        self.slots = node.slots
        self.lease_until = node.lease_until
        self.record = node
        self.held = _Held(node.slots, lambda: fleet.opened(self))
        self.running: set[int] = set()
        self.leaving = False
        self.place = 0
        self._fleet = fleet
        self._standing: dict[str, float] = {}

    def see(self, node: Node) -> None:
        """Take over what a newer version of the node's record says; an older one changes nothing."""
        if node.session == self.session and node.ver > self.record.ver:
            self.record = node
            self.status = node.status
            self.suspect = is_suspect(node)
            self.lease_until = node.lease_until
            self._standing.clear()
            offer = offer_of(node)
            if offer.labels != self.profile.labels:
                self.profile = offer
                self._fleet.changed(self)

    @property
    def free(self) -> int:
        """Open slots; none once the agent said that it is leaving."""
        return 0 if self.leaving else self.slots - len(self.held)

    @property
    def load(self) -> float:
        """The share of slots in use, from 0 to 1."""
        return len(self.held) / self.slots

    def standing(self, runtime: str) -> float:
        """What of its score does not change from one task to the next."""
        known = self._standing.get(runtime)
        if known is None:
            known = self._standing[runtime] = standing_of(self.record, reliability(self.record, runtime))
        return known

    def book(self, task: Task, until: int) -> None:
        """Take a slot for a task that is leased to this node. From `until` on a heartbeat has to list it."""
        self.held[task.id] = (task.attempt, until)
        self.count(task)
        if len(self.held) >= self.slots and not self.leaving:
            self._fleet.filled(self)

    def count(self, task: Task) -> None:
        """Remember whose a task is that this node holds, and the memory and cores it was promised."""
        self.held.booked[task.id] = (task.owner, task.shape)

    def owners(self) -> Iterator[str]:
        """The owner of every task in a slot, as far as this server booked it."""
        return (owner for owner, _ in self.held.booked.values())

    def short_of(self, need: Need) -> str | None:
        """What of the memory and cores that a task asks for is not there at the moment."""
        held = [need_of_shape(shape) for _, shape in self.held.booked.values()]
        mib = sum(one.memory_mib for one in held) + self._fleet.promised_mib(self.node)
        cores = sum(one.min_cores for one in held)
        return short_of(need, self.profile, self.record.metrics, booked_mib=mib, booked_cores=cores)

    def meets(self, need: Need) -> bool:
        """Whether the machine is one for this need, were it free."""
        return unmet_by(self.profile, need) is None and (
            not need.expression
            or meets(
                need.expression,
                facts_of(
                    self.record,
                    runtime=need.runtime,
                    load=self.load,
                    reliability=reliability(self.record, need.runtime),
                ),
            )
        )


class _Fit:
    """The seats whose machines meet a need, in the order in which they are looked at. `until` is when those of a live
    expression are looked for again (Unix ms)."""

    def __init__(self, need: Need, seats: Iterable[Seat], now: int) -> None:
        self.need = need
        self.is_live = bool(need.expression) and parse(need.expression).is_live
        self.asks = bool(need.memory_mib or need.min_cores)
        self.until = now + LIVE_MS
        self.seats = OrderedDict.fromkeys(seat for seat in seats if seat.meets(need))


class Fleet:
    """All seats of this server. Everything here is immediate: no lease can slip in between a look and a booking.

    Seats without an open slot are left out of the search until one opens, and of very many fitting ones each task
    looks at a window: a choice costs the same with ten nodes and with thousands.
    """

    def __init__(self) -> None:
        self._seats: dict[str, Seat] = {}
        self._open: OrderedDict[Seat, None] = OrderedDict()
        self._fits: dict[str, _Fit] = {}
        self._nowhere = Nowhere()
        self._joined = 0
        self._holders: dict[str, list[str]] = {}
        self._inputs: dict[int, tuple[str, ...]] = {}
        self.shares = Shares()
        self.promised_mib: Callable[[str], int] = lambda node: 0
        """The memory that the apps on a node were promised (MiB)."""
        self.closed = False
        """Nobody is given anything more: this server is about to stop."""
        self.handing_out = 0
        """How many callers are writing leases or handing them to their nodes at the moment."""

    def join(self, node: Node) -> Seat:
        """Seat a node's new session; the old one's place is gone."""
        self._forget(self._seats.pop(node.id, None))
        seat = Seat(node, self)
        self._joined += 1
        seat.place = self._joined
        self._seats[node.id] = seat
        self._open[seat] = None
        for fit in self._fits.values():
            if seat.meets(fit.need):
                fit.seats[seat] = None
        return seat

    def changed(self, seat: Seat) -> None:
        """What this seat offers has changed: who fits where is found anew, as if it had just joined."""
        if self._seats.get(seat.node) is not seat:
            return
        del self._seats[seat.node]
        self._joined += 1
        seat.place = self._joined
        self._seats[seat.node] = seat
        for fit in self._fits.values():
            fit.seats.pop(seat, None)
            if seat.meets(fit.need):
                fit.seats[seat] = None

    def leave(self, node: str, session: int) -> None:
        """Take away a session's seat, unless a newer session has it."""
        seat = self._seats.get(node)
        if seat is not None and seat.session == session:
            del self._seats[node]
            self._forget(seat)

    def _forget(self, seat: Seat | None) -> None:
        if seat is not None:
            self._open.pop(seat, None)
            for fit in self._fits.values():
                fit.seats.pop(seat, None)

    def opened(self, seat: Seat) -> None:
        """A slot of this seat opened."""
        if self._seats.get(seat.node) is seat:
            self._open[seat] = None

    def filled(self, seat: Seat) -> None:
        """The last slot of this seat was taken."""
        self._open.pop(seat, None)

    def seat(self, node: str, session: int | None = None) -> Seat | None:
        """A node's seat, or None where it is not connected here (under that session)."""
        seat = self._seats.get(node)
        return seat if seat is None or session is None or seat.session == session else None

    def seats(self) -> Iterable[Seat]:
        """Every seat."""
        return self._seats.values()

    def free(self, *, now: int, at_most: int = 1 << 62) -> int:
        """Open slots over all nodes that take work and whose session lease still runs, counted up to `at_most`."""
        count = 0
        if not self.closed:
            for seat in self._open:
                if _takes_work(seat, now):
                    count += seat.free
                    if count >= at_most:
                        return at_most
        return count

    def has_room(self, *, now: int) -> bool:
        """Whether any slot is open: `free` without the counting."""
        return self.free(now=now, at_most=1) > 0

    def knows(self, shape: str, *, now: int) -> bool:
        """Whether it is at hand who meets this need: otherwise every seat has to be asked."""
        fit = self._fits.get(shape)
        if fit is not None:
            return not fit.is_live or now < fit.until
        return self._nowhere.holds(shape, joined=self._joined, now=now)

    def has_room_for(self, shape: str, *, now: int) -> bool:
        """Whether a task of this shape could be leased at once."""
        if self.closed:
            return False
        fit = self._fits.get(shape)
        if fit is None or fit.is_live:
            if self._nowhere.holds(shape, joined=self._joined, now=now):
                return False
            fit = self._fit(shape, now)
        few, others = (fit.seats, self._open) if len(fit.seats) < len(self._open) else (self._open, fit.seats)
        # A loop, since `any` costs twice as much: with many shapes and few open slots this is most of dispatching.
        for seat in few:  # noqa: SIM110
            if seat in others and _takes_work(seat, now):
                return True
        return False

    def choose(
        self,
        shape: str,
        *,
        now: int,
        barred: Callable[[Seat], bool] | None = None,
        inputs: Sequence[str] = (),
    ) -> Seat | None:
        """The best seat for a task of this shape whose session lease still runs and that is not `barred`; `inputs` are
        the blobs the task reads."""
        if self.closed:
            return None
        fit = self._fits.get(shape)
        if fit is None or fit.is_live:
            if self._nowhere.holds(shape, joined=self._joined, now=now):
                return None
            fit = self._fit(shape, now)
        if len(fit.seats) == 1 and barred is None and not fit.asks:
            [seat] = fit.seats
            return seat if _takes_work(seat, now) else None
        some = self._window(fit, now, barred)
        runtime = fit.need.runtime
        return pick(some, runtime, self._closeness(inputs) if inputs else None)

    def _window(self, fit: _Fit, now: int, barred: Callable[[Seat], bool] | None) -> list[Seat]:
        few, others = (fit.seats, self._open) if len(fit.seats) < len(self._open) else (self._open, fit.seats)
        found: list[Seat] = []
        looked = 0
        for seat in few:
            looked += 1
            if (
                seat in others
                and _takes_work(seat, now)
                and (barred is None or not barred(seat))
                and (not fit.asks or seat.short_of(fit.need) is None)
            ):
                found.append(seat)
                if len(found) == WINDOW:
                    break
        if looked < len(few):
            for seat in list(islice(few, looked)):
                few.move_to_end(seat)
        return found

    def _fit(self, shape: str, now: int) -> _Fit:
        fit = self._fits.get(shape)
        if fit is None or (fit.is_live and fit.until <= now):
            fit = _Fit(need_of_shape(shape), self._newer_than(self._nowhere.asked(shape)), now)
            self._fits.pop(shape, None)
            if not fit.seats:
                self._nowhere.note(shape, joined=self._joined, until=fit.until if fit.is_live else FOR_GOOD)
                return fit
            self._nowhere.forget(shape)
            if len(self._fits) >= SHAPES_MAX:
                del self._fits[next(iter(self._fits))]
            self._fits[shape] = fit
        return fit

    def _newer_than(self, place: int) -> list[Seat]:
        """The seats that joined after so many others, in the order in which they did."""
        if not place:
            return list(self._seats.values())
        newer: list[Seat] = []
        for seat in reversed(self._seats.values()):
            if seat.place <= place:
                break
            newer.append(seat)
        return newer[::-1]

    def note_inputs(self, task: int, digests: Sequence[str]) -> None:
        """Remember which blobs a task reads until it is leased: they are not read again with the task itself."""
        if len(self._inputs) >= DIGESTS_MAX:
            del self._inputs[next(iter(self._inputs))]
        self._inputs[task] = tuple(digests)

    def inputs_of(self, task: int) -> tuple[str, ...]:
        """The blobs a task reads, where they are remembered."""
        return self._inputs.get(task, ()) if self._inputs else ()

    def went_to(self, node: str, digests: Iterable[str]) -> None:
        """Remember that a node was sent these blobs."""
        for digest in digests:
            holders = self._holders.pop(digest, [])
            if len(self._holders) >= DIGESTS_MAX:
                del self._holders[next(iter(self._holders))]
            self._holders[digest] = [*[one for one in holders if one != node][1 - HOLDERS_MAX :], node]

    def share_at(self, node: str, digests: Sequence[str]) -> float:
        """The share of these blobs that a node was sent lately."""
        if not digests:
            return 0.0
        return sum(node in self._holders.get(digest, ()) for digest in digests) / len(digests)

    def _closeness(self, digests: Sequence[str]) -> Callable[[Seat], float] | None:
        holders = [self._holders[digest] for digest in digests if digest in self._holders]
        if not holders:
            return None
        return lambda seat: sum(seat.node in nodes for nodes in holders) / len(digests)


def _takes_work(seat: Seat, now: int) -> bool:
    return seat.free > 0 and seat.status is Status.READY and seat.lease_until > now
