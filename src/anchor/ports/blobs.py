"""Bytes named by their SHA-256: large inputs, modules and results."""

from collections.abc import AsyncIterator
from typing import Protocol


class Blobs(Protocol):
    """Content-addressed bytes. A digest is 64 lower-case hex digits."""

    async def put(self, chunks: AsyncIterator[bytes], *, expected: str | None = None) -> tuple[str, int]:
        """Keep bytes and say their digest and size; InvalidRequest where the digest is not the expected one."""

    def get(self, digest: str) -> AsyncIterator[bytes]:
        """The bytes in chunks; NotFound where there are none."""

    async def size(self, digest: str) -> int | None:
        """How many bytes there are under a digest, None where there are none."""

    async def sweep(self) -> int:
        """Remove what uploads left behind that began a day ago and were never finished; how many they were."""
