"""Reading a database for a backup while servers write to it: each kind in the order of its ids, document by document.

There is no moment that all of it shows; `orchestrator.backup` says in which order the kinds have to be read.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import msgspec

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.documents import READ, task_from
from anchor.adapters.mongo.logs import chunk_from
from anchor.adapters.mongo.runs import run_from
from anchor.adapters.mongo.schema import MIGRATIONS
from anchor.adapters.mongo.store import MongoStore
from anchor.adapters.mongo.trouble import in_our_words
from anchor.adapters.mongo.usage import SoFar
from anchor.core.access import Key
from anchor.core.app import App
from anchor.core.audit import Entry
from anchor.core.case import Case
from anchor.core.dag import Run
from anchor.core.node import Node
from anchor.core.task import Task
from anchor.core.usage import Use
from anchor.ports.store import Claim, LogChunk

T = TypeVar("T")
BATCH = 1000
_WITH_PAYLOAD = {field: 0 for field in READ if field not in {"payload", "ended"}}
_app_from = msgspec.json.Decoder(App).decode
_case_from = msgspec.json.Decoder(Case).decode
_entry_from = msgspec.json.Decoder(Entry).decode


class MongoSnapshot:
    """What a store that is open holds. See `ports.backup.Snapshot`."""

    engine = "mongodb"
    schema = len(MIGRATIONS)

    def __init__(self, store: MongoStore) -> None:
        self._store = store
        self._used: SoFar | None = None

    async def epoch(self) -> int:
        """The store's epoch."""
        return await self._store.epoch()

    async def tasks(self) -> AsyncIterator[list[tuple[Task, bytes]]]:
        """Tasks by rising id, each with its payload as JSON bytes."""
        used = self._used = await self._store.uses_so_far()

        def made_of(doc: Document) -> tuple[Task, bytes]:
            used.add([doc])
            return task_from(doc), doc.get("payload", b"")

        async for batch in self._all("tasks", made_of, _WITH_PAYLOAD):
            yield batch

    async def logs(self) -> AsyncIterator[list[LogChunk]]:
        """What tasks printed."""
        async for batch in self._all("logs", chunk_from):
            yield batch

    async def runs(self) -> AsyncIterator[list[Run]]:
        """Runs of graphs by rising id."""
        async for batch in self._all("runs", run_from):
            yield batch

    async def cases(self) -> AsyncIterator[list[Case]]:
        """Cases by rising id."""
        async for batch in self._all("cases", lambda doc: _case_from(doc["json"])):
            yield batch

    async def apps(self) -> AsyncIterator[list[App]]:
        """Apps by rising id."""
        async for batch in self._all("apps", lambda doc: _app_from(doc["json"])):
            yield batch

    async def unfulfilled(self) -> list[Claim]:
        """Claims not carried out yet."""
        return [claim async for batch in self._all("claims", _claim_from, only={"done": False}) for claim in batch]

    async def claims(self) -> AsyncIterator[list[Claim]]:
        """All claims."""
        async for batch in self._all("claims", _claim_from):
            yield batch

    async def nodes(self) -> list[Node]:
        """All nodes."""
        return await self._store.nodes()

    async def keys(self) -> list[Key]:
        """All keys."""
        return await self._store.keys()

    async def usage(self) -> AsyncIterator[list[Use]]:
        """What was used by the tasks that were read as over, and by those that were no more to be read: one that was
        read as still going on counts once it ends where the backup is restored."""
        uses = (self._used or await self._store.uses_so_far()).sums.uses()
        for first in range(0, len(uses), BATCH):
            yield uses[first : first + BATCH]

    async def audit(self) -> AsyncIterator[list[Entry]]:
        """The audit chain by rising number."""
        async for batch in self._all("audit", lambda doc: _entry_from(doc["json"])):
            yield batch

    async def _all(
        self,
        collection: str,
        made_of: Callable[[Document], T],
        fields: dict[str, Any] | None = None,
        only: Document | None = None,
    ) -> AsyncIterator[list[T]]:
        found: list[T] = []
        with in_our_words():
            # By `_id`, which never changes: a document that is changed meanwhile comes once all the same.
            cursor = self._store.database[collection].find(only or {}, fields).sort("_id", 1).batch_size(BATCH)
            async for doc in cursor:
                found.append(made_of(doc))
                if len(found) == BATCH:
                    yield found
                    found = []
        if found:
            yield found


def _claim_from(doc: Document) -> Claim:
    return Claim(
        owner=doc["_id"]["owner"],
        key=doc["_id"]["key"],
        digest=doc["digest"],
        first=int(doc["first"]),
        count=int(doc["count"]),
        done=doc["done"],
        at=int(doc["at"]),
    )
