"""Whether a web process answers: its port accepts a connection, or its health path answers 2xx or 3xx."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Final

STARTING_SECONDS: Final = 0.1
"""Between two looks at a process that is not healthy yet."""
WATCHING_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 5.0
UNHEALTHY_AFTER: Final = 3
"""So many failures in a row take a replica off the route."""
RESTARTED_AFTER: Final = 13
"""So many have it started again."""
_LINE_BYTES_MAX: Final = 4096
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: |\r?$)")

Connect = Callable[[], Awaitable[socket.socket]]


async def fault(connect: Connect, path: str | None) -> str:
    """Why it does not answer, for people; empty where it does."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            opened = await connect()
            try:
                return "" if path is None else await _asked(opened, path)
            finally:
                opened.close()
    except TimeoutError:
        return f"{_what(path)} did not answer within {ANSWER_SECONDS:g} s"
    except OSError as error:
        return f"{_what(path)} did not answer: {error.strerror or error}"


async def _asked(opened: socket.socket, path: str) -> str:
    loop = asyncio.get_running_loop()
    asked = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: anchor-health\r\nConnection: close\r\n\r\n"
    await loop.sock_sendall(opened, asked.encode("ascii"))
    said = b""
    while b"\n" not in said and len(said) < _LINE_BYTES_MAX:
        piece = await loop.sock_recv(opened, _LINE_BYTES_MAX)
        if not piece:
            break
        said += piece
    status = _STATUS.match(said.split(b"\n", 1)[0])
    if status is None:
        return f"{_what(path)} was not answered in HTTP"
    code = int(status[1])
    return "" if 200 <= code < 400 else f"{_what(path)} answered {code}"


def _what(path: str | None) -> str:
    return "its port" if path is None else f"GET {path}"
