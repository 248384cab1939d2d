"""Blobs on their way out: whole, or the range that was asked for, and never as a page of this site."""

import re
import urllib.parse
from collections.abc import Mapping

from anchor.core.errors import NotFound
from anchor.server.http import Answer, Call, new_request_id
from anchor.wire.problems import CONTENT_TYPE, Problem

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


async def download(call: Call, digest: str, name: str = "") -> Answer:
    """The blob, or the part of it that Range asks for; `name` is what a browser saves it as."""
    blobs = call.desk.world.blobs
    size = await blobs.size(digest)
    if size is None:
        raise NotFound(f"There is no blob {digest}.", hint="Upload it with PUT /api/blobs/{sha256}.")
    etag = f'"{digest}"'
    headers = {
        "accept-ranges": "bytes",
        "etag": etag,
        "content-disposition": _disposition(name),
        "content-security-policy": "sandbox",
    }
    wanted = _wanted(call.headers, size, etag)
    if wanted is None:
        return _stream(call, digest, 0, None, {**headers, "content-length": str(size)}, 200)
    start, end = wanted
    if start >= end:
        return _nothing_there(size)
    headers |= {"content-length": str(end - start), "content-range": f"bytes {start}-{end - 1}/{size}"}
    return _stream(call, digest, start, None if (start, end) == (0, size) else end, headers, 206)


def _stream(call: Call, digest: str, start: int, end: int | None, headers: Mapping[str, str], status: int) -> Answer:
    stream = call.desk.world.blobs.get(digest, start, end)
    return Answer(stream=stream, status=status, content_type="application/octet-stream", headers=headers)


def _wanted(headers: Mapping[str, str], size: int, etag: str) -> tuple[int, int] | None:
    """From where to before where, empty where nothing of it is there; None for the whole: without a Range, with one
    that is several or no range of bytes (RFC 9110 lets a server pass over those), or with another If-Range."""
    found = _RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    if found is None or found[0] == "bytes=-" or headers.get("if-range", etag) != etag:
        return None
    first, last = found[1], found[2]
    if not first:
        return max(0, size - int(last)), size
    end = min(size, int(last) + 1) if last else size
    if last and int(last) < int(first):
        return None
    return int(first), end


def _nothing_there(size: int) -> Answer:
    problem = Problem(
        title="The range is not in the bytes there are.",
        status=416,
        detail=f"The range asked for lies outside of the {size:,} bytes there are.",
        code="range_not_satisfiable",
        request_id=new_request_id(),
        hint="Ask for a range that begins before the end, or leave Range out.",
    )
    return Answer(problem, status=416, content_type=CONTENT_TYPE, headers={"content-range": f"bytes */{size}"})


def _disposition(name: str) -> str:
    """`attachment` with the last part of a name, in ASCII for old readers and whole in UTF-8 for the others."""
    last = name.rpartition("/")[2]
    if not last:
        return "attachment"
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", last)
    encoded = urllib.parse.quote(last, safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
