"""Serves the files of a folder over HTTP/1.1, inside an app's cell: `python static_server.py FOLDER PORT`.

Only with the standard library. It lists no folders, and serves nothing outside, nor names that begin with a dot.
"""

import asyncio
import hashlib
import mimetypes
import os
import posixpath
import re
import signal
import sys
from contextlib import suppress
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

HEAD_BYTES_MAX: Final = 32 * 1024
IDLE_SECONDS: Final = 75.0
SMALL_BYTES: Final = 128 * 1024
"""Files up to this size are kept in memory for as long as they do not change."""
KEPT_BYTES_MAX: Final = 16 * 1024 * 1024
KEPT_MAX: Final = 10_000
TYPES: Final = {
    **dict.fromkeys(("js", "mjs"), "text/javascript"),
    **{kind: f"image/{kind}" for kind in ("avif", "webp")},
    **{kind: f"font/{kind}" for kind in ("woff", "woff2")},
    "map": "application/json",
}
"""What Python's own list lacks, or has under other names; the machine's lists are left out."""
_REQUEST: Final = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.([01])\r\n")
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_CHUNK_BYTES: Final = 256 * 1024


class Request(NamedTuple):
    """A request's first line and headers; names in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    keeps: bool


class Found(NamedTuple):
    """A file to answer with: where it lies, what it was when it was looked at, and the status it goes with."""

    path: str
    about: os.stat_result
    status: HTTPStatus = HTTPStatus.OK


class Kept(NamedTuple):
    """What is kept of a file: what it was, its tag, and its content where it is small."""

    stamp: tuple[int, int, int]
    tag: str
    content: bytes | None


class Site:
    """The files below one folder."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.realpath(folder)
        self._kept: dict[str, Kept] = {}
        self._kept_bytes = 0

    def find(self, path: str) -> Found | str | None:
        """The file for a request's path, the path to go to instead (a folder without its slash), or None."""
        raw = unquote_to_bytes(path.split("?", 1)[0].split("#", 1)[0])
        try:
            clean = raw.decode()
        except UnicodeDecodeError:
            return None
        parts = clean.split("/")[1:]
        if "\0" in clean or not clean.startswith("/") or any(map(_is_hidden, parts)):
            return None
        name = posixpath.join(*parts)
        found = self._file(name)
        if found is not None:
            return found
        if clean.endswith("/"):
            return self._file(posixpath.join(name, "index.html"))
        if self._file(posixpath.join(name, "index.html")) is not None:
            return "/" + "/".join(parts) + "/"
        return self._file(name + ".html") if name else self._file("index.html")

    def fallback(self) -> Found | None:
        """What is sent where nothing was found: 200.html for apps that have their own routes, else 404.html."""
        if (found := self._file("200.html")) is not None:
            return found
        found = self._file("404.html")
        return found and found._replace(status=HTTPStatus.NOT_FOUND)

    def known(self, found: Found) -> Kept | None:
        """What is kept of a file as it is now."""
        kept = self._kept.get(found.path)
        return kept if kept is not None and kept.stamp == _stamp(found.about) else None

    def read(self, found: Found) -> Kept:
        """Read a file, for its tag, and for its content where it is small; OSError."""
        with open(found.path, "rb") as file:
            content = file.read(SMALL_BYTES + 1)
            hashed = hashlib.sha256(content)
            while more := file.read(_CHUNK_BYTES):
                hashed.update(more)
        # By its content: other replicas have the same file with another time.
        tag = f'"{hashed.hexdigest()[:32]}"'
        kept = Kept(_stamp(found.about), tag, content if len(content) <= SMALL_BYTES else None)
        self._kept_bytes += len(kept.content or b"")
        if self._kept_bytes > KEPT_BYTES_MAX or len(self._kept) >= KEPT_MAX:
            self._kept.clear()
            self._kept_bytes = len(kept.content or b"")
        self._kept[found.path] = kept
        return kept

    def _file(self, name: str) -> Found | None:
        path = os.path.join(self._folder, name)
        try:
            about = os.stat(path)
            if not os.path.isfile(path):
                return None
            real = os.path.realpath(path)
        except (OSError, ValueError):
            return None
        return Found(path, about) if real.startswith(self._folder + os.sep) else None


class Connection(asyncio.Protocol):
    """One visitor's connection: its requests one after the other."""

    def __init__(self, site: Site, open_ones: "set[Connection]") -> None:
        self._site = site
        self._open_ones = open_ones
        self._waiting = bytearray()
        self._sending: asyncio.Task[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._last = asyncio.get_running_loop().time()
        self._ends = False
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_ones.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Give up what is being sent."""
        self._open_ones.discard(self)
        self.closed.set()
        self._may_write.set()
        if self._sending is not None:
            self._sending.cancel()

    def pause_writing(self) -> None:
        """Wait: the visitor reads more slowly than is sent."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """Take in a part of a request."""
        self._last = asyncio.get_running_loop().time()
        self._waiting += data
        if self._sending is not None:
            if len(self._waiting) > HEAD_BYTES_MAX:
                self._transport.pause_reading()
        else:
            self._answer_waiting()

    def close_if_idle(self, now: float) -> None:
        """End a connection on which nothing has happened for long."""
        if now - self._last > IDLE_SECONDS:
            self.end()

    def end(self) -> None:
        """Answer what is being answered, and nothing after it."""
        self._ends = True
        if self._sending is None:
            self._transport.close()

    def _answer_waiting(self) -> None:
        while self._sending is None and not self._transport.is_closing():
            end = self._waiting.find(b"\r\n\r\n")
            if end < 0:
                if len(self._waiting) > HEAD_BYTES_MAX:
                    self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return
            head = bytes(self._waiting[: end + 2])
            del self._waiting[: end + 4]
            request = _read(head)
            if request is None:
                self._refuse(HTTPStatus.BAD_REQUEST)
            elif request.method not in ("GET", "HEAD"):
                # With a body perhaps, which is not read: the connection ends with the answer.
                self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "Allow: GET, HEAD\r\n")
            elif request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
                self._refuse(HTTPStatus.BAD_REQUEST)
            else:
                self._answer(request)

    def _answer(self, request: Request) -> None:
        found = self._site.find(request.path)
        if isinstance(found, str):
            query = request.path.partition("?")[2]
            place = _quoted(found) + (f"?{query}" if query else "")
            self._send(request, HTTPStatus.MOVED_PERMANENTLY, f"Location: {place}\r\n", b"")
            return
        found = found or self._site.fallback()
        if found is None:
            self._send(request, HTTPStatus.NOT_FOUND, _PLAIN, b"404 Not Found\n")
            return
        kept = self._site.known(found)
        if kept is None and found.about.st_size > SMALL_BYTES:
            self._sending = asyncio.get_running_loop().create_task(self._read(request, found))
            return
        try:
            self._give(request, found, kept or self._site.read(found))
        except OSError:
            self._send(request, HTTPStatus.NOT_FOUND, _PLAIN, b"404 Not Found\n")

    async def _read(self, request: Request, found: Found) -> None:
        """Read a large file in a thread, and answer with it."""
        try:
            kept = await asyncio.get_running_loop().run_in_executor(None, self._site.read, found)
            self._sending = None
            self._give(request, found, kept)
        except OSError:
            self._sending = None
            self._send(request, HTTPStatus.NOT_FOUND, _PLAIN, b"404 Not Found\n")
        if self._sending is None:
            self._transport.resume_reading()
            self._answer_waiting()

    def _give(self, request: Request, found: Found, kept: Kept) -> None:
        about, tag = found.about, kept.tag
        headers = f"ETag: {tag}\r\nLast-Modified: {formatdate(about.st_mtime, usegmt=True)}\r\n"
        headers += f"Cache-Control: no-cache\r\nAccept-Ranges: bytes\r\nContent-Type: {_type_of(found.path)}\r\n"
        if found.status is HTTPStatus.OK and _is_known(request, tag, about):
            self._send(request, HTTPStatus.NOT_MODIFIED, headers, None)
            return
        start, end, status = 0, about.st_size, found.status
        if status is HTTPStatus.OK and request.headers.get("if-range", tag) == tag:
            asked = _range_of(request.headers.get("range", ""), about.st_size)
            if asked == "beyond":
                beyond = f"Content-Range: bytes */{about.st_size}\r\n"
                self._send(request, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, beyond, b"")
                return
            if isinstance(asked, tuple):
                start, end = asked
                status = HTTPStatus.PARTIAL_CONTENT
                headers += f"Content-Range: bytes {start}-{end - 1}/{about.st_size}\r\n"
        if kept.content is not None:
            self._send(request, status, headers, kept.content[start:end])
            return
        file = os.open(found.path, os.O_RDONLY)
        self._transport.write(_head(status, headers, end - start, keeps=self._stays(request)))
        end = start if request.method == "HEAD" else end
        self._sending = asyncio.get_running_loop().create_task(self._stream(request, file, start, end))

    async def _stream(self, request: Request, file: int, start: int, end: int) -> None:
        try:
            while start < end:
                await self._may_write.wait()
                if self._transport.is_closing():
                    return
                chunk = os.pread(file, min(_CHUNK_BYTES, end - start), start)
                if not chunk:
                    self._transport.abort()  # it became shorter, and its length was said
                    return
                self._transport.write(chunk)
                start += len(chunk)
                await asyncio.sleep(0)
        finally:
            os.close(file)
        self._sending = None
        self._after(request)
        self._transport.resume_reading()
        self._answer_waiting()

    def _send(self, request: Request, status: HTTPStatus, headers: str, content: bytes | None) -> None:
        head = _head(status, headers, None if content is None else len(content), keeps=self._stays(request))
        self._transport.write(head if request.method == "HEAD" or not content else head + content)
        self._after(request)

    def _refuse(self, status: HTTPStatus, headers: str = "") -> None:
        content = f"{status.value} {status.phrase}\n".encode()
        self._transport.write(_head(status, headers + _PLAIN, len(content), keeps=False) + content)
        self._transport.close()

    def _stays(self, request: Request) -> bool:
        return request.keeps and not self._ends

    def _after(self, request: Request) -> None:
        self._last = asyncio.get_running_loop().time()
        if not self._stays(request):
            self._transport.close()


_LISTED: Final = mimetypes.MimeTypes()
_PLAIN: Final = "Content-Type: text/plain; charset=utf-8\r\n"


def _read(head: bytes) -> Request | None:
    match = _REQUEST.match(head)
    if match is None:
        return None
    headers: dict[str, str] = {}
    for line in head[match.end() : -2].split(b"\r\n") if match.end() < len(head) else []:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            return None
        headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
    connection = headers.get("connection", "").lower()
    keeps = "close" not in connection if match[3] == b"1" else "keep-alive" in connection
    return Request(match[1].decode(), match[2].decode("latin-1"), headers, keeps)


def _head(status: HTTPStatus, headers: str, length: int | None, *, keeps: bool) -> bytes:
    size = "" if length is None else f"Content-Length: {length}\r\n"
    ends = "" if keeps else "Connection: close\r\n"
    date = formatdate(usegmt=True)
    return f"HTTP/1.1 {status.value} {status.phrase}\r\nDate: {date}\r\n{headers}{size}{ends}\r\n".encode("latin-1")


def _stamp(about: os.stat_result) -> tuple[int, int, int]:
    return about.st_ino, about.st_mtime_ns, about.st_size


def _is_hidden(part: str) -> bool:
    return part.startswith(".") and part != ".well-known"


def _quoted(path: str) -> str:
    """A path for Location: never one that begins with two slashes, which would be another host."""
    return "/" + quote(path.lstrip("/"), safe="/-._~")


def _type_of(path: str) -> str:
    found = TYPES.get(path.rpartition(".")[2].lower()) or _LISTED.guess_type(path)[0] or "application/octet-stream"
    return f"{found}; charset=utf-8" if found.startswith("text/") else found


def _is_known(request: Request, tag: str, about: os.stat_result) -> bool:
    """Whether the visitor has it as it is."""
    if (tags := request.headers.get("if-none-match")) is not None:
        return tags.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in tags.split(",")]
    return _not_since(request.headers.get("if-modified-since", ""), about)


def _not_since(text: str, about: os.stat_result) -> bool:
    with suppress(TypeError, ValueError, OverflowError):
        return int(about.st_mtime) <= parsedate_to_datetime(text).timestamp()
    return False


def _range_of(text: str, size: int) -> tuple[int, int] | str | None:
    """The bytes asked for as (start, end); "beyond" where there are none such, None where all of it is sent."""
    match = _RANGE.fullmatch(text.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        last = int(match[2])
        return (max(0, size - last), size) if last and size else "beyond"
    start, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
    if match[2] and int(match[2]) < start:
        return None
    return (start, end) if start < size else "beyond"


async def serve(folder: str, port: int) -> None:
    """Serve until SIGTERM; then what is being answered is answered to its end."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    site = Site(folder)
    open_ones: set[Connection] = set()
    server = await loop.create_server(lambda: Connection(site, open_ones), "0.0.0.0", port, backlog=1024)
    while not ended.is_set():
        try:
            await asyncio.wait_for(ended.wait(), IDLE_SECONDS / 5)
        except TimeoutError:
            for one in list(open_ones):
                one.close_if_idle(loop.time())
    server.close()
    left = list(open_ones)
    for one in left:
        one.end()
    await asyncio.gather(*(one.closed.wait() for one in left))


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
