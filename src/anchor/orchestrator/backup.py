"""Taking a backup: everything a store holds, in an order in which whatever is written meanwhile does no harm.

The embedded store shows one moment, and any order would do. MongoDB has no such thing on a single machine, and no
transaction spans our documents, so the order is chosen for the dependencies between them:

* *Tasks before claims.* A submit writes its claim first, then its tasks, then marks the claim as carried out. A task
  without its claim would be made a second time by the client's repeat; read after the tasks, the claim of every task
  read is there. The other way round it can go wrong: a claim may say that it was carried out while some of its tasks
  were written behind the reader's back. Where a task of such a claim is missing, and the claim was not finished before
  the reading of tasks began, it is written as unfinished: the client's repeat then mends it, with the same ids.
* *Tasks before output.* Output of an attempt newer than the task that was read is left out, or the attempt that gets
  this number after a restore would be shown with the output of another one.
* *Documents before blobs.* A blob is there before a document names it.
* *The audit trail last.* It is written before what it tells of, so nothing in the backup is unaccounted for.
"""

from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterable

import msgspec

from anchor.core.errors import AnchorError
from anchor.core.ids import keys_from
from anchor.core.spec import blob_of
from anchor.core.task import Task
from anchor.ports.backup import Archive, Snapshot
from anchor.ports.blobs import Blobs
from anchor.ports.store import Claim, LogChunk
from anchor.wire.archive import (
    BLOBS,
    FORMAT,
    MISSING_SHOWN_MAX,
    BlobDocument,
    Manifest,
    Member,
    TaskDocument,
    sealed,
)

YOUNG_MS = 600_000
"""Claims younger than this when the backup began may have been carried out meanwhile; so much may clocks differ."""
Told = Callable[[str, int], None]
"""Hears of progress: the kind, and how many of it are written."""

_encode = msgspec.json.Encoder().encode


class _Named(msgspec.Struct):
    module: str | None = None
    files: dict[str, str] = {}


_names_of = msgspec.json.Decoder(_Named).decode


async def take(snapshot: Snapshot, blobs: Blobs, archive: Archive, *, now: int, version: str, told: Told) -> Manifest:
    """Write everything into the archive; what its manifest has to say. A damaged or missing blob is no error: the
    manifest lists it, since the rest is worth the more then."""
    writer = _Writer(archive, told)
    epoch = await snapshot.epoch()
    unfinished = {(claim.owner, claim.key) for claim in await snapshot.unfulfilled()}
    seen = _Seen()
    await writer.all("tasks", seen.noting(snapshot.tasks()))
    await writer.all("logs", seen.only_known(snapshot.logs()))
    await writer.all("claims", seen.only_whole(snapshot.claims(), unfinished, young_from=now - YOUNG_MS))
    await writer.all("nodes", _one(await snapshot.nodes()))
    await writer.all("keys", _one(await snapshot.keys()))
    await writer.all("audit", snapshot.audit())
    there, missing = await _copy_blobs(seen.blobs, seen.payload_blobs, blobs, archive, told)
    await writer.all("blobs", _one(there))
    return sealed(
        Manifest(
            format=FORMAT,
            anchor=version,
            engine=snapshot.engine,
            schema=snapshot.schema,
            epoch=epoch,
            at=now,
            members=tuple(writer.members),
            blobs=len(there),
            blob_bytes=sum(blob.size for blob in there),
            missing=tuple(missing[:MISSING_SHOWN_MAX]),
            missing_count=len(missing),
        )
    )


class _Writer:
    """Writes one member after the other."""

    def __init__(self, archive: Archive, told: Told) -> None:
        self._archive = archive
        self._told = told
        self.members: list[Member] = []

    async def all(self, kind: str, batches: "AsyncIterator[Iterable[object]]") -> None:
        self._archive.begin(f"{kind}.jsonl")
        count = 0
        async for batch in batches:
            lines = [_encode(document) + b"\n" for document in batch]
            self._archive.write(lines)
            count += len(lines)
            self._told(kind, count)
        size, digest = self._archive.end()
        self.members.append(Member(f"{kind}.jsonl", count, size, digest))


class _Seen:
    """The tasks that are in the backup, each with its attempt; 12 bytes a task."""

    def __init__(self) -> None:
        self._ids = array("q")
        self._attempts = array("i")
        self.blobs: set[str] = set()
        self.payload_blobs: set[str] = set()

    async def noting(self, batches: AsyncIterator[list[tuple[Task, bytes]]]) -> AsyncIterator[list[TaskDocument]]:
        async for batch in batches:
            for task, payload in batch:
                self._ids.append(task.id)
                self._attempts.append(task.attempt)
                self._note_blobs(task, payload)
            yield [TaskDocument(task, msgspec.Raw(payload or b"null")) for task, payload in batch]

    async def only_known(self, batches: AsyncIterator[list[LogChunk]]) -> AsyncIterator[list[LogChunk]]:
        async for batch in batches:
            yield [chunk for chunk in batch if chunk.attempt <= self._attempt_of(chunk.task)]

    async def only_whole(
        self, batches: AsyncIterator[list[Claim]], unfinished: set[tuple[str, str]], *, young_from: int
    ) -> AsyncIterator[list[Claim]]:
        async for batch in batches:
            yield [
                msgspec.structs.replace(claim, done=False)
                if claim.done
                and (claim.at >= young_from or (claim.owner, claim.key) in unfinished)
                and any(self._attempt_of(key) < 0 for key in keys_from(claim.first, claim.count))
                else claim
                for claim in batch
            ]

    def _attempt_of(self, task: int) -> int:
        at = bisect_left(self._ids, task)
        return self._attempts[at] if at < len(self._ids) and self._ids[at] == task else -1

    def _note_blobs(self, task: Task, payload: bytes) -> None:
        if task.payload_blob:
            self.payload_blobs.add(task.payload_blob)
        if task.result is not None and task.result.blob:
            self.blobs.add(task.result.blob)
        if task.result is not None:
            self.blobs.update(file.sha256 for file in task.result.files)
        self.blobs.update(_named_in(payload))


def _named_in(payload: bytes) -> set[str]:
    """The blobs that a payload names: its module and its files."""
    if b"sha256:" not in payload:
        return set()
    names = _names_of(payload)
    named = [*names.files.values(), *([names.module] if names.module is not None else [])]
    return {digest for digest in map(blob_of, named) if digest is not None}


async def _one(batch: "Iterable[object]") -> AsyncIterator[Iterable[object]]:
    yield batch


async def _copy_blobs(
    named: set[str], payloads: set[str], blobs: Blobs, archive: Archive, told: Told
) -> tuple[list[BlobDocument], list[str]]:
    """Blobs that are payloads first: they may name others."""
    there: list[BlobDocument] = []
    missing: list[str] = []
    named = set(named)
    for digest in sorted(payloads):
        content = bytearray()
        await _copy(digest, blobs, archive, there, missing, content)
        named |= _named_in(bytes(content)) if missing[-1:] != [digest] else set()
        told("blobs", len(there))
    for digest in sorted(named - payloads):
        await _copy(digest, blobs, archive, there, missing)
        told("blobs", len(there))
    return there, missing


async def _copy(
    digest: str,
    blobs: Blobs,
    archive: Archive,
    there: list[BlobDocument],
    missing: list[str],
    content: bytearray | None = None,
) -> None:
    archive.begin(BLOBS + digest)
    try:
        async for chunk in blobs.get(digest):
            archive.write([chunk])
            if content is not None:
                content += chunk
    except AnchorError as error:
        archive.drop()
        if error.code not in {"not_found", "blob_damaged"}:
            raise
        missing.append(digest)
    else:
        size, _ = archive.end()
        there.append(BlobDocument(digest, size))
