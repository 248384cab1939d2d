"""Blobs that are held in memory whole: small enough for it by what was checked before."""

from collections.abc import AsyncIterator

from anchor.ports.blobs import Blobs


async def read_whole(blobs: Blobs, digest: str, end: int | None = None) -> bytes:
    """All bytes of a blob, or those up to before `end`. Raises what `Blobs.get` raises."""
    return b"".join([chunk async for chunk in blobs.get(digest, 0, end)])


async def one_chunk(content: bytes) -> AsyncIterator[bytes]:
    """Bytes at hand, as `Blobs.put` takes them."""
    yield content
