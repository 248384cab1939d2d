"""Which tasks a caller asks for: the words of a query, read into what a store looks for."""

import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from anchor.core.errors import Forbidden, InvalidRequest, NotFound
from anchor.core.ids import key_of
from anchor.core.task import State
from anchor.core.task_query import TaskQuery
from anchor.server.http import Call

Word = Annotated[str, Meta(min_length=1, max_length=200)]


class TaskFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Only tasks for which all of it is true: their state, a label, a part of the name, the runtime, the owner, the
    node that has or had them last, the run they are part of, and since and until when they were submitted (RFC 3339,
    or Unix milliseconds)."""

    state: Word | None = None
    label: Word | None = None
    name: Word | None = None
    runtime: Word | None = None
    owner: Word | None = None
    node: Word | None = None
    run: Word | None = None
    since: Word | None = None
    until: Word | None = None


def query_of(call: Call, asked: TaskFilter) -> TaskQuery:
    """What the store is to look for: never more than the caller may see."""
    if call.owner is not None and asked.owner not in (None, call.owner):
        raise Forbidden("You see your own tasks only.", hint="Leave `owner` out, or use a key with the role operator.")
    return TaskQuery(
        state=None if asked.state is None else state_of(asked.state),
        owner=call.owner or asked.owner,
        label=asked.label,
        name=asked.name,
        runtime="isolate" if asked.runtime == "isolated-vm" else asked.runtime,
        node=asked.node,
        run=None if asked.run is None else _run(asked.run),
        since=None if asked.since is None else _moment("since", asked.since),
        until=None if asked.until is None else _moment("until", asked.until),
    )


def words_of(asked: TaskFilter) -> dict[str, str | None]:
    """The filter as the parameters it came in."""
    return {name: getattr(asked, name) for name in TaskFilter.__struct_fields__}


def state_of(name: str) -> State:
    """The state behind its name; a running task is one that is leased."""
    if name == "running":
        return State.LEASED
    try:
        return State(name)
    except ValueError:
        raise InvalidRequest(
            f"There is no task state {name!r}.", hint=f"Use one of {', '.join(State)}.", code="invalid_state"
        ) from None


def _run(text: str) -> int:
    try:
        return key_of("dag", text)
    except NotFound as error:
        raise InvalidRequest(error.message, hint=error.hint, code="invalid_run") from None


def _moment(name: str, text: str) -> int:
    try:
        if text.isascii() and text.isdigit() and len(text) <= 15:
            return int(text)
        moment = datetime.datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"{name!r} is no time: {text[:60]!r}.",
            hint="Write it like 2026-01-31T12:00:00Z, or as Unix milliseconds.",
            code="invalid_time",
        ) from None
