"""A web server of a few lines that does what apps do, and what they should not."""

import asyncio
import base64
import hashlib

LARGE = b"x" * 100_000
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"


class Site:
    """Answers by path. `seen` are the heads it was sent, `begun` counts them, `written` the bytes of /flood that the
    other end has taken; `name` is in what it answers."""

    def __init__(self, name: str = "a") -> None:
        self.name = name
        self.seen: list[bytes] = []
        self.written = 0
        self.connections = 0
        self.next_event = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        self.seen.append(head)
        method, target, _ = head.split(b"\r\n", 1)[0].split(b" ")
        body = await _body_of(head, reader)
        name = self.name.encode()
        match target.partition(b"?")[0].decode():
            case "/echo":
                writer.write(_answer_of(body))
            case "/hints":
                writer.write(HINTS + _answer_of(b"hinted"))
            case "/nothing":
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            case "/same":
                writer.write(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: x\r\n\r\n")
            case "/length" if method == b"HEAD":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
            case "/old":
                writer.write(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
                return False
            case "/chunks":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n")
                writer.write(b"3\r\none\r\n3\r\ntwo\r\n0\r\nX-T: 1\r\n\r\n")
            case "/events":
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                for number in range(3):
                    writer.write(b"9\r\ndata: %d\n\n\r\n" % number)
                    await self.next_event.wait()
                    self.next_event.clear()
                writer.write(b"0\r\n\r\n")
            case "/short":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nonly this")
                return False
            case "/garbage":
                writer.write(b"I speak no HTTP\r\n\r\n")
                return False
            case "/two":
                writer.write(_answer_of(b"first") + _answer_of(b"smuggled"))
            case "/status/999" | "/status/000" | "/status/099":
                writer.write(b"HTTP/1.1 %b Odd\r\nContent-Length: 0\r\n\r\n" % target[-3:])
            case "/both":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            case "/headers":
                writer.write(b"HTTP/1.1 200 OK\r\n" + b"X: " + bytes([120]) * 70_000)
                await reader.read(1)
            case "/strange":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX: 1\r\nX-{}: 2\r\nX'|: 3\r\n\r\nsecret")
            case "/hangup":
                return False
            case "/never":
                await reader.read(1)
            case "/flood":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
                for _ in range(1000):
                    writer.write(LARGE)
                    await writer.drain()
                    self.written += len(LARGE)
            case "/ws":
                await _echo(head, reader, writer)
                return False
            case _:
                writer.write(_answer_of(name + b" " + target))
        return True


def _answer_of(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def _body_of(head: bytes, reader: asyncio.StreamReader) -> bytes:
    lines = dict(line.lower().partition(b": ")[::2] for line in head.split(b"\r\n")[1:])
    if lines.get(b"transfer-encoding") != b"chunked":
        return await reader.readexactly(int(lines.get(b"content-length", 0)))
    pieces = []
    while size := int(await reader.readline(), 16):
        pieces.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(pieces)


async def _echo(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """After a WebSocket's handshake, whatever comes, as it came: bytes, not frames."""
    key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))[19:]
    token = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    writer.write(b"Sec-WebSocket-Accept: " + token + b"\r\n\r\n")
    while content := await reader.read(65536):
        writer.write(content)
        await writer.drain()
