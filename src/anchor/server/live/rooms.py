"""Rooms: something to look at, and those who look. Each has a pace of its own and costs nothing while it is empty."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

from anchor.core.errors import AnchorError, NotFound
from anchor.ports.clock import Clock
from anchor.ports.store import UnknownOutcome
from anchor.wire.live import FRAMES_PER_SECOND, Frame, Gone, Joined, Missed

log = structlog.get_logger("anchor.live")
_encode = msgspec.json.Encoder().encode
TICK_SECONDS = 1 / FRAMES_PER_SECOND
RETRY_SECONDS = 1.0
LOOK_SECONDS = 1.0
"""How often what nobody tells of is looked at."""


class View(ABC):
    """What there is to see in a room."""

    def open(self) -> None:  # noqa: B027 - most need nothing
        """Somebody looks from now on."""

    def close(self) -> None:  # noqa: B027 - most need nothing
        """Nobody looks any more."""

    async def turn(self) -> None:
        """Wait until there may be something new; a tick at least."""
        await asyncio.sleep(TICK_SECONDS)

    @abstractmethod
    async def whole(self) -> Any:
        """All of it, as `news` left it (the first time: as it is now). NotFound where it is gone."""

    @abstractmethod
    async def news(self) -> Any:
        """What changed since the last call; None where nothing did. NotFound where it is gone."""


class Picture(View):
    """A view small enough to be sent whole each time."""

    _shown: Any = None

    @abstractmethod
    async def look(self) -> Any:
        """It, as it is now. NotFound where it is gone."""

    async def whole(self) -> Any:
        """All of it, as `news` left it."""
        if self._shown is None:
            self._shown = await self.look()
        return self._shown

    async def news(self) -> Any:
        """All of it, where it is not as before."""
        now = await self.look()
        if now == self._shown:
            return None
        self._shown = now
        return now


class Member:
    """Somebody in rooms, some of which may be hidden from it. `is_ready` says whether what was sent there is being
    read, `send` queues an event."""

    def __init__(self, is_ready: Callable[[], bool], send: Callable[[str, Any], Awaitable[None]]) -> None:
        self.is_ready = is_ready
        self.send = send
        self.rooms: dict[str, Room] = {}


class Room:
    """One view, shown to several: what changed is looked up once, and whoever reads too slowly is passed over."""

    def __init__(self, name: str, view: View, clock: Clock, emptied: Callable[["Room"], None]) -> None:
        self.name = name
        self._view = view
        self._clock = clock
        self._emptied = emptied
        self._lock = asyncio.Lock()
        self._seq = 0
        self._members: dict[Member, None] = {}
        self._behind: set[Member] = set()
        self._turning: asyncio.Task[None] | None = None
        self._is_open = False

    async def show(self, member: Member) -> Joined:
        """Let somebody in, or let one who is in see it whole again; no frame comes between this and the answer."""
        async with self._lock:
            self._open()
            if self._members and not self._has_ready() and await self._view.news() is not None:
                self._seq += 1  # nobody was sent it
                self._behind.update(self._members)
            try:
                shown = Joined(self.name, self._seq, self._clock.now(), await self._view.whole())
            except BaseException:
                if not self._members:
                    self.end()
                raise
            self._open()  # the last who was in may have left meanwhile
            self._members[member] = None
            self._behind.discard(member)
            if self._turning is None:
                self._turning = asyncio.create_task(self._turn())
            return shown

    def hide(self, member: Member) -> None:
        """Show it to one of them no more, until `show`."""
        self._members.pop(member, None)
        self._behind.discard(member)
        if not self._members:
            self.end()

    def end(self) -> None:
        """Show it to nobody any more."""
        if self._turning is not None:
            self._turning.cancel()
        self._close()

    def _open(self) -> None:
        if not self._is_open:
            self._is_open = True
            self._view.open()

    def _close(self) -> None:
        self._members.clear()
        self._behind.clear()
        self._turning = None
        if self._is_open:
            self._is_open = False
            self._view.close()
        self._emptied(self)

    async def _turn(self) -> None:
        while True:
            await self._view.turn()
            if not self._has_ready():
                continue
            try:
                async with self._lock:
                    await self._send_news()
                    await self._say_missed()
            except NotFound as error:
                await self._say_gone(error)
                return
            except (AnchorError, UnknownOutcome) as error:
                log.warning("a room shows nothing new", room=self.name, message=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                log.exception("a room shows nothing new", room=self.name)
                await asyncio.sleep(RETRY_SECONDS)

    def _has_ready(self) -> bool:
        return any(member.is_ready() for member in self._members)

    async def _send_news(self) -> None:
        data = await self._view.news()
        if data is None:
            return
        self._seq += 1
        frame = msgspec.Raw(_encode(Frame(self.name, self._seq, self._clock.now(), data)))
        for member in list(self._members):
            if member.is_ready():
                await member.send("frame", frame)
            else:
                self._behind.add(member)

    async def _say_missed(self) -> None:
        """Tell whoever was passed over and reads again: no other frame may come that shows it."""
        for member in [member for member in self._behind if member.is_ready()]:
            self._behind.discard(member)
            await member.send("missed", Missed(self.name))

    async def _say_gone(self, error: NotFound) -> None:
        gone = Gone(self.name, error.code, error.message)
        for member in list(self._members):
            member.rooms.pop(self.name, None)
            await member.send("gone", gone)
        self._close()
