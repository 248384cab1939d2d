"""Streams that another server passes on, because it is here that their node has its tunnel."""

import structlog
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from anchor.server.gate import Gate, bearer
from anchor.server.ingress.tunnels import TunnelLine, Tunnels
from anchor.wire.tunnel import Stream, Target

log = structlog.get_logger("anchor.ingress")


class RelayLink:
    """The ASGI application at `/relay`: other servers of the same secret."""

    def __init__(self, gate: Gate, tunnels: Tunnels) -> None:
        self._gate = gate
        self._tunnels = tunnels

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one server until it hangs up."""
        socket = WebSocket(scope, receive, send)
        token = bearer(socket.headers)
        if token is None or not self._gate.is_peer(token):
            log.warning(
                "somebody asked to be passed on who is no server of ours",
                hint="Servers of one store need one secret (ANCHOR_SECRET), and clocks that agree within a minute.",
            )
            await socket.close()
            return
        await socket.accept()
        await TunnelLine("another server", socket, self._opened).serve()

    def _opened(self, stream: Stream, target: Target) -> "_Side":
        near, far = _Side(stream), _Side()
        near.other, far.other = far, near
        line = self._tunnels.here(target.node)
        further = line.open(target.app, target.generation, far) if line is not None else None
        if further is None:
            stream.refuse("no_tunnel")
        else:
            far.stream = further
        return near


class _Side:
    """Hears one of two streams and says the same on the other."""

    other: "_Side"

    def __init__(self, stream: Stream | None = None) -> None:
        self.stream = stream
        self._unread = 0

    def accepted(self) -> None:
        """There."""
        if self.other.stream is not None:
            self.other.stream.accept()

    def refused(self, code: str) -> None:
        """Not there."""
        if self.other.stream is not None:
            self.other.stream.refuse(code)

    def data(self, content: bytes) -> None:
        """Bytes to pass on; taken for read once the other stream has room."""
        assert self.stream is not None
        assert self.other.stream is not None
        if self.other.stream.write(content):
            self.stream.consumed(len(content))
        else:
            self._unread += len(content)

    def drained(self) -> None:
        """There is room in this stream: the other one may be read again."""
        other = self.other
        if other.stream is not None:
            unread, other._unread = other._unread, 0
            other.stream.consumed(unread)

    def ended(self) -> None:
        """No more."""
        if self.other.stream is not None:
            self.other.stream.end()

    def reset(self, code: str) -> None:
        """Given up."""
        if self.other.stream is not None:
            self.other.stream.reset(code)

    def lost(self) -> None:
        """The tunnel of this stream broke."""
        self.reset("lost")
