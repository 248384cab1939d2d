"""The ports that apps have on this machine's own localhost: each leads to the generations that serve, in turn."""

import asyncio
import contextlib
import errno
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from anchor.agent.apps.pump import pumped
from anchor.core.attempt import Reason

CONNECTIONS_MAX: Final = 1000
"""At once through one port."""
_BACKLOG: Final = 128
_PLACES: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))

Opened = Callable[[], AbstractAsyncContextManager[socket.socket]]
"""Opens a connection to a generation, counted while it lasts; OSError where it cannot be had."""


class PortRefused(Exception):
    """The port cannot be had; `reason` says why and whom to ask."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.message)
        self.reason = reason


class LocalPorts:
    """The local ports of one agent."""

    def __init__(self) -> None:
        self._ports: dict[int, LocalPort] = {}
        self._changing = asyncio.Lock()

    @asynccontextmanager
    async def claimed(self, port: int, app: int, name: str) -> AsyncIterator["LocalPort"]:
        """Hold a port for one replica of an app; others of the same app hold it too. PortRefused."""
        async with self._changing:
            held = self._ports.get(port)
            if held is not None and held.app != app:
                raise PortRefused(
                    Reason(
                        "port_in_use",
                        f"Port {port} of this machine is that of the app {held.name} already.",
                        "Let one of the two have another port (config.port), or none.",
                    )
                )
            if held is None:
                held = self._ports[port] = LocalPort(app, name, _listening(port))
            held.claims += 1
        try:
            yield held
        finally:
            async with self._changing:
                held.claims -= 1
                if not held.claims:
                    await held.close()
                    del self._ports[port]


class LocalPort:
    """One port. `serving` are the generations it leads to."""

    def __init__(self, app: int, name: str, listeners: list[socket.socket]) -> None:
        self.app = app
        self.name = name
        self.claims = 0
        self.serving: dict[int, Opened] = {}
        self._turns = itertools.count()
        self._listeners = listeners
        self._under_way: set[asyncio.Task[None]] = set()
        self._accepting = [asyncio.ensure_future(self._accept(listener)) for listener in listeners]

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                opened, _ = await loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(0.1)  # out of descriptors, or a client that was gone before it was accepted
                continue
            if len(self._under_way) >= CONNECTIONS_MAX:
                opened.close()
                continue
            opened.setblocking(False)
            carrying = asyncio.ensure_future(self._carry(opened))
            self._under_way.add(carrying)
            carrying.add_done_callback(self._under_way.discard)

    async def _carry(self, opened: socket.socket) -> None:
        with opened:
            order = sorted(self.serving)
            first = next(self._turns)
            for at in range(len(order)):
                generation = order[(first + at) % len(order)]
                connect = self.serving.get(generation)
                if connect is None:
                    continue
                async with contextlib.AsyncExitStack() as stack:
                    try:
                        inner = await stack.enter_async_context(connect())
                    except OSError:
                        continue  # the next one may answer
                    with contextlib.suppress(OSError):
                        await pumped(opened, inner)
                    return

    async def close(self) -> None:
        """Let the port go; what is under way goes on until its replica ends."""
        for accepting in self._accepting:
            accepting.cancel()
        await asyncio.wait(self._accepting)
        # Only now: the loop has let go of them.
        for listener in self._listeners:
            listener.close()


def _listening(port: int) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    try:
        for family, address in _PLACES:
            try:
                listener = socket.socket(family, socket.SOCK_STREAM)
            except OSError:
                continue  # a machine without IPv6
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                listener.bind((address, port))
                listener.listen(_BACKLOG)
            except OSError as error:
                if family == socket.AF_INET6 and error.errno == errno.EADDRNOTAVAIL:
                    listeners.pop().close()
                    continue
                raise
            listener.setblocking(False)
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise PortRefused(_refusal(port, error)) from error
    return listeners


def _refusal(port: int, error: OSError) -> Reason:
    if error.errno == errno.EACCES:
        return Reason(
            "port_forbidden",
            f"The agent's user may not open port {port} of this machine.",
            "Take a port from 1024 on (config.port), or none; or let the machine's owner allow it to the agent.",
        )
    if error.errno == errno.EADDRINUSE:
        return Reason(
            "port_in_use",
            f"Port {port} of this machine is taken by another program.",
            "Take another port (config.port), or none; or let the machine's owner end that program.",
        )
    return Reason("port_refused", f"Port {port} of this machine cannot be opened: {error.strerror or error}.")
