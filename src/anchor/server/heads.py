"""Uvicorn's HTTP protocol with bounds on a request's head: its size, and the time it may take to arrive."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from anchor.server.gathering import Gathering

HEAD_BYTES_MAX = 64 * 1024
HEAD_SECONDS = 20.0


class BoundedHeads(HttpToolsProtocol):
    """Refuses a head that is too large, and hangs up on one that does not come: the parser itself waits for ever."""

    _in_head = False
    _head_bytes = 0
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
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._expect_no_head()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes came: while the head is not whole, all of them are its own."""
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.send_400_response(f"The head of the request is larger than {HEAD_BYTES_MAX} bytes.")
            elif self._deadline is None:
                self._expect_head()

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _expect_no_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
