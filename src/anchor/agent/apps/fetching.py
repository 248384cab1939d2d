"""Brings a blob of the server into a file, going on where the line was cut."""

import asyncio
import hashlib
from pathlib import Path

import httpx

from anchor.agent.parcels import RETRY_SECONDS, TRIES_MAX, Parcels, unfetched
from anchor.agent.threads import in_thread
from anchor.core.app import SOURCE_BYTES_MAX
from anchor.core.errors import Unavailable


async def fetched(parcels: Parcels, digest: str, file: Path) -> None:
    """Write the blob with this digest (64 hex digits), checked, into `file`, however long the server is away;
    Unavailable where it says that there is none, or sends other bytes again and again."""
    misread = 0
    while misread < TRIES_MAX:
        have = await in_thread(_size_of, file)
        try:
            await _fetch_rest(parcels, digest, file, have)
        except httpx.HTTPError:
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if await in_thread(_digest_of, file) == digest:
            return
        await in_thread(file.unlink, missing_ok=True)
        misread += 1
    raise unfetched(digest)


async def _fetch_rest(parcels: Parcels, digest: str, file: Path, have: int) -> None:
    async with parcels.reading(digest, have) as blob:
        if blob.size > SOURCE_BYTES_MAX:
            raise Unavailable(f"Blob sha256:{digest} is larger than an app's source may be.")
        if blob.start != have:
            have = 0
            await in_thread(file.write_bytes, b"")
        with file.open("ab") as written:
            async for chunk in blob.chunks:
                have += len(chunk)
                if have > blob.size:
                    raise httpx.RemoteProtocolError("more arrived than was said")
                await in_thread(written.write, chunk)


def _size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _digest_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
