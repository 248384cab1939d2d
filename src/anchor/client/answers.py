"""What came back from a server, read into values or into the errors the server meant."""

import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from anchor.core.errors import AnchorError, Unavailable
from anchor.wire.problems import CONTENT_TYPE, Problem, error_of

T = TypeVar("T")

TRANSIENT = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may be sent again."""


class Answer(msgspec.Struct, frozen=True):
    """One HTTP response; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(msgspec.Struct, frozen=True):
    """No response came. `sent` says whether the server may have seen the request all the same."""

    why: str
    sent: bool
    took_seconds: float


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list; `cursor` continues it (empty at its end) and `total` counts the whole, where known."""

    items: list[T]
    cursor: str
    total: int | None


def failure_of(answer: Answer, url: str) -> AnchorError | None:
    """The error an answer stands for, None where it is none."""
    if 200 <= answer.status < 300:
        return None
    if answer.headers.get("content-type", "").startswith(CONTENT_TYPE):
        try:
            problem = msgspec.json.decode(answer.body, type=Problem)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return stranger(answer, url)
        return error_of(problem, _seconds(answer.headers.get("retry-after")))
    return stranger(answer, url)


def stranger(answer: Answer, url: str) -> Unavailable:
    """The error for something that answers and does not speak Anchor's API."""
    kind = answer.headers.get("content-type", "no content type").partition(";")[0]
    hint = "Check the address: `anchor up` prints the one it listens on. Use it with --url or ANCHOR_URL."
    if answer.status in TRANSIENT:
        message = f"A proxy at {url} answers {answer.status}: it does not reach its Anchor server."
        return Unavailable(message, hint="Try again in a moment, or look at the server behind it.", code="unreachable")
    if 300 <= answer.status < 400 and "location" in answer.headers:
        hint = f"It points to {answer.headers['location']}; use that address if it is Anchor's."
    return Unavailable(
        f"{url} answers, but it is not an Anchor server (HTTP {answer.status}, {kind}).", hint=hint, code="not_anchor"
    )


def json_as(kind: type[T]) -> Callable[[Answer], T]:
    """A reader of JSON bodies of one type; it raises msgspec.DecodeError for anything else."""
    return lambda answer: msgspec.json.decode(answer.body, type=kind)


def page_of(kind: type[T]) -> Callable[[Answer], Page[T]]:
    """A reader of one page of a list and of the headers that continue it."""

    def read(answer: Answer) -> Page[T]:
        items: list[T] = msgspec.json.decode(answer.body, type=list[kind])  # type: ignore[valid-type]
        total = answer.headers.get("x-total-count", "")
        return Page(items, _next_cursor(answer.headers.get("link", "")), int(total) if total.isdecimal() else None)

    return read


def nothing(_: Answer) -> None:
    """The reader of an answer whose body says nothing."""


def raw(answer: Answer) -> bytes:
    """The reader of bytes as they are."""
    return answer.body


def anything(answer: Answer) -> Any:
    """The reader of JSON of whatever shape."""
    return msgspec.json.decode(answer.body)


def _next_cursor(link: str) -> str:
    for part in link.split(","):
        target, _, relation = part.partition(";")
        if 'rel="next"' in relation:
            query = urllib.parse.urlsplit(target.strip().strip("<>")).query
            return urllib.parse.parse_qs(query).get("cursor", [""])[0]
    return ""


def _seconds(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
