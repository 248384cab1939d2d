"""WebSockets that are over once they are served, also where the other end reads nothing any more."""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LINGER_SECONDS = 10.0
"""How long the other end may take to read what was sent before the connection was closed."""


class BoundedSocket(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket, cut once it is served: closing alone waits until everything sent has been read."""

    async def run_asgi(self) -> None:
        """Serve it."""
        await super().run_asgi()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)
