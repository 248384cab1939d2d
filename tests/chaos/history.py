"""What every client asked and was told, and what was done to the cluster meanwhile: JSON lines, only ever appended."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

ENDS = frozenset({"succeeded", "failed", "cancelled"})


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task as some answer showed it; what must never change once `state` is an end. `result` is JSON text."""

    state: str
    attempt: int
    node: str | None = None
    finished: str | None = None
    result: str = "null"
    reason: str = ""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line. `at` is seconds since the beginning, `key` the idempotency key a submit carried.

    `what` is one of: submit, accepted, read, gone, cancel, cancel taken, cancel late, unanswered, refused,
    strike, relief.
    """

    at: float
    who: str
    what: str
    key: str = ""
    task: str = ""
    names: list[str] = []
    ids: list[str] = []
    seen: Seen | None = None
    note: str = ""


class History:
    """Appends events to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab")
        self._began = time.monotonic()
        self._encode = msgspec.json.Encoder().encode

    def note(self, who: str, what: str, **more: Any) -> None:
        """Write down that something happened now."""
        event = Event(round(time.monotonic() - self._began, 4), who, what, **more)
        self._file.write(self._encode(event) + b"\n")

    def close(self) -> None:
        """No more events."""
        self._file.close()


def events_in(path: Path) -> Iterator[Event]:
    """The events of a file, in the order they were written."""
    decode = msgspec.json.Decoder(Event).decode
    with path.open("rb") as file:
        for line in file:
            yield decode(line)


def seen_in(view: Mapping[str, Any]) -> Seen:
    """What an answer of the API (a task, or its result) says of a task."""
    reason = view["reason"]
    return Seen(
        state=view["state"],
        attempt=view["attempt"],
        node=view["nodeId"],
        finished=view["finishedAt"],
        result=msgspec.json.encode(view["result"]).decode(),
        reason=reason["code"] if reason else "",
    )
