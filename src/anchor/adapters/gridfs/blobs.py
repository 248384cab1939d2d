"""Bytes named by their SHA-256, kept in MongoDB as GridFS files that other tools can read."""

import asyncio
import hashlib
import re
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from bson import Int64, ObjectId
from gridfs.asynchronous.grid_file import AsyncGridFSBucket
from gridfs.errors import CorruptGridFile, NoFile
from pymongo import ASCENDING
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from anchor.core.errors import AnchorError, InvalidRequest, NotFound, OutOfSpace, Unavailable
from anchor.failpoints import reached

CHUNK_BYTES = 255 * 1024
"""What GridFS stores in one document: with its other fields it stays below a power of two."""
CHUNKS_AT_ONCE = 8
SPOOL_BYTES = 1024 * 1024
"""What an upload keeps in memory; the rest waits in a temporary file until its digest is known."""
UNFINISHED_HOURS = 24
SWEEP_PAGE = 500
NAMES_PAGE = 5_000
RETRY_AFTER_SECONDS = 5
_OUT_OF_DISK_SPACE = 14031
_DIGEST = re.compile(r"[0-9a-f]{64}")


class GridFsBlobs:
    """Content-addressed GridFS files in one database, put and read by any number of servers.

    The document that names a file is written after its last chunk, so whatever can be found is whole; an upload that
    breaks off leaves chunks without a name, which `sweep` removes. Unavailable or OutOfSpace where MongoDB fails.
    """

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._bucket = AsyncGridFSBucket(database)
        self._files = database["fs.files"]
        self._chunks = database["fs.chunks"]
        self._is_indexed = False

    async def put(self, chunks: AsyncIterator[bytes], *, expected: str | None = None) -> tuple[str, int]:
        """Keep bytes and say their digest and size; InvalidRequest where the digest is not the expected one."""
        if expected is not None:
            _require_digest(expected)
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            digest, size = await _spooled(spool, chunks)
            if expected is not None and digest != expected:
                raise InvalidRequest(
                    f"The bytes sent have the SHA-256 {digest}, not {expected}.",
                    hint="Send the bytes again; they may have been cut or changed on the way.",
                    code="digest_mismatch",
                )
            with _explained():
                if await self._files.find_one({"filename": digest}, {"_id": 1}) is None:
                    await self._upload(spool, digest, size)
        return digest, size

    async def get(self, digest: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to before `end` (None: to the last) in chunks; NotFound where there is no blob.

        The stream of a whole blob raises Unavailable at its end where the bytes are no longer those that were put.
        """
        _require_digest(digest)
        hashed = hashlib.sha256()
        with _explained():
            try:
                file = await self._bucket.open_download_stream_by_name(digest)
            except NoFile:
                raise NotFound(f"There is no blob {digest}.", hint=f"Upload it with PUT /api/blobs/{digest}.") from None
            end = file.length if end is None else min(end, file.length)
            at = start
            try:
                if start:
                    await file.seek(start)
                while at < end and (chunk := (await file.readchunk())[: end - at]):
                    hashed.update(chunk)
                    at += len(chunk)
                    yield chunk
            except CorruptGridFile:
                raise _damaged(digest) from None
        if (start, end) == (0, file.length) and hashed.hexdigest() != digest:
            raise _damaged(digest)

    async def size(self, digest: str) -> int | None:
        """How many bytes there are under a digest, None where there are none."""
        _require_digest(digest)
        with _explained():
            file = await self._files.find_one({"filename": digest}, {"length": 1})
        return None if file is None else int(file["length"])

    async def missing(self, digests: Collection[str]) -> list[str]:
        """Those of the digests under which there is nothing, sorted."""
        wanted = sorted(digests)
        for digest in wanted:
            _require_digest(digest)
        there: set[str] = set()
        with _explained():
            for at in range(0, len(wanted), NAMES_PAGE):
                named = self._files.find({"filename": {"$in": wanted[at : at + NAMES_PAGE]}}, {"filename": 1})
                there |= {file["filename"] async for file in named}
        return [digest for digest in wanted if digest not in there]

    async def sweep(self, *, now: datetime | None = None) -> int:
        """Remove what uploads left that began more than a day before `now` and were never finished; their number."""
        before = ObjectId.from_datetime((now or datetime.now(UTC)) - timedelta(hours=UNFINISHED_HOURS))
        removed = 0
        after = ObjectId("0" * 24)
        with _explained():
            while True:
                first_chunks = self._chunks.find({"files_id": {"$gt": after, "$lt": before}, "n": 0}, {"files_id": 1})
                begun = [chunk["files_id"] async for chunk in first_chunks.sort("files_id").limit(SWEEP_PAGE)]
                if not begun:
                    return removed
                named = {file["_id"] async for file in self._files.find({"_id": {"$in": begun}}, {"_id": 1})}
                lost = [key for key in begun if key not in named]
                if lost:
                    # A sweep that breaks off finds them again by their first chunks.
                    await self._chunks.delete_many({"files_id": {"$in": lost}, "n": {"$gt": 0}})
                    reached("gridfs.sweep")
                    await self._chunks.delete_many({"files_id": {"$in": lost}})
                removed += len(lost)
                after = begun[-1]

    async def _upload(self, spool: IO[bytes], digest: str, size: int) -> None:
        await self._ensure_indexes()
        # Two servers that put the same bytes at once keep two files: either is whole.
        key = ObjectId()
        for first in range(0, -(-size // CHUNK_BYTES), CHUNKS_AT_ONCE):
            data = await asyncio.to_thread(_read_at, spool, first * CHUNK_BYTES, CHUNKS_AT_ONCE * CHUNK_BYTES)
            pieces = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
            await self._chunks.insert_many(
                [{"files_id": key, "n": first + at, "data": piece} for at, piece in enumerate(pieces)]
            )
            reached("gridfs.chunk")
        reached("gridfs.name")
        uploaded = datetime.now(UTC)
        await self._files.insert_one(
            {"_id": key, "filename": digest, "length": Int64(size), "chunkSize": CHUNK_BYTES, "uploadDate": uploaded}
        )

    async def _ensure_indexes(self) -> None:
        if not self._is_indexed:
            await self._chunks.create_index([("files_id", ASCENDING), ("n", ASCENDING)], unique=True)
            await self._files.create_index([("filename", ASCENDING), ("uploadDate", ASCENDING)])
            self._is_indexed = True


async def _spooled(spool: IO[bytes], chunks: AsyncIterator[bytes]) -> tuple[str, int]:
    hashed = hashlib.sha256()
    size = 0
    waiting: list[bytes] = []
    waiting_bytes = 0
    async for chunk in chunks:
        waiting.append(chunk)
        waiting_bytes += len(chunk)
        if waiting_bytes >= CHUNK_BYTES:
            size += await asyncio.to_thread(_append, spool, hashed, waiting)
            waiting, waiting_bytes = [], 0
    size += await asyncio.to_thread(_append, spool, hashed, waiting)
    return hashed.hexdigest(), size


def _append(spool: IO[bytes], hashed: "hashlib._Hash", chunks: list[bytes]) -> int:
    try:
        for chunk in chunks:
            hashed.update(chunk)
            spool.write(chunk)
    except OSError as error:
        raise OutOfSpace(
            f"The bytes cannot be collected in {tempfile.gettempdir()}: {error.strerror or error}.",
            hint="Nothing was kept. Free some disk space for temporary files and try again.",
        ) from error
    return sum(map(len, chunks))


def _read_at(spool: IO[bytes], at: int, size: int) -> bytes:
    spool.seek(at)
    return spool.read(size)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise _explanation(error) from error


def _explanation(error: PyMongoError) -> AnchorError:
    details = error.details or {} if isinstance(error, OperationFailure) else {}
    if _OUT_OF_DISK_SPACE in {details.get("code"), *[entry.get("code") for entry in details.get("writeErrors", [])]}:
        return OutOfSpace(
            "MongoDB has no space left for blobs.", hint="Nothing was kept. Free some disk space there and try again."
        )
    return Unavailable(
        f"MongoDB cannot keep or give blobs now: {str(error).splitlines()[0][:200] or type(error).__name__}.",
        hint="Check that MongoDB runs and can be reached, then try again.",
        code="blobs_unusable",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def _damaged(digest: str) -> Unavailable:
    return Unavailable(
        f"The blob {digest} is damaged in MongoDB.",
        hint="Remove the file of that name from fs.files and upload the blob again.",
        code="blob_damaged",
    )


def _require_digest(digest: str) -> None:
    if not _DIGEST.fullmatch(digest):
        raise InvalidRequest(
            f"{digest[:80]!r} is not a SHA-256 digest.", hint="A digest is 64 lower-case hexadecimal digits."
        )
