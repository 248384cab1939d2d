"""Large bytes, named by their SHA-256."""

import re

from anchor.core.access import Role
from anchor.core.errors import InvalidRequest, NotFound
from anchor.failpoints import reached
from anchor.server.http import MIB, Answer, Call, Route
from anchor.wire.rest import BlobView

BLOB_BYTES_MAX = 1024 * MIB
_DIGEST = re.compile(r"[0-9a-f]{64}")


def _digest(call: Call) -> str:
    digest = call.path["sha256"]
    if not _DIGEST.fullmatch(digest):
        raise InvalidRequest("A blob is named by the 64 lower-case hex digits of its SHA-256.", hint="sha256sum FILE")
    return digest


async def put(call: Call) -> BlobView:
    """Keep bytes; doing it again changes nothing."""
    digest, size = await call.desk.world.blobs.put(call.stream, expected=_digest(call))
    reached("blobs.put")
    return BlobView(sha256=digest, size=size)


async def get(call: Call) -> Answer:
    """The bytes."""
    digest = _digest(call)
    blobs = call.desk.world.blobs
    size = await blobs.size(digest)
    if size is None:
        raise NotFound(f"There is no blob {digest}.", hint="Upload it with PUT /api/blobs/{sha256}.")
    return Answer(
        stream=blobs.get(digest),
        content_type="application/octet-stream",
        headers={
            "content-length": str(size),
            "content-disposition": "attachment",
            "content-security-policy": "sandbox",
        },
    )


ROUTES = [
    Route(
        method="PUT",
        path="/api/blobs/{sha256}",
        handler=put,
        summary="Keep bytes under their SHA-256",
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
        summary="The bytes with this SHA-256",
        roles=(Role.VIEWER, Role.NODE),
        response=bytes,
        content_type="application/octet-stream",
    ),
]
