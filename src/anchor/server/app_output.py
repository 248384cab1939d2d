"""What replicas print, kept: the newest of each generation, in the order in which it came, and no faster than bearable.

Each piece is numbered by the microsecond in which it arrived here: so the pieces of several replicas have one order,
whatever their nodes' clocks say, and a reader can go on behind any of them. A last piece of each generation says which
replica it was, since the log outlives it.
"""

import asyncio
from collections import deque
from typing import Final

import msgspec

from anchor.failpoints import reached
from anchor.orchestrator.world import World
from anchor.ports.store import LogChunk
from anchor.server.host_items import Place
from anchor.server.lines import HOSTS_MAX, Line
from anchor.wire.link import AppOutput, Chunk

KEPT_BYTES: Final = 1024 * 1024
"""Of one generation's output."""
SLACK_BYTES: Final = KEPT_BYTES // 4
"""How much more there may be before the oldest goes."""
PIECE_BYTES: Final = 100
"""What a piece counts beside its text."""
BYTES_PER_SECOND: Final = 256 * 1024
BYTES_BURST: Final = 1024 * 1024
"""What a generation may print before the server keeps no more of it: several times what an agent lets through."""
TEXT_LENGTH_MAX: Final = 64 * 1024
LATENESS_MS_MAX: Final = 60_000
"""How far apart pieces of one frame may be shown."""
ORIGIN_STREAM: Final = "origin"
ORIGIN_SEQ: Final = (1 << 53) - 1
"""The number of the piece that says which replica printed the rest: above all others, so that it is never cut off."""
PAGE: Final = 500


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Which replica a generation was."""

    process: str
    index: int
    release: int
    node: str


class _Kept:
    """What is known of one generation's log: the pieces that are kept, oldest first, by number and size."""

    def __init__(self, pieces: list[LogChunk], now: float) -> None:
        self.pieces = deque((piece.seq, _weight(piece.text)) for piece in pieces)
        self.bytes = sum(weight for _, weight in self.pieces)
        self.heard = 0
        self.allowance = float(BYTES_BURST)
        self.at = now

    def allows(self, weight: int, now: float) -> bool:
        self.allowance = min(BYTES_BURST, self.allowance + (now - self.at) * BYTES_PER_SECOND)
        self.at = now
        if weight > self.allowance:
            return False
        self.allowance -= weight
        return True

    def take(self, piece: LogChunk) -> None:
        self.pieces.append((piece.seq, _weight(piece.text)))
        self.bytes += _weight(piece.text)

    def cut(self) -> int | None:
        """The number of the oldest piece to keep, where something is to go."""
        if self.bytes <= KEPT_BYTES + SLACK_BYTES:
            return None
        while self.bytes > KEPT_BYTES and len(self.pieces) > 1:
            _, weight = self.pieces.popleft()
            self.bytes -= weight
        return self.pieces[0][0]


class AppOutputs:
    """Keeps output of the replicas that the nodes connected here are to run, or were told to; of no others."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: dict[Line, dict[Place, _Kept]] = {}
        self._stamp = 0

    def left(self, line: Line) -> None:
        """A node's line ended."""
        self._kept.pop(line, None)

    async def keep(self, line: Line, frame: AppOutput) -> None:
        """Keep what is to be kept of a frame."""
        newest = max((chunk.at for chunk in frame.items), default=0)
        places: dict[Place, list[Chunk]] = {}
        for chunk in frame.items:
            places.setdefault((chunk.task, chunk.attempt), []).append(chunk)
        for place, chunks in places.items():
            origin = self._origin(line, place)
            if origin is not None:
                await self._keep(line, place, origin, chunks, newest)

    def _origin(self, line: Line, place: Place) -> Origin | None:
        """Which replica of the line's node this is, None where it is none of its own."""
        node = line.node.id
        item = line.hosts.get(place)
        if item is not None:
            return Origin(item.process, item.index, item.release, node)
        # A node that comes back may speak before it is told anything.
        app = self._world.apps.get(place[0])
        replica = app.replica(place[1]) if app is not None else None
        if replica is None or replica.node != node:
            return None
        return Origin(replica.process, replica.index, replica.release, node)

    async def _keep(self, line: Line, place: Place, origin: Origin, chunks: list[Chunk], newest: int) -> None:
        known = self._kept.setdefault(line, {})
        now = asyncio.get_running_loop().time()
        if place not in known:
            known[place] = _Kept(await self._stored(place), now)
            while len(known) > HOSTS_MAX:
                del known[next(iter(known))]
        kept = known[place]
        pieces: list[LogChunk] = []
        arrived = self._world.clock.now()
        for chunk in chunks:
            text = chunk.text[:TEXT_LENGTH_MAX]
            if chunk.seq <= kept.heard or not kept.allows(_weight(text), now):
                continue
            kept.heard = chunk.seq
            at = arrived - min(max(newest - chunk.at, 0), LATENESS_MS_MAX)
            pieces.append(LogChunk(*place, self._next(arrived), at, chunk.stream, text))
        if not pieces:
            return
        first = [] if kept.pieces else [_first(place, origin, arrived)]
        await self._world.store.append(first + pieces)
        reached("link.app_output_kept")
        self._world.bus.tasks_changed([place[0]])
        for piece in pieces:
            kept.take(piece)
        oldest = kept.cut()
        if oldest is not None:
            await self._world.store.trim_log(*place, oldest)
            reached("link.app_output_trimmed")

    async def _stored(self, place: Place) -> list[LogChunk]:
        """What is kept of a generation that was heard of before, on another line or by another server."""
        app, generation = place
        found: list[LogChunk] = []
        seq = 0
        while True:
            page = await self._world.store.read(app, attempt=generation, seq=seq, limit=PAGE)
            mine = [piece for piece in page if piece.attempt == generation and piece.seq != ORIGIN_SEQ]
            found += mine
            if len(mine) < PAGE:
                return found
            seq = mine[-1].seq

    def _next(self, now_ms: int) -> int:
        self._stamp = max(self._stamp + 1, now_ms * 1000)
        return self._stamp


def _weight(text: str) -> int:
    return len(text.encode()) + PIECE_BYTES


def _first(place: Place, origin: Origin, at: int) -> LogChunk:
    return LogChunk(*place, ORIGIN_SEQ, at, ORIGIN_STREAM, msgspec.json.encode(origin).decode())
