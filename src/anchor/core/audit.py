"""The audit chain: numbered entries, each carrying the hash of itself and of everything before it."""

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from msgspec.structs import replace


class Entry(msgspec.Struct, frozen=True):
    """Something that happened: `kind` for programs, `subject` is the id it is about, `by` who did it, `at` Unix ms.

    `number` counts from 1 without gaps; `seal` is the hex SHA-256 over the seal before and everything else in here.
    """

    number: int
    at: int
    kind: str
    subject: str
    message: str
    by: str
    seal: str = ""


def sealed(before: Entry | None, *, at: int, kind: str, subject: str, message: str, by: str) -> Entry:
    """The entry that follows `before`."""
    number = 1 if before is None else before.number + 1
    entry = Entry(number=number, at=at, kind=kind, subject=subject, message=message, by=by)
    return replace(entry, seal=_seal("" if before is None else before.seal, entry))


def first_break(entries: Iterable[Entry]) -> int | None:
    """The number of the first entry (of a run in rising order) that does not follow from the one before it."""
    before: Entry | None = None
    for entry in entries:
        if before is not None and (
            entry.number != before.number + 1 or entry.seal != _seal(before.seal, replace(entry, seal=""))
        ):
            return entry.number
        if before is None and entry.number == 1 and entry.seal != _seal("", replace(entry, seal="")):
            return 1
        before = entry
    return None


def _seal(before: str, entry: Entry) -> str:
    return sha256(before.encode() + msgspec.json.encode(entry)).hexdigest()
