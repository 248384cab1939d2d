"""Bytes named by their SHA-256, each in a file of its own under two levels of folders."""

import asyncio
import errno
import hashlib
import os
import re
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from anchor.core.errors import AnchorError, InvalidRequest, NotFound, OutOfSpace, Unavailable
from anchor.failpoints import reached

P = ParamSpec("P")
R = TypeVar("R")
CHUNK_BYTES = 256 * 1024
UNFINISHED_SECONDS = 24 * 3600.0
_DIGEST = re.compile(r"[0-9a-f]{64}")


class FileBlobs:
    """Content-addressed files in a directory that one process owns.

    A blob appears under its name only when all of it is on the disk, so whatever can be found is whole. Unavailable or
    OutOfSpace where the directory cannot be used. With `reading_only` another process may own it.
    """

    def __init__(self, directory: Path, *, reading_only: bool = False) -> None:
        self._directory = directory
        self._unfinished = directory / "unfinished"
        self._synced: set[Path] = set()
        if reading_only:
            return
        try:
            self._unfinished.mkdir(parents=True, exist_ok=True)
            for leftover in self._unfinished.iterdir():
                leftover.unlink()
        except OSError as error:
            raise self._explained(error) from error

    async def put(self, chunks: AsyncIterator[bytes], *, expected: str | None = None) -> tuple[str, int]:
        """Keep bytes and say their digest and size; InvalidRequest where the digest is not the expected one."""
        if expected is not None:
            _require_digest(expected)
        temporary = self._unfinished / secrets.token_hex(16)
        try:
            file = await self._on_disk(temporary.open, "xb")
            reached("files.opened")
            try:
                digest, size = await self._write(file, chunks)
            finally:
                await self._on_disk(file.close)
            if expected is not None and digest != expected:
                raise InvalidRequest(
                    f"The bytes sent have the SHA-256 {digest}, not {expected}.",
                    hint="Send the bytes again; they may have been cut or changed on the way.",
                    code="digest_mismatch",
                )
            reached("files.written")
            await self._on_disk(self._keep, temporary, self._place(digest))
        except FileNotFoundError as error:
            raise self._explained(error) from error
        finally:
            # Still there only where the blob was not kept.
            await asyncio.shield(self._on_disk(temporary.unlink, True))
        return digest, size

    async def get(self, digest: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to before `end` (None: to the last) in chunks; NotFound where there is no blob.

        The stream of a whole blob raises Unavailable at its end where the bytes are no longer those that were put.
        """
        _require_digest(digest)
        try:
            file = await self._on_disk(self._place(digest).open, "rb")
        except FileNotFoundError:
            raise NotFound(f"There is no blob {digest}.", hint=f"Upload it with PUT /api/blobs/{digest}.") from None
        hashed = hashlib.sha256()
        at = start
        try:
            if start:
                await self._on_disk(file.seek, start)
            while chunk := await self._on_disk(file.read, CHUNK_BYTES if end is None else min(CHUNK_BYTES, end - at)):
                hashed.update(chunk)
                at += len(chunk)
                yield chunk
        finally:
            file.close()
        if start == 0 and end is None and hashed.hexdigest() != digest:
            raise Unavailable(
                f"The blob {digest} is damaged on the disk.",
                hint="Check the disk, remove the file and upload the blob again.",
                code="blob_damaged",
            )

    async def size(self, digest: str) -> int | None:
        """How many bytes there are under a digest, None where there are none."""
        _require_digest(digest)
        try:
            return (await self._on_disk(self._place(digest).stat)).st_size
        except FileNotFoundError:
            return None

    async def missing(self, digests: Collection[str]) -> list[str]:
        """Those of the digests under which there is nothing, sorted."""
        for digest in digests:
            _require_digest(digest)
        return await self._on_disk(lambda: sorted(digest for digest in digests if not self._place(digest).exists()))

    async def sweep(self) -> int:
        """Remove what uploads left behind that began a day ago and were never finished; how many they were."""
        return await self._on_disk(self._remove_unfinished)

    def _remove_unfinished(self) -> int:
        before = time.time() - UNFINISHED_SECONDS
        stale = [upload for upload in self._unfinished.iterdir() if upload.stat().st_mtime < before]
        for upload in stale:
            upload.unlink(missing_ok=True)
        return len(stale)

    async def _write(self, file: IO[bytes], chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        hashed = hashlib.sha256()
        size = 0
        waiting: list[bytes] = []
        waiting_bytes = 0
        async for chunk in chunks:
            waiting.append(chunk)
            waiting_bytes += len(chunk)
            if waiting_bytes >= CHUNK_BYTES:
                size += await self._on_disk(_append, file, hashed, waiting)
                waiting, waiting_bytes = [], 0
        size += await self._on_disk(_append, file, hashed, waiting, True)
        return hashed.hexdigest(), size

    async def _on_disk(self, act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await asyncio.to_thread(act, *args, **kwargs)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._explained(error) from error

    def _place(self, digest: str) -> Path:
        return self._directory / digest[:2] / digest[2:4] / digest

    def _keep(self, temporary: Path, place: Path) -> None:
        # Whoever puts the same bytes at the same time replaces them by the same bytes.
        folder = place.parent
        if folder not in self._synced:
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self._directory)
            sync_folder(folder.parent)
            self._synced.add(folder)
        temporary.replace(place)
        reached("files.renamed")
        sync_folder(folder)
        reached("files.kept")

    def _explained(self, error: OSError) -> AnchorError:
        return explained(error, self._directory)


def explained(error: OSError, directory: Path) -> AnchorError:
    """What went wrong with blobs on the disk, as OutOfSpace or Unavailable."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfSpace(
            f"There is no space left for blobs in {directory}.",
            hint="Nothing was kept. Free some disk space and try again.",
        )
    return Unavailable(
        f"The blob directory {directory} cannot be used: {error.strerror or error}.",
        hint="Check that this user may write to it and that the disk is healthy.",
        code="blobs_unusable",
    )


def _append(file: IO[bytes], hashed: "hashlib._Hash", chunks: list[bytes], last: bool = False) -> int:
    for chunk in chunks:
        hashed.update(chunk)
        file.write(chunk)
    if last:
        file.flush()
        os.fsync(file.fileno())
    return sum(map(len, chunks))


def sync_folder(folder: Path) -> None:
    """Have what was made, renamed or removed in a folder survive a power cut."""
    if sys.platform != "win32":  # Windows cannot open folders; its rename is journalled by NTFS
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _require_digest(digest: str) -> None:
    if not _DIGEST.fullmatch(digest):
        raise InvalidRequest(
            f"{digest[:80]!r} is not a SHA-256 digest.", hint="A digest is 64 lower-case hexadecimal digits."
        )
