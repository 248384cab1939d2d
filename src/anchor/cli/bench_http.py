"""An HTTP client that costs next to nothing, so that a benchmark measures the server and not its own client."""

import asyncio
from typing import cast
from urllib.parse import urlsplit

from anchor.core.errors import AnchorError

ANSWER_SECONDS = 60.0


class Wire(asyncio.Protocol):
    """One keep-alive connection: one request at a time, answers with a Content-Length only. Understands nothing else,
    which is why only the benchmark uses it, against a server it started itself."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._transport: asyncio.Transport
        self._received = b""
        self._missing = 0
        self._status = 0
        self._answer: asyncio.Future[bytes] | None = None

    @classmethod
    async def open(cls, url: str) -> "Wire":
        """A connection to the server at `url`."""
        address = urlsplit(url)
        loop = asyncio.get_running_loop()
        host, port = address.hostname or "", address.port or 80
        _, wire = await loop.create_connection(lambda: cls(address.netloc), host, port)
        return wire

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    async def get(self, path: str) -> bytes:
        """The body of a 200."""
        return await self._ask(f"GET {path} HTTP/1.1\r\nhost: {self._host}\r\n\r\n".encode(), 200)

    async def post(self, path: str, body: bytes) -> bytes:
        """The body of a 201."""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return await self._ask(head.encode() + body, 201)

    async def _ask(self, request: bytes, status: int) -> bytes:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        self._answer = answer
        # One timer a request: what `asyncio.timeout` adds to it would be a tenth of the whole round trip.
        timer = loop.call_later(ANSWER_SECONDS, self._fail, f"no answer within {ANSWER_SECONDS:.0f} s")
        self._transport.write(request)
        try:
            content = await answer
        finally:
            timer.cancel()
        if self._status != status:
            raise AnchorError(f"The server answered {self._status}: {content[:300].decode(errors='replace')}")
        return content

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Gather an answer: its head first, then as many bytes as the head says."""
        self._received += data
        if not self._missing:
            head, end, _ = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            _, found, length = head.lower().partition(b"\r\ncontent-length:")
            if not found:
                self._fail("it gave no Content-Length")
                return
            self._status = int(head[9:12])
            self._missing = len(head) + 4 + int(length.partition(b"\r\n")[0])
        if len(self._received) >= self._missing:
            content = self._received[self._received.index(b"\r\n\r\n") + 4 : self._missing]
            self._received, self._missing = b"", 0
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(content)

    def connection_lost(self, error: Exception | None) -> None:
        """The server hung up."""
        self._fail("it hung up")

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(AnchorError(f"The server gave no usable answer: {why}."))
