"""A server of blobs that does what it is told: cuts connections in the middle, sends other bytes, and counts."""

import asyncio
import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK = 64 * 1024


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class BlobServer:
    """`blobs` by digest, `parts` of those that are brought bit by bit; `cuts` holds after how many bytes of a body the
    next connections break off, up or down."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.parts: dict[str, bytearray] = {}
        self.cuts: list[int] = []
        self.asked: Counter[str] = Counter()
        """Requests by method, and by `METHOD digest`."""
        self.starts: list[int] = []
        """From which byte each download began."""
        self.bytes_out = 0
        self.bytes_in = 0
        self.refuses = 0
        """With this status every upload is answered."""
        self.claims_size: int | None = None
        self.knows_ranges = True
        self.gate = asyncio.Event()
        """Downloads stand still after `stands_at` bytes until it is set."""
        self.gate.set()
        self.stands_at = CHUNK
        self.url = ""

    def add(self, content: bytes) -> str:
        digest = digest_of(content)
        self.blobs[digest] = content
        return digest

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, _Cut, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
                method, path, _ = head[0].split()
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
                }
                digest = path.rpartition("/")[2]
                self.asked.update([method, f"{method} {digest}"])
                if method == "PUT":
                    await self._take(digest, headers, reader, writer)
                else:
                    await self._give(digest, headers, writer, head_only=method == "HEAD")
        writer.close()

    async def _give(
        self, digest: str, headers: dict[str, str], writer: asyncio.StreamWriter, *, head_only: bool
    ) -> None:
        content = self.blobs.get(digest)
        if content is None:
            _answer(writer, "404 Not Found")
            return
        start, status, more = 0, "200 OK", ""
        if self.knows_ranges and (found := re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))):
            start, whole = int(found[1]), len(content)
            if start >= whole:
                _answer(writer, "416 Range Not Satisfiable")
                return
            content = content[: int(found[2]) + 1] if found[2] else content
            status, more = "206 Partial Content", f"Content-Range: bytes {start}-{len(content) - 1}/{whole}\r\n"
        self.starts.append(start)
        size = len(content) - start if self.claims_size is None else self.claims_size
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{more}\r\n".encode())
        cut = self.cuts.pop(0) if self.cuts and not head_only else None
        for at in range(start, 0 if head_only else len(content), CHUNK):
            chunk = content[at : at + CHUNK]
            if cut is not None and at + len(chunk) - start >= cut:
                writer.write(chunk[: start + cut - at])
                self.bytes_out += start + cut - at
                await writer.drain()
                raise _Cut
            writer.write(chunk)
            self.bytes_out += len(chunk)
            await writer.drain()
            if at + len(chunk) >= start + self.stands_at:
                await self.gate.wait()

    async def _take(
        self, digest: str, headers: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        length = int(headers["content-length"])
        found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", headers.get("content-range", ""))
        if self.refuses:
            await reader.readexactly(length)
            _answer(writer, f"{self.refuses} Refused", b'{"title":"no","status":413,"detail":"Too large.","code":"x"}')
            return
        part = self.parts.setdefault(digest, bytearray()) if found else bytearray()
        cut = self.cuts.pop(0) if self.cuts and length else None
        if found and found[1] and int(found[1]) != len(part):
            await reader.readexactly(length)
            _answer(writer, "409 Conflict")
            return
        left = length
        while left:
            chunk = await reader.read(min(left, CHUNK))
            if not chunk:
                raise _Cut
            part += chunk
            left -= len(chunk)
            self.bytes_in += len(chunk)
            if cut is not None and length - left > cut:
                raise _Cut
        if found and len(part) < int(found[2]):
            _answer(writer, "308 Resume", range_of=len(part))
        elif digest_of(part) != digest:
            self.parts.pop(digest, None)
            _answer(writer, "400 Bad", b'{"title":"no","status":400,"detail":"Other bytes.","code":"digest_mismatch"}')
        else:
            self.blobs[digest] = bytes(part)
            _answer(writer, "201 Created", b"{}")


class _Cut(Exception):
    pass


def _answer(writer: asyncio.StreamWriter, status: str, body: bytes = b"", *, range_of: int = 0) -> None:
    more = f"Range: bytes=0-{range_of - 1}\r\n" if range_of else ""
    writer.write(f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body)


@asynccontextmanager
async def blob_server() -> AsyncIterator[BlobServer]:
    blobs = BlobServer()
    server = await asyncio.start_server(blobs.serve, "127.0.0.1", 0)
    blobs.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield blobs
    finally:
        blobs.gate.set()
        server.close()
