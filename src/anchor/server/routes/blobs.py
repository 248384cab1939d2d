"""Large bytes, named by their SHA-256."""

import re
from typing import Any

from anchor.core.access import Role
from anchor.core.errors import InvalidRequest
from anchor.server.downloads import download
from anchor.server.http import Answer, Call, Route
from anchor.server.uploads import BLOB_BYTES_MAX, upload, upload_part
from anchor.wire.rest import BlobView

_DIGEST = re.compile(r"[0-9a-f]{64}")


def _digest(call: Call) -> str:
    digest = call.path["sha256"]
    if not _DIGEST.fullmatch(digest):
        raise InvalidRequest("A blob is named by the 64 lower-case hex digits of its SHA-256.", hint="sha256sum FILE")
    return digest


async def put(call: Call) -> Any:
    """Keep bytes; doing it again changes nothing. With Content-Range a part of them, or the question where to go on."""
    if "content-range" in call.headers:
        return await upload_part(call, _digest(call))
    return await upload(call, _digest(call))


async def get(call: Call) -> Answer:
    """The bytes, or a range of them."""
    return await download(call, _digest(call))


ROUTES = [
    Route(
        method="PUT",
        path="/api/blobs/{sha256}",
        handler=put,
        summary="Keep bytes under their SHA-256; with Content-Range, in parts",
        roles=(Role.SUBMITTER, Role.NODE),
        response=BlobView,
        status=201,
        body_bytes_max=BLOB_BYTES_MAX,
        streams_body=True,
    ),
    Route(
        method="GET",
        path="/api/blobs/{sha256}",
        handler=get,
        summary="The bytes with this SHA-256, or the Range of them asked for",
        roles=(Role.VIEWER, Role.NODE),
        response=bytes,
        content_type="application/octet-stream",
    ),
]
