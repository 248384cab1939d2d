"""Restoring: what a backup holds goes into an empty store, which then is declared a restored one."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from anchor.core.access import Key
from anchor.core.app import App
from anchor.core.attempt import Ending, Outcome, Reason
from anchor.core.audit import Entry
from anchor.core.case import Case
from anchor.core.dag import Run
from anchor.core.errors import FailureCode, Unavailable
from anchor.core.node import Node
from anchor.core.spec import Payload
from anchor.core.task import TERMINAL, State, Task, settle
from anchor.core.usage import Sums, Use, ended_uses
from anchor.failpoints import reached
from anchor.orchestrator.audit import append
from anchor.ports.backup import Restorable
from anchor.ports.blobs import Blobs
from anchor.ports.clock import Clock
from anchor.ports.store import Claim, LogChunk, Swap
from anchor.wire.archive import BlobDocument, TaskDocument

BATCH = 500
FAR = (1 << 62) - 1
"""A time by which every task is due."""
GENERATIONS_OF_AN_EPOCH = 1_000_000
"""So many generations an app may have within one epoch of its store."""
_EPOCHS_APART = 2_000
"""More epochs would leave no room for generations where they travel."""
Told = Callable[[str, int], None]
T = TypeVar("T")


class Backup(Protocol):
    """A backup that was found whole."""

    def lines(self, kind: str, batch: int) -> Iterator[list[bytes]]:
        """The documents of a kind as JSON, some at a time; none where the backup is too old to have the kind."""

    def blobs(self) -> Iterator[BlobDocument]:
        """The blobs in it."""

    def blob(self, digest: str) -> Iterator[bytes]:
        """The bytes of one of them."""


async def load(backup: Backup, store: Restorable, blobs: Blobs, *, told: Told) -> None:
    """Write everything in a backup into an empty store: blobs before the documents that name them."""
    for count, blob in enumerate(backup.blobs(), start=1):
        await blobs.put(_chunks(backup.blob(blob.digest)), expected=blob.digest)
        told("blobs", count)
    for runs in _documents(backup, "runs", Run):
        for run in runs:
            await store.insert_run(run)
    for cases in _documents(backup, "cases", Case):
        for case in cases:
            await store.insert_case(case)
    count = 0
    used = Sums()
    for tasks in _documents(backup, "tasks", TaskDocument):
        count += len(tasks)
        await store.insert([_task_of(document) for document in tasks])
        used.add_uses(ended_uses(document.task for document in tasks if document.task.state in TERMINAL))
        told("tasks", count)
    for apps in _documents(backup, "apps", App):
        for app in apps:
            await store.insert_app(app)
    for chunks in _documents(backup, "logs", LogChunk):
        await store.append(chunks)
    for claims in _documents(backup, "claims", Claim):
        for claim in claims:
            await store.claim(claim)
    for nodes in _documents(backup, "nodes", Node):
        for node in nodes:
            await store.insert_node(node)
    for keys in _documents(backup, "keys", Key):
        for key in keys:
            await store.add_key(key)
    counted = False
    for uses in _documents(backup, "usage", Use):
        counted = True
        await store.add_usage(uses)
    if not counted:  # by an Anchor that did not count yet
        await store.add_usage(used.uses())
    await store.count_restored()
    for entries in _documents(backup, "audit", Entry):
        for entry in entries:
            await store.audit_append(entry)
    reached("restore.loaded")


async def declare_restored(store: Restorable, clock: Clock, *, epoch: int, message: str) -> None:
    """Make what is in a store the truth from now on, under a new epoch.

    Every lease ends uncharged: whoever holds one has it from a store that is no more. Unused join tokens are void,
    since one of them may have been used after the backup was taken. Apps are placed anew, by generations that no node
    can have heard of: what runs of them belongs to a store that is no more. May be repeated after a crash.
    """
    reason = Reason(FailureCode.RELEASED, "The store was restored from a backup.", "The task is tried again.")
    for state in (State.LEASED, State.CANCELLING):
        while due := await store.due(state, FAR, BATCH):
            if not any(await store.swap([_ended(task, reason, clock.now()) for task in due])):
                raise _disturbed()
    reached("restore.released")
    for app_id in await store.app_versions():
        app = await store.app(app_id)
        if app is None or not await store.swap_app(app, _placed_anew(app, epoch)):
            raise _disturbed()
        reached("restore.app_placed_anew")
    for key in await store.keys():
        if key.uses_left:
            await store.swap_key(key, replace(key, ver=key.ver + 1, uses_left=0))
    reached("restore.tokens_voided")
    await append(store, clock, kind="restored", subject=f"epoch {epoch}", message=message, by="anchor restore")
    await store.set_epoch(epoch)
    reached("restore.declared")


def _ended(task: Task, reason: Reason, now: int) -> Swap:
    ending = Ending(task=task.id, attempt=task.attempt, outcome=Outcome.RELEASED, reason=reason)
    return Swap(task, settle(task, ending, now=now, chance=0.5))


def _placed_anew(app: App, epoch: int) -> App:
    """An app that runs nowhere yet. Its generations begin where those of no other epoch can have come to."""
    generations = max(app.generations, min(epoch, _EPOCHS_APART) * GENERATIONS_OF_AN_EPOCH)
    return replace(app, ver=app.ver + 1, replicas=(), generations=generations, wake_at=0)


def _disturbed() -> Unavailable:
    return Unavailable("Somebody else writes to this store.", hint="Stop every server that uses it.")


def _documents(backup: Backup, kind: str, of: type[T]) -> Iterator[list[T]]:
    decode = msgspec.json.Decoder(of).decode
    for lines in backup.lines(kind, BATCH):
        yield [decode(line) for line in lines]


def _task_of(document: TaskDocument) -> Task:
    if bytes(document.payload) == b"null":
        return document.task
    payload = msgspec.json.decode(document.payload, type=Payload)
    return replace(document.task, spec=replace(document.task.spec, payload=payload))


async def _chunks(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
