"""Carries bytes between two connected sockets, both ways, no faster than whoever reads takes them."""

import asyncio
import socket
from typing import Final

_READ_BYTES: Final = 64 * 1024


async def pumped(one: socket.socket, other: socket.socket) -> None:
    """Return when both directions are over, or one of the two has broken off: both sockets are closed then.
    Cancelling cuts them."""
    first, first_out = await asyncio.open_connection(sock=one, limit=_READ_BYTES)
    try:
        second, second_out = await asyncio.open_connection(sock=other, limit=_READ_BYTES)
    except BaseException:
        first_out.transport.abort()
        other.close()
        raise
    carrying = [
        asyncio.ensure_future(_carried(first, second_out)),
        asyncio.ensure_future(_carried(second, first_out)),
    ]
    try:
        done, _ = await asyncio.wait(carrying, return_when=asyncio.FIRST_EXCEPTION)
        if all(one.exception() is None for one in done):
            # Both have said all there was, and it is written as far as the sockets take it.
            first_out.close()
            second_out.close()
    finally:
        for one_way in carrying:
            one_way.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
        for writer in (first_out, second_out):
            if not writer.transport.is_closing():
                writer.transport.abort()


async def _carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the end of what is read, which is passed on as such; OSError where one of the two breaks off."""
    while data := await reader.read(_READ_BYTES):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
