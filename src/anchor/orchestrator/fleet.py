"""The nodes connected to this server, and the slots they have open: a memory, never the truth."""

from collections.abc import Iterable

from anchor.core.node import Node, Profile, Status, is_suspect
from anchor.core.placement import pick, unmet_by
from anchor.core.spec import need_of_shape


class Seat:
    """A connected node's place in the fleet. `held` maps the tasks leased to it to their attempt and the time (Unix
    ms) from which a heartbeat has to list them; `running` are the ones it has acknowledged. While it is `suspect`,
    its next success is written down with it."""

    def __init__(self, node: Node) -> None:
        self.node = node.id
        self.session = node.session
        self.profile: Profile = node.profile
        self.status: Status = node.status
        self.suspect = is_suspect(node)
        self.slots = node.slots
        self.lease_until = node.lease_until
        self.record = node
        self.held: dict[int, tuple[int, int]] = {}
        self.running: set[int] = set()
        self.leaving = False

    def see(self, node: Node) -> None:
        """Take over what a newer version of the node's record says; an older one changes nothing."""
        if node.session == self.session and node.ver > self.record.ver:
            self.record = node
            self.status = node.status
            self.suspect = is_suspect(node)
            self.lease_until = node.lease_until

    @property
    def free(self) -> int:
        """Open slots; none once the agent said that it is leaving."""
        return 0 if self.leaving else self.slots - len(self.held)

    @property
    def load(self) -> float:
        """The share of slots in use, from 0 to 1."""
        return len(self.held) / self.slots


class Fleet:
    """All seats of this server. Everything here is immediate: no lease can slip in between a look and a booking."""

    def __init__(self) -> None:
        self._seats: dict[str, Seat] = {}
        self._fitting: dict[str, list[Seat]] = {}
        self.closed = False
        """Nobody is given anything more: this server is about to stop."""
        self.handing_out = 0
        """How many callers are writing leases or handing them to their nodes at the moment."""

    def join(self, node: Node) -> Seat:
        """Seat a node's new session; the old one's place is gone."""
        seat = Seat(node)
        self._seats[node.id] = seat
        self._fitting.clear()
        return seat

    def leave(self, node: str, session: int) -> None:
        """Take away a session's seat, unless a newer session has it."""
        seat = self._seats.get(node)
        if seat is not None and seat.session == session:
            del self._seats[node]
            self._fitting.clear()

    def seat(self, node: str, session: int | None = None) -> Seat | None:
        """A node's seat, or None where it is not connected here (under that session)."""
        seat = self._seats.get(node)
        return seat if seat is None or session is None or seat.session == session else None

    def seats(self) -> Iterable[Seat]:
        """Every seat."""
        return self._seats.values()

    def free(self, *, now: int) -> int:
        """Open slots over all nodes that take work and whose session lease still runs."""
        return 0 if self.closed else sum(seat.free for seat in self._seats.values() if _takes_work(seat, now))

    def has_room(self, *, now: int) -> bool:
        """Whether any slot is open: `free` without the counting."""
        return not self.closed and any(_takes_work(seat, now) for seat in self._seats.values())

    def has_room_for(self, shape: str, *, now: int) -> bool:
        """Whether a task of this shape could be leased at once."""
        return not self.closed and any(_takes_work(seat, now) for seat in self._fit(shape))

    def choose(self, shape: str, *, now: int) -> Seat | None:
        """The best seat for a task of this shape whose session lease still runs."""
        seat = None if self.closed else pick(self._fit(shape))
        if seat is not None and seat.lease_until <= now:
            return pick(other for other in self._fit(shape) if other.lease_until > now)
        return seat

    def _fit(self, shape: str) -> list[Seat]:
        fitting = self._fitting.get(shape)
        if fitting is None:
            if len(self._fitting) > 10_000:
                self._fitting.clear()
            need = need_of_shape(shape)
            fitting = [seat for seat in self._seats.values() if unmet_by(seat.profile, need) is None]
            self._fitting[shape] = fitting
        return fitting


def _takes_work(seat: Seat, now: int) -> bool:
    return seat.free > 0 and seat.status is Status.READY and seat.lease_until > now
