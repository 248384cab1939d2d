"""What tasks printed, in the order it was printed."""

from collections.abc import Sequence
from typing import Final

from pymongo.errors import BulkWriteError

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.part import Part
from anchor.adapters.mongo.trouble import DUPLICATE, codes_of, in_our_words
from anchor.adapters.mongo.writes import persist
from anchor.failpoints import reached
from anchor.ports.store import LogChunk

# The bytes of an `_id` sort as (task, attempt, seq) do.
_TASK: Final = 8
_ATTEMPT: Final = 4
_SEQ: Final = 8


class Logs(Part):
    """The log part of the store."""

    async def append(self, chunks: Sequence[LogChunk]) -> None:
        """Keep chunks; one that is there already is left as it is."""
        if not chunks:
            return
        documents = [_document(chunk) for chunk in chunks]
        with self.writing():
            await persist(lambda: self._append(documents))

    async def read(self, task: int, *, attempt: int, seq: int, limit: int) -> list[LogChunk]:
        """Chunks after (attempt, seq), in order."""
        with in_our_words():
            query = {"_id": {"$gt": _id(task, attempt, seq), "$lt": before_task(task + 1)}}
            cursor = self.database["logs"].find(query).sort("_id", 1).limit(limit)
            return [chunk_from(doc) async for doc in cursor]

    async def trim_log(self, task: int, attempt: int, below: int | None) -> None:
        """Forget the chunks of one attempt whose `seq` is below `below` (None: all of them)."""
        end = _id(task, attempt + 1, 0) if below is None else _id(task, attempt, below)
        chunks = {"_id": {"$gte": _id(task, attempt, 0), "$lt": end}}
        with self.writing():
            await persist(lambda: self.database["logs"].delete_many(chunks))
            reached("mongo.log_trimmed")

    async def _append(self, documents: list[Document]) -> None:
        try:
            await self.database["logs"].insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if error.details.get("writeConcernErrors") or codes_of(error) != {DUPLICATE}:
                raise


def before_task(task: int) -> bytes:
    """Sorts before every chunk of this task and after every chunk of the ones before."""
    return _id(task, 0, 0)


def _id(task: int, attempt: int, seq: int) -> bytes:
    return task.to_bytes(_TASK, "big") + attempt.to_bytes(_ATTEMPT, "big") + seq.to_bytes(_SEQ, "big")


def _document(chunk: LogChunk) -> Document:
    key = _id(chunk.task, chunk.attempt, chunk.seq)
    return {"_id": key, "at": chunk.at, "stream": chunk.stream, "text": chunk.text}


def chunk_from(doc: Document) -> LogChunk:
    """The piece of output in a document."""
    key: bytes = doc["_id"]
    task, attempt, seq = key[:_TASK], key[_TASK : _TASK + _ATTEMPT], key[_TASK + _ATTEMPT :]
    return LogChunk(
        int.from_bytes(task, "big"),
        int.from_bytes(attempt, "big"),
        int.from_bytes(seq, "big"),
        int(doc["at"]),
        doc["stream"],
        doc["text"],
    )
