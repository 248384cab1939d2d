"""Blobs on their way in: at once, or in parts that go on where they broke off."""

import asyncio
import re
from collections.abc import AsyncIterator

from anchor.core.access import Role
from anchor.core.errors import AnchorError, InvalidRequest, OutOfSpace, TooLarge, Unprocessable
from anchor.failpoints import reached
from anchor.ports.parts import Part
from anchor.server.http import MIB, Answer, Call, new_request_id
from anchor.wire.problems import CONTENT_TYPE, Problem
from anchor.wire.rest import BlobView

BLOB_BYTES_MAX = 1024 * MIB
ROOM_STEP_BYTES = 8 * MIB
"""After so many bytes of an upload the disk is looked at again."""
QUIET_SECONDS_MAX = 30.0
"""Whoever brings a part and says nothing for so long is gone: the part is free for whoever comes next."""
_RANGE = re.compile(r"bytes (?:(\d{1,15})-(\d{1,15})|\*)/(\d{1,15})")


class WrongOffset(Problem, frozen=True, rename="camel", kw_only=True):
    """The problem of a part that does not begin where the one before ended; `offset` is where to go on."""

    offset: int


async def upload(call: Call, digest: str) -> BlobView:
    """Keep a whole body as a blob."""
    await _check_announced(call)
    stream = call.stream if call.principal.role is Role.NODE else _within_room(call)
    digest, size = await call.desk.world.blobs.put(stream, expected=digest)
    reached("blobs.put")
    return BlobView(sha256=digest, size=size)


async def upload_part(call: Call, digest: str) -> Answer:
    """Keep a part of a blob, or say where to go on; the part that makes it whole makes it a blob."""
    found = _RANGE.fullmatch(call.headers["content-range"].strip())
    if found is None or (found[1] and not int(found[1]) <= int(found[2]) < int(found[3])):
        raise InvalidRequest(
            "The Content-Range cannot be read.",
            hint="Write it like bytes 0-1048575/4194304, or bytes */4194304 to ask where to go on.",
            code="invalid_range",
        )
    total = int(found[3])
    if total > BLOB_BYTES_MAX:
        raise _too_large()
    size = await call.desk.world.blobs.size(digest)
    if size is not None:
        return Answer(BlobView(sha256=digest, size=size))
    parts, owner = call.desk.parts, call.principal.name
    if not found[1]:
        held = await parts.held(owner, digest, total)
        if held < total or total == 0:
            return _go_on(held)
        start, length = held, 0
    else:
        start, length = int(found[1]), int(found[2]) + 1 - int(found[1])
    await _check_announced(call)
    async with parts.hold(owner, digest, total) as part:
        if start != part.size:
            return _wrong_offset(part.size)
        if length:
            await part.append(_exactly(call.stream, length))
            reached("uploads.part_kept")
        if part.size < total:
            return _go_on(part.size)
        return Answer(await _made_whole(call, digest, part))


async def _made_whole(call: Call, digest: str, part: Part) -> BlobView:
    try:
        _, size = await call.desk.world.blobs.put(part.read(), expected=digest)
        reached("uploads.made_whole")
    except AnchorError as error:
        if error.code != "digest_mismatch":
            raise
        await part.drop()
        raise Unprocessable(
            error.message,
            hint="What had arrived was dropped. Send the bytes again from the first on.",
            code=error.code,
        ) from None
    await part.drop()
    return BlobView(sha256=digest, size=size)


def _go_on(held: int) -> Answer:
    headers = {"range": f"bytes=0-{held - 1}"} if held else {}
    return Answer(b"", status=308, headers=headers)


def _wrong_offset(held: int) -> Answer:
    problem = WrongOffset(
        title="The part does not begin where the one before ended.",
        status=409,
        detail=f"{held:,} bytes of this blob are here.",
        code="wrong_offset",
        request_id=new_request_id(),
        hint=f"Go on with byte {held}.",
        offset=held,
    )
    headers = {"range": f"bytes=0-{held - 1}"} if held else {}
    return Answer(problem, status=409, content_type=CONTENT_TYPE, headers=headers)


async def _check_announced(call: Call) -> None:
    """Refuse what is announced to be too much before it is sent (`Expect: 100-continue`)."""
    announced = call.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > BLOB_BYTES_MAX:
        raise _too_large()
    if call.principal.role is not Role.NODE:
        await call.desk.parts.require_room(int(announced) if announced.isdecimal() else 0)
        if not await call.desk.world.store.has_room():
            raise OutOfSpace(
                "What is left of the server's disk is needed by the work that is there.",
                hint="Free some disk space on the server and send them again.",
            )


def _too_large() -> TooLarge:
    return TooLarge(
        f"A blob may be at most {BLOB_BYTES_MAX:,} bytes.", hint="Cut it into several, and name them all in `files`."
    )


async def _within_room(call: Call) -> AsyncIterator[bytes]:
    """The body, for as long as there is room for it: what nodes bring is let into the room kept for it, others not."""
    since = 0
    async for chunk in call.stream:
        since += len(chunk)
        if since >= ROOM_STEP_BYTES:
            await call.desk.parts.require_room(since)
            since = 0
        yield chunk


async def _exactly(chunks: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:
    """As many bytes as were announced; InvalidRequest where there are more or fewer, or none for too long."""
    left = length
    while True:
        try:
            async with asyncio.timeout(QUIET_SECONDS_MAX):
                chunk = await anext(chunks, b"")
        except TimeoutError:
            raise InvalidRequest(
                f"Nothing came for {QUIET_SECONDS_MAX:g} seconds.",
                hint="What had arrived is kept: ask where to go on with Content-Range: bytes */TOTAL.",
                code="upload_stalled",
            ) from None
        left -= len(chunk)
        if left < 0 or (left > 0 and not chunk):
            raise InvalidRequest(
                f"The body is not the {length:,} bytes its Content-Range says.",
                hint="Send as many bytes as the range has.",
                code="range_mismatch",
            )
        if not chunk:
            return
        yield chunk
