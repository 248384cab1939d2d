"""A transport that sends in one packet what is written in one turn of the event loop: an answer's head and body."""

import asyncio
from typing import Any

GATHERED_BYTES_MAX = 64 * 1024


class Gathering:
    """Wraps a socket's transport; all but writing and closing is the transport's own.

    Uvicorn writes head and body apart, each a system call. Together they cost a fifth less of the server's time per
    small request.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._gathered: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Send with whatever else is written before the loop's next turn; much of it at once, so that a writer who
        does not wait in between is told in time that the other end does not read."""
        if not self._gathered:
            self._loop.call_soon(self._flush)
        self._gathered.append(data)
        self._size += len(data)
        if self._size > GATHERED_BYTES_MAX:
            self._flush()

    def close(self) -> None:
        """Send what was written, then close."""
        self._flush()
        self._transport.close()

    def write_eof(self) -> None:
        """Send what was written, then say that nothing more comes."""
        self._flush()
        self._transport.write_eof()

    def _flush(self) -> None:
        if self._gathered:
            data = b"".join(self._gathered)
            self._gathered.clear()
            self._size = 0
            if not self._transport.is_closing():  # else the other end went in the meantime: nobody is there to read it
                self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
