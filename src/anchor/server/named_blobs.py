"""Blobs that payloads name are there before anything is accepted."""

from collections.abc import Iterable

from anchor.core.errors import Fault, Unprocessable
from anchor.core.pieces import piece_of
from anchor.core.spec import Payload, blob_of
from anchor.ports.blobs import Blobs
from anchor.server.faults import FAULTS_SHOWN_MAX


async def require(blobs: Blobs, payloads: Iterable[tuple[str, Payload]]) -> None:
    """Unprocessable, with the places, where payloads (each with its JSON pointer) name blobs that are not here."""
    named: dict[str, str] = {}
    for where, payload in payloads:
        if not (payload.files or payload.module or payload.inputs):
            continue
        if payload.module is not None and (digest := blob_of(payload.module)) is not None:
            named.setdefault(digest, f"{where}/module")
        for name, reference in payload.files.items():
            if (piece := piece_of(reference)) is not None:
                named.setdefault(piece.digest, f"{where}/files/{_token(name)}")
        for name, given in payload.inputs.items():
            if given.blob is not None:
                named.setdefault(given.blob.removeprefix("sha256:"), f"{where}/inputs/{_token(name)}/blob")
    missing = await blobs.missing(named) if named else []
    if missing:
        raise Unprocessable(
            f"The blob sha256:{missing[0]} is not here"
            + (f", nor are {len(missing) - 1} others." if len(missing) > 1 else "."),
            hint="Nothing was accepted. Upload with PUT /api/blobs/{sha256} what `errors` lists, then submit again.",
            code="blob_missing",
            errors=[Fault(named[digest], f"names sha256:{digest}") for digest in missing[:FAULTS_SHOWN_MAX]],
        )


def _token(key: str) -> str:
    """A key as it stands in a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
