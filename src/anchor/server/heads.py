"""Uvicorn's HTTP protocol with bounds on a request's head: its size, and the time it may take to arrive."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from anchor.server.gathering import Gathering

HEAD_BYTES_MAX = 64 * 1024
HEAD_SECONDS = 20.0


class BoundedHeads(HttpToolsProtocol):
    """Refuses a head (or trailer) that is too large, and hangs up on a head that does not come: the parser itself
    would keep any of it and wait for ever."""

    _in_head = False
    _in_message = False
    _moved = False
    _unused_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a first request."""
        super().connection_made(Gathering(transport, self.loop))  # type: ignore[arg-type]
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._expect_no_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_message = self._in_head = True
        self._unused_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head, self._moved = False, True
        self._expect_no_head()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_message = False
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes came: those that neither end a head nor bring body are kept by the parser, and so counted."""
        self._moved = False
        super().data_received(data)
        if not self._in_message or self.transport.is_closing():
            return
        self._unused_bytes = 0 if self._moved else self._unused_bytes + len(data)
        if self._unused_bytes > HEAD_BYTES_MAX:
            if self._in_head:
                self.send_400_response(f"The head of the request is larger than {HEAD_BYTES_MAX} bytes.")
            self.transport.close()
        elif self._in_head and self._deadline is None:
            self._expect_head()

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _expect_no_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
