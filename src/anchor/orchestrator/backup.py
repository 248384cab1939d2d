"""Taking a backup: everything a store holds, in an order in which whatever is written meanwhile does no harm.

The embedded store shows one moment, and any order would do. MongoDB has no such thing on a single machine, and no
transaction spans our documents, so the order is chosen for the dependencies between them:

* *Runs before tasks.* A run goes on from whatever its tasks say, so they may be newer than it is, but not older: a run
  read as over would never look again at a task read as queued. The same holds for a task and its items or copies, which
  have higher ids. Tasks that do not run yet, or still run, for a run or task that was made later are left out: whoever
  asked for it gets no answer from this store, and asks again.
* *Tasks before cases.* A case of a round that was read as undecided is left out: the round is decided again, and the
  case made again, from the copies that were read.
* *Tasks and apps before claims.* A submit writes its claim first, then its tasks (or its app), then marks the claim as
  carried out. A task without its claim would be made a second time by the client's repeat; read after the tasks, the
  claim of every task read is there. The other way round it can go wrong: a claim may say that it was carried out while
  some of its tasks were written behind the reader's back. Where a task of such a claim is missing, and the claim was
  not finished before the reading of tasks began, it is written as unfinished: the client's repeat then mends it, with
  the same ids.
* *Tasks and apps before output.* Output of an attempt newer than the task that was read is left out, or the attempt
  that gets this number after a restore would be shown with the output of another one; so is that of generations newer
  than the app that was read.
* *Tasks before usage.* The backup has what those tasks used that were read as over: one that was read as still
  going on ends once more after a restore, and counts then.
* *Documents before blobs.* A blob is there before a document names it.
* *The audit trail last.* It is written before what it tells of, so nothing in the backup is unaccounted for.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterable

import msgspec

from anchor.core.app import App
from anchor.core.case import Case
from anchor.core.dag import Run
from anchor.core.errors import AnchorError
from anchor.core.ids import keys_from
from anchor.core.items import Items
from anchor.core.pieces import piece_of
from anchor.core.task import TERMINAL, Task
from anchor.core.verification import Round
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


_MENTIONED = re.compile(rb"sha256:([0-9a-f]{64})")


class _Value(msgspec.Struct, frozen=True):
    blob: str | None = None


class _Named(msgspec.Struct, frozen=True):
    module: str | None = None
    files: dict[str, str] = {}
    inputs: dict[str, _Value] = {}


class _StepNamed(msgspec.Struct, frozen=True):
    payload: _Named | None = None


class _GraphNamed(msgspec.Struct, frozen=True):
    steps: list[_StepNamed] = []


class _PlanNamed(msgspec.Struct, frozen=True):
    graph: _GraphNamed = _GraphNamed()


_names_of = msgspec.json.Decoder(_Named).decode
_plan_of = msgspec.json.Decoder(_PlanNamed).decode


async def take(snapshot: Snapshot, blobs: Blobs, archive: Archive, *, now: int, version: str, told: Told) -> Manifest:
    """Write everything into the archive; what its manifest has to say. A damaged or missing blob is no error: the
    manifest lists it, since the rest is worth the more then."""
    writer = _Writer(archive, told)
    epoch = await snapshot.epoch()
    unfinished = {(claim.owner, claim.key) for claim in await snapshot.unfulfilled()}
    seen = _Seen()
    await writer.all("runs", seen.noting_runs(snapshot.runs()))
    await writer.all("tasks", seen.noting(snapshot.tasks()))
    await writer.all("cases", seen.only_decided(snapshot.cases()))
    await writer.all("apps", seen.noting_apps(snapshot.apps()))
    await writer.all("logs", seen.only_known(snapshot.logs()))
    await writer.all("claims", seen.only_whole(snapshot.claims(), unfinished, young_from=now - YOUNG_MS))
    await writer.all("nodes", _one(await snapshot.nodes()))
    await writer.all("keys", _one(await snapshot.keys()))
    await writer.all("usage", snapshot.usage())
    await writer.all("audit", snapshot.audit())
    there, missing = await _copy_blobs(seen, blobs, archive, told)
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
    """What is in the backup: its tasks, each with its attempt (12 bytes a task), its runs, its apps with the newest
    generation of each, and the blobs they name.

    `mentioned` are texts in inputs, results and plans that may be the names of blobs: copied where there is one.
    """

    def __init__(self) -> None:
        self._ids = array("q")
        self._attempts = array("i")
        self._runs: set[int] = set()
        self._undecided: set[int] = set()
        self._generations: dict[int, int] = {}
        self.blobs: set[str] = set()
        self.payload_blobs: set[str] = set()
        self.plan_blobs: set[str] = set()
        self.mentioned: set[str] = set()

    async def noting_runs(self, batches: AsyncIterator[list[Run]]) -> AsyncIterator[list[Run]]:
        async for batch in batches:
            for run in batch:
                self._runs.add(run.id)
                if run.plan_blob:
                    self.plan_blobs.add(run.plan_blob)
                if run.plan:
                    self.note_plan(run.plan)
            yield batch

    async def noting(self, batches: AsyncIterator[list[tuple[Task, bytes]]]) -> AsyncIterator[list[TaskDocument]]:
        async for batch in batches:
            kept: list[TaskDocument] = []
            for task, payload in batch:
                if task.state in TERMINAL or self._has_its_whole(task):
                    self._ids.append(task.id)
                    self._attempts.append(task.attempt)
                    self._note_blobs(task, payload)
                    if isinstance(task.parts, Items) and task.parts.blob:
                        self.blobs.add(task.parts.blob)
                    if isinstance(task.parts, Round) and task.parts.verdict is None:
                        self._undecided.add(task.id)
                    kept.append(TaskDocument(task, msgspec.Raw(payload or b"null")))
            yield kept

    async def only_decided(self, batches: AsyncIterator[list[Case]]) -> AsyncIterator[list[Case]]:
        async for batch in batches:
            kept = [case for case in batch if case.id not in self._undecided]
            self.blobs.update(case.evidence for case in kept if case.evidence)
            yield kept

    async def noting_apps(self, batches: AsyncIterator[list[App]]) -> AsyncIterator[list[App]]:
        async for batch in batches:
            for app in batch:
                self._generations[app.id] = app.generations
                named = [digest for release in app.releases for digest in (release.source, release.lock)]
                self.blobs.update(filter(None, named))
            yield batch

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
        if at < len(self._ids) and self._ids[at] == task:
            return self._attempts[at]
        return self._generations.get(task, -1)

    def note_payload(self, payload: bytes) -> None:
        """The blobs that a payload names: its module, its files and its inputs."""
        if b"sha256:" in payload:
            self._note_named(_names_of(payload))
            self._note_mentioned(payload)

    def note_plan(self, plan: bytes) -> None:
        """The blobs that the steps of a plan name."""
        if b"sha256:" in plan:
            for step in _plan_of(plan).graph.steps:
                if step.payload is not None:
                    self._note_named(step.payload)
            self._note_mentioned(plan)

    def _has_its_whole(self, task: Task) -> bool:
        if task.origin is None:
            return True
        run, head = task.origin.run, task.origin.head
        return (not run or run in self._runs) and (not head or self._attempt_of(head) >= 0)

    def _note_named(self, names: _Named) -> None:
        named = [names.module, *names.files.values(), *(value.blob for value in names.inputs.values())]
        self.blobs |= {piece.digest for name in named if name is not None and (piece := piece_of(name)) is not None}

    def _note_mentioned(self, json: bytes) -> None:
        self.mentioned |= {digest.decode() for digest in _MENTIONED.findall(json)}

    def _note_blobs(self, task: Task, payload: bytes) -> None:
        if task.payload_blob:
            self.payload_blobs.add(task.payload_blob)
        if task.result is not None and task.result.blob:
            self.blobs.add(task.result.blob)
        if task.result is not None:
            self.blobs.update(file.sha256 for file in task.result.files)
            self._note_mentioned(task.result.json)
        self.note_payload(payload)


async def _one(batch: "Iterable[object]") -> AsyncIterator[Iterable[object]]:
    yield batch


async def _copy_blobs(seen: _Seen, blobs: Blobs, archive: Archive, told: Told) -> tuple[list[BlobDocument], list[str]]:
    """Blobs that are payloads and plans first: they may name others."""
    there: list[BlobDocument] = []
    missing: list[str] = []
    done: set[str] = set()
    for note, digests in ((seen.note_payload, seen.payload_blobs), (seen.note_plan, seen.plan_blobs)):
        for digest in sorted(digests - done):
            content = bytearray()
            if await _copy(digest, blobs, archive, there, content):
                note(bytes(content))
            else:
                missing.append(digest)
            done.add(digest)
            told("blobs", len(there))
    for digest in sorted((seen.blobs | seen.mentioned) - done):
        if not await _copy(digest, blobs, archive, there) and digest in seen.blobs:
            missing.append(digest)
        told("blobs", len(there))
    return there, missing


async def _copy(
    digest: str, blobs: Blobs, archive: Archive, there: list[BlobDocument], content: bytearray | None = None
) -> bool:
    """Whether the blob was there, and whole."""
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
        return False
    size, _ = archive.end()
    there.append(BlobDocument(digest, size))
    return True
