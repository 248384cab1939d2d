"""Output as server-sent events: the parser, and what to remember across a broken connection."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

from anchor.client import calls
from anchor.client.answers import TRANSIENT, Answer, failure_of, stranger
from anchor.client.exchange import Manners, backoff_seconds, unreachable
from anchor.wire import rest

T = TypeVar("T")

EVENT_STREAM = "text/event-stream"
QUIET_SECONDS_MAX = 60.0
"""A stream that says nothing at all for so long is taken to be dead."""


class StateChange(msgspec.Struct, frozen=True):
    """The task entered another state."""

    state: str


Happening = rest.LogLine | StateChange | rest.TaskResult
"""What following a task yields: output and states as they come, last of all its result."""


_KINDS: dict[str, Any] = {"output": rest.LogLine, "state": StateChange, "end": rest.TaskResult}


class ServerEvent(msgspec.Struct, frozen=True):
    """One event as it arrived."""

    kind: str
    data: str
    id: str


class EventParser:
    """Bytes in, events out, wherever the bytes are cut (the WHATWG event-stream format)."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, str] = {}

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events completed by these bytes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        events = []
        for line in lines:
            text = line.removesuffix(b"\r").decode(errors="replace")
            if text:
                self._keep(text)
            elif self._fields:
                if "data" in self._fields:
                    kind, data = self._fields.get("event", "message"), self._fields["data"]
                    events.append(ServerEvent(kind, data, self._fields.get("id", "")))
                self._fields = {}
        return events

    def _keep(self, text: str) -> None:
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in self._fields:
            self._fields["data"] += "\n" + value
        elif name:  # a line that begins with a colon is a comment: the server's sign of life
            self._fields[name] = value


class EventStream(ABC, Generic[T]):
    """One stream being followed over however many connections that takes. `kinds` says what each kind of event is; the
    one named `end` is the last."""

    def __init__(self, kinds: Mapping[str, Any], manners: Manners, *, after: str = "") -> None:
        self._kinds = kinds
        self._manners = manners
        self._last_id = after
        self._parser = EventParser()
        self._failures = 0
        self._spent = 0.0
        self.is_over = False

    @abstractmethod
    def request(self, last_id: str) -> calls.Call[None]:
        """The request for what follows the event of this id."""

    def call(self) -> calls.Call[None]:
        """The request that goes on where the last connection broke off."""
        self._parser = EventParser()
        return self.request(self._last_id)

    def is_open(self, status: int, content_type: str) -> bool:
        """Whether a response is the stream that was asked for."""
        return status == 200 and content_type.startswith(EVENT_STREAM)

    def refused(self, answer: Answer) -> str:
        """Why there is no stream this time; raises where there never will be one."""
        error = failure_of(answer, self._manners.url) or stranger(answer, self._manners.url)
        if answer.status not in TRANSIENT:
            raise error
        return error.message

    def feed(self, chunk: bytes) -> list[T]:
        """What these bytes tell."""
        happenings: list[T] = []
        for event in self._parser.feed(chunk):
            self._failures, self._spent = 0, 0.0
            self._last_id = event.id or self._last_id
            if event.kind in self._kinds:
                happenings.append(self._read(event))
                self.is_over |= event.kind == "end"
        return happenings

    def _read(self, event: ServerEvent) -> T:
        try:
            happening: T = msgspec.json.decode(event.data, type=self._kinds[event.kind])
        except msgspec.DecodeError as error:
            raise stranger(Answer(200, {"content-type": EVENT_STREAM}, b""), self._manners.url) from error
        return happening

    def broke(self, why: str, took_seconds: float = 0.0) -> float:
        """How long to wait before the next connection; Unavailable where patience is at its end."""
        self._failures += 1
        pause = backoff_seconds(self._failures, self._manners.chance())
        self._spent += took_seconds + pause
        if self._spent > self._manners.patience_seconds:
            raise unreachable(self._manners.url, why)
        return pause


class Following(EventStream[Happening]):
    """One task being followed to its end."""

    def __init__(self, task_id: str, manners: Manners, *, after: str = "") -> None:
        super().__init__(_KINDS, manners, after=after)
        self._task_id = task_id

    def request(self, last_id: str) -> calls.Call[None]:
        """The request for what the task does after the event of this id."""
        return calls.follow(self._task_id, last_id)
