"""A page that watches: a real Socket.IO client, and what it was sent."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import socketio
from served import Served

PATIENCE_SECONDS = 30.0


class Page:
    """Connected to /live. `frames` are those that came, by room; `said` are other events."""

    def __init__(self) -> None:
        self.io = socketio.AsyncClient(reconnection=False)
        self.frames: dict[str, list[dict[str, Any]]] = {}
        self.said: dict[str, list[Any]] = {"gone": [], "stop": [], "connect_error": [], "disconnect": []}
        self.io.on("frame", lambda frame: self.frames.setdefault(frame["room"], []).append(frame))
        for name, heard in self.said.items():
            self.io.on(name, heard.append)

    async def join(self, room: str) -> dict[str, Any]:
        """Joined, or refused."""
        answer: dict[str, Any] = await self.io.call("join", {"room": room}, timeout=PATIENCE_SECONDS)
        return answer

    async def ask(self, event: str) -> dict[str, Any]:
        """What it answers to `pause` or `resume`."""
        answer: dict[str, Any] = await self.io.call(event, timeout=PATIENCE_SECONDS)
        return answer

    def newest(self, room: str) -> Any:
        """What the newest frame of a room has; None where none came."""
        frames = self.frames.get(room)
        return frames[-1]["data"] if frames else None

    async def until(self, what: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> Any:
        """What it comes to, once that is something."""
        give_up = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < give_up, (self.frames, self.said)
            await asyncio.sleep(0.01)
        return found


@asynccontextmanager
async def page(
    server: Served, *, token: str | None = None, headers: dict[str, str] | None = None
) -> AsyncIterator[Page]:
    """A page of this server, which shows this token (none: whatever the headers do)."""
    one = Page()
    auth = None if token is None else {"token": token}
    await one.io.connect(
        server.url, headers=headers or {}, auth=auth, socketio_path="live", transports=["websocket"], wait_timeout=30
    )
    try:
        yield one
    finally:
        await one.io.disconnect()
