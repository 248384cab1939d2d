"""Large payloads, inputs, results and output files: fetched from and brought to the server's blobs over HTTP."""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx
import msgspec

from anchor.agent.threads import in_thread
from anchor.agent.trust import trusted
from anchor.core.attempt import Result
from anchor.core.errors import Unavailable
from anchor.core.spec import INLINE_BYTES_MAX, MIB
from anchor.failpoints import reached
from anchor.wire.problems import Problem

TRANSFER_SECONDS = 60.0
RETRY_SECONDS = 1.0
TRIES_MAX = 5
"""How often in a row nothing at all may arrive of a blob before it counts as one that cannot be had."""
BLOB_BYTES_MAX = 256 * MIB
"""The largest payload, which is held in memory; files are not."""
PART_BYTES = 8 * MIB
"""Larger files are brought in parts of this size, and go on at the last one after the line was cut."""
READ_BYTES = 256 * 1024
_RANGE_END = re.compile(r"bytes=0-(\d+)")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_PERMANENT_REDIRECT = 308
_WRONG_OFFSET = (httpx.codes.CONFLICT, httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE)
_LATER = (httpx.codes.UNAUTHORIZED, httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)
"""Answers after which the same request may be taken: the token is that of the newest session."""
_CUT = ("upload_stalled", "range_mismatch")
"""Problems of a part that came to a halt on the way."""


class Changed(OSError):
    """A file is not what it was when it was looked at first."""


class NotTaken(Exception):
    """The server does not want these bytes, now or later."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Reading(NamedTuple):
    """A blob on its way: the offset of its first byte here, how large all of it is, and the bytes asked for."""

    start: int
    size: int
    chunks: AsyncIterator[bytes]


class Parcels:
    """Blobs of one server; `url` and `token` are set anew with every session."""

    def __init__(self) -> None:
        self.url = ""
        self.token = ""
        self._client = httpx.AsyncClient(timeout=TRANSFER_SECONDS, trust_env=False, verify=trusted())

    async def fetch(self, digest: str) -> bytes:
        """The bytes with this digest (64 hex digits), checked; Unavailable where they cannot be had."""
        if not digest:
            return b"{}"
        for attempt in range(TRIES_MAX):
            content = bytearray()
            try:
                async with self.reading(digest) as blob:
                    if blob.size > BLOB_BYTES_MAX:
                        raise Unavailable(f"Blob {digest} is larger than this node takes.")
                    async for chunk in blob.chunks:
                        content += chunk
            except httpx.HTTPError:
                await asyncio.sleep(RETRY_SECONDS * attempt)
                continue
            if hashlib.sha256(content).hexdigest() == digest:
                return bytes(content)
        raise unfetched(digest)

    @asynccontextmanager
    async def reading(self, digest: str, start: int = 0, end: int | None = None) -> AsyncIterator[Reading]:
        """A blob from byte `start` to before `end`, or all of it where the server does not give parts.

        Unavailable where there is none; httpx.HTTPError where the server cannot be asked, or breaks off.
        """
        # A size is only that of the bytes where they are not compressed on the way.
        headers = {**self._headers(), "Accept-Encoding": "identity"}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        async with self._client.stream("GET", self._at(digest), headers=headers) as answer:
            if answer.status_code == httpx.codes.NOT_FOUND:
                raise unfetched(digest)
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and headers.get("Range"):
                yield Reading(start, start, _nothing())
                return
            answer.raise_for_status()
            found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
            if answer.status_code == httpx.codes.PARTIAL_CONTENT and found:
                yield Reading(int(found[1]), int(found[2]), answer.aiter_raw())
                return
            length = answer.headers.get("content-length", "")
            if not length.isdigit():
                raise httpx.RemoteProtocolError("the server did not say how large the blob is")
            yield Reading(0, int(length), answer.aiter_raw())

    async def pack(self, value: bytes | memoryview) -> Result:
        """A result ready to travel: inline where it is small, else brought to the server first.

        NotTaken where the server does not want it.
        """
        if len(value) <= INLINE_BYTES_MAX:
            return Result(json=bytes(value), size=len(value))
        digest = hashlib.sha256(value).hexdigest()
        await self.bring(digest, value)
        reached("parcels.brought")
        return Result(blob=digest, size=len(value))

    async def bring(self, digest: str, content: bytes | memoryview) -> None:
        """Bring bytes to the server, however long it is away; NotTaken where it does not want them."""
        misread = 0
        while misread < TRIES_MAX:
            try:
                if await self._put(digest, _pieces(content), {"Content-Length": str(len(content))}):
                    return
            except _Misread:
                misread += 1
            await asyncio.sleep(RETRY_SECONDS)
        raise NotTaken("The server read other bytes than were sent.", hint="Look for what changes them on the way.")

    async def bring_file(self, digest: str, fd: int, size: int) -> None:
        """Bring a file's bytes to the server unless it has them, however long it is away; what has arrived of a large
        file is not sent again. Changed where the file is not `size` bytes of this digest; NotTaken."""
        in_parts = size > PART_BYTES
        while True:
            try:
                if await self._has(digest, size):
                    return
                if in_parts:
                    brought = await self._bring_parts(digest, fd, size)
                else:
                    brought = await self._put(digest, _slice(fd, 0, size), {"Content-Length": str(size)})
            except httpx.HTTPError:
                brought = False
            except _Misread:
                if not in_parts:
                    raise Changed("it changed while it was brought to the server") from None
                in_parts = False  # a server that knows no parts, or a part that was damaged
                continue
            if brought:
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def _has(self, digest: str, size: int) -> bool:
        answer = await self._client.head(self._at(digest), headers=self._headers())
        return answer.is_success and answer.headers.get("content-length") == str(size)

    async def _bring_parts(self, digest: str, fd: int, size: int) -> bool:
        """Bring what the server does not have yet; whether it has all of it now."""
        at = await self._offset(digest, size)
        while at < size:
            end = min(at + PART_BYTES, size)
            headers = {"Content-Range": f"bytes {at}-{end - 1}/{size}", "Content-Length": str(end - at)}
            answer = await self._client.put(
                self._at(digest), content=_slice(fd, at, end), headers={**self._headers(), **headers}
            )
            if answer.is_success:
                return True
            if answer.status_code != _PERMANENT_REDIRECT:
                if answer.status_code not in _WRONG_OFFSET:
                    _refuse(answer)
                return False
            came_from, at = at, _next_offset(answer)
            if at <= came_from:
                return False
        return False

    async def _offset(self, digest: str, size: int) -> int:
        """How much of a file has arrived."""
        headers = {**self._headers(), "Content-Range": f"bytes */{size}", "Content-Length": "0"}
        answer = await self._client.put(self._at(digest), headers=headers)
        if answer.status_code == _PERMANENT_REDIRECT:
            return _next_offset(answer)
        _refuse(answer)
        answer.raise_for_status()
        return size

    async def _put(self, digest: str, content: AsyncIterator[bytes], headers: dict[str, str]) -> bool:
        """Whether the server has it now; False where it is worth trying again."""
        headers = {**self._headers(), **headers}
        try:
            answer = await self._client.put(self._at(digest), content=content, headers=headers)
        except httpx.HTTPError:
            return False
        _refuse(answer)
        return answer.is_success

    def _at(self, digest: str) -> str:
        return f"{self.url}/api/blobs/{digest}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class _Misread(Exception):
    """The server has read other bytes than were named."""


def _refuse(answer: httpx.Response) -> None:
    """Raise where sending the same again would not help."""
    if not answer.is_client_error or answer.status_code in _LATER:
        return
    try:
        problem = msgspec.json.decode(answer.content, type=Problem)
    except msgspec.MsgspecError:
        raise NotTaken(f"The server did not take it and answered {answer.status_code}.") from None
    if problem.code == "digest_mismatch":
        raise _Misread
    if problem.code not in _CUT:
        raise NotTaken(f"The server did not take it: {problem.detail}", problem.hint)


def unfetched(digest: str) -> Unavailable:
    """The error for a blob that cannot be had."""
    return Unavailable(f"Blob sha256:{digest} could not be fetched.", hint="Upload it first: PUT /api/blobs/{sha256}.")


def _next_offset(answer: httpx.Response) -> int:
    found = _RANGE_END.fullmatch(answer.headers.get("range", ""))
    return int(found[1]) + 1 if found else 0


async def _nothing() -> AsyncIterator[bytes]:
    no_chunks: tuple[bytes, ...] = ()
    for chunk in no_chunks:
        yield chunk


async def _pieces(content: bytes | memoryview) -> AsyncIterator[bytes]:
    """Bytes a few at a time: given all at once they would be copied on their way out."""
    view = memoryview(content)
    for at in range(0, len(view), READ_BYTES):
        yield bytes(view[at : at + READ_BYTES])


async def _slice(fd: int, start: int, end: int) -> AsyncIterator[bytes]:
    """The bytes of an open file from `start` to before `end`; Changed where it has become shorter."""
    while start < end:
        chunk = await in_thread(_read_at, fd, min(READ_BYTES, end - start), start)
        if not chunk:
            raise Changed("the file became shorter while it was brought to the server")
        start += len(chunk)
        yield chunk


def _read_at(fd: int, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, size)
