"""Bytes named by their SHA-256: large inputs, modules and results."""

from collections.abc import AsyncIterator, Collection
from typing import Protocol


class Blobs(Protocol):
    """Content-addressed bytes. A digest is 64 lower-case hex digits."""

    async def put(self, chunks: AsyncIterator[bytes], *, expected: str | None = None) -> tuple[str, int]:
        """Keep bytes and say their digest and size; InvalidRequest where the digest is not the expected one."""

    def get(self, digest: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to before `end` (None: to the last) in chunks; NotFound where there is no blob.

        Only a blob that is read whole is compared with its digest.
        """

    async def size(self, digest: str) -> int | None:
        """How many bytes there are under a digest, None where there are none."""

    async def missing(self, digests: Collection[str]) -> list[str]:
        """Those of the digests under which there is nothing, sorted."""

    async def sweep(self) -> int:
        """Remove what uploads left behind that began a day ago and were never finished; how many they were."""
