"""What a client does, step by step, without doing it: when to send, how long to wait, when to give up.

Each function is a generator that yields Send and Wait and is told what came of a Send; the two clients only carry
the steps out. So patience and retries are written, and can be tested, once.
"""

import base64
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import msgspec

from anchor.client import calls
from anchor.client.answers import TRANSIENT, Answer, NoAnswer, failure_of, stranger
from anchor.client.calls import Call
from anchor.client.sources import Source, source_of
from anchor.core.errors import AnchorError, Unavailable
from anchor.core.task import TERMINAL
from anchor.wire import rest

T = TypeVar("T")

BACKOFF_SECONDS = 0.1
BACKOFF_CAP_SECONDS = 5.0
AT_ONCE_BYTES_MAX = 1024 * 1024
"""Up to this size an upload that breaks is simply sent again."""
GO_ON_CODES = frozenset({"wrong_offset", "upload_busy", "upload_stalled", "disconnected"})
WAIT_SECONDS_MAX = 25.0
"""The longest wait asked of a server in one request; longer ones are asked again."""


class Send(msgspec.Struct, frozen=True):
    """Send this request and say what came back."""

    call: Call[Any]


class Wait(msgspec.Struct, frozen=True):
    """Do nothing for a while."""

    seconds: float


Steps = Generator[Send | Wait, Answer | NoAnswer | None, T]


class Manners(msgspec.Struct, frozen=True):
    """Who is called, how long a client keeps trying in all, and where it draws the jitter of its waits."""

    url: str
    patience_seconds: float
    chance: Callable[[], float]


def backoff_seconds(failures: int, chance: float) -> float:
    """The wait after so many failures in a row: doubling, capped, times a jitter of 0.5 to 1.5."""
    doubled = BACKOFF_SECONDS * 2.0 ** min(failures - 1, 16)
    return float(min(doubled, BACKOFF_CAP_SECONDS) * (0.5 + chance))


def unreachable(url: str, why: str) -> Unavailable:
    """The error for a server that does not answer."""
    return Unavailable(
        f"No Anchor server answers at {url} ({why}).",
        hint="Start one with `anchor up`, or name another with --url or ANCHOR_URL.",
        code="unreachable",
    )


def exchange(call: Call[T], manners: Manners) -> Steps[T]:
    """Send a request until it is answered, as far as that is harmless and patience reaches."""
    spent = 0.0
    failures = 0
    while True:
        answer = yield Send(call)
        failures += 1
        pause = backoff_seconds(failures, manners.chance())
        if isinstance(answer, NoAnswer):
            spent += answer.took_seconds
            if (answer.sent and not call.repeatable) or spent + pause > manners.patience_seconds:
                raise unreachable(manners.url, answer.why)
        else:
            assert answer is not None
            error = None if answer.status in call.also else failure_of(answer, manners.url)
            if error is None:
                return _read(call, answer, manners.url)
            pause = max(pause, error.retry_after_seconds or 0)
            if answer.status not in TRANSIENT or not call.repeatable or spent + pause > manners.patience_seconds:
                raise error
        spent += pause
        yield Wait(pause)


def _read(call: Call[T], answer: Answer, url: str) -> T:
    try:
        return call.read(answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise stranger(answer, url) from error


def submit_all(batches: Iterator[Call[list[rest.Created]]], manners: Manners) -> Steps[list[rest.Created]]:
    """Send batch after batch; what was created, in the order submitted."""
    created: list[rest.Created] = []
    for call in batches:
        created += yield from exchange(call, manners)
    return created


def until_over(task_id: str, seconds: float | None, manners: Manners) -> Steps[rest.TaskResult]:
    """Ask for a task's result until it is over, or for `seconds` (None: for as long as it takes)."""
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        left = WAIT_SECONDS_MAX if until is None else max(0.0, min(until - time.monotonic(), WAIT_SECONDS_MAX))
        result = yield from exchange(calls.result(task_id, wait_seconds=left), manners)
        if result.state in TERMINAL or (until is not None and time.monotonic() >= until):
            return result


def whole_log(task_id: str, manners: Manners) -> Steps[list[rest.LogLine]]:
    """Everything a task printed so far."""
    lines: list[rest.LogLine] = []
    while True:
        page = yield from exchange(calls.logs(task_id, after=lines[-1].id if lines else ""), manners)
        lines += page
        if len(page) < calls.LOG_PAGE:
            return lines


def brought(source: Source, manners: Manners) -> Steps[str]:
    """Have the server keep bytes it does not have yet, going on where a connection broke; their SHA-256.

    Patience counts from the last byte that arrived.
    """
    if (yield from exchange(calls.has_blob(source.digest), manners)):
        return source.digest
    if source.size <= AT_ONCE_BYTES_MAX:
        yield from exchange(calls.put_source(source), manners)
        return source.digest
    there, failures, spent = 0, 0, 0.0
    while True:
        answer = yield Send(calls.put_rest(source, there))
        error = _why_not_brought(answer, manners.url)
        if error is None:
            return source.digest
        failures += 1
        pause = max(backoff_seconds(failures, manners.chance()), error.retry_after_seconds or 0)
        spent += pause
        if spent > manners.patience_seconds:
            raise error
        yield Wait(pause)
        before, there = there, (yield from exchange(calls.arrived(source), manners))
        if there == source.size:
            return source.digest
        if there > before:
            failures, spent = 0, 0.0


def _why_not_brought(answer: Answer | NoAnswer | None, url: str) -> AnchorError | None:
    """What stands between an upload and its end, None where nothing does; raises what time does not mend."""
    if isinstance(answer, NoAnswer):
        return unreachable(url, answer.why)
    assert answer is not None
    error = None if answer.status == 308 else failure_of(answer, url)
    if error is not None and answer.status not in TRANSIENT and error.code not in GO_ON_CODES:
        raise error
    return error


def module_text(module: bytes, inline_max: int, manners: Manners) -> Steps[str]:
    """What to write into a payload's `module`: the bytes in base64 where few, else the name of the uploaded blob."""
    if len(module) <= inline_max:
        return base64.b64encode(module).decode()
    digest = yield from brought(source_of(module), manners)
    return f"sha256:{digest}"
