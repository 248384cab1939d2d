"""Uploads under way: what has arrived of a blob, kept until the rest comes."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Part(Protocol):
    """The beginning of a blob, held by one request at a time."""

    @property
    def size(self) -> int:
        """How many bytes have arrived."""

    async def append(self, chunks: AsyncIterator[bytes]) -> None:
        """Keep what follows; what came before `chunks` broke off is kept, too. OutOfSpace where the disk is full."""

    def read(self) -> AsyncIterator[bytes]:
        """What has arrived, in chunks."""

    async def drop(self) -> None:
        """Forget what has arrived."""


class Parts(Protocol):
    """Beginnings of blobs on this server's own disk, each of one owner, found by the digest and size they will have."""

    async def held(self, owner: str, digest: str, total: int) -> int:
        """How many bytes of a blob of `total` bytes have arrived from this owner."""

    def hold(self, owner: str, digest: str, total: int) -> AbstractAsyncContextManager[Part]:
        """The part, to go on with; Conflict while another request does, TooManyRequests where this owner has too much
        under way and none of it is idle (what has been idle longest makes room)."""

    async def require_room(self, wanted_bytes: int) -> None:
        """OutOfSpace where so many bytes would go into what of the disk is left to work that is there already."""

    async def sweep(self) -> int:
        """Remove parts to which nothing was added for a day; how many they were."""
