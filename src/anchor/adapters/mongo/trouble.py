"""What the driver's errors mean to a caller."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
)

from anchor.core.errors import AnchorError, OutOfSpace, Unavailable

DUPLICATE: Final = 11000
NO_SPACE: Final = frozenset({14031})
"""OutOfDiskSpace."""
_NOT_ALLOWED: Final = frozenset({13, 18, 8000})
"""Unauthorized, AuthenticationFailed, and how Atlas says the latter."""
_REFUSED: Final = _NOT_ALLOWED | NO_SPACE | {2, 9, 14, 20, 52, 59, 72, 10334}
"""Said by a server before it changed anything: a bad or foreign command, a document that is too large."""


def codes_of(error: PyMongoError) -> set[int]:
    """Every error code in what a server said."""
    if isinstance(error, BulkWriteError):
        return {entry.get("code", 0) for entry in error.details.get("writeErrors", [])}
    return {error.code or 0} if isinstance(error, OperationFailure) else set()


def was_never_sent(error: PyMongoError) -> bool:
    """Whether the request of this error cannot have left this process."""
    return isinstance(
        error, ServerSelectionTimeoutError | WaitQueueTimeoutError | ConfigurationError | InvalidOperation
    )


def was_refused(error: PyMongoError) -> bool:
    """Whether a server said that it changed nothing at all."""
    if isinstance(error, BulkWriteError):
        details = error.details
        return (
            not details.get("writeConcernErrors")
            and not details.get("nInserted")
            and not details.get("nMatched")
            and bool(codes := codes_of(error) - {DUPLICATE})
            and codes <= _REFUSED
        )
    return isinstance(error, OperationFailure) and error.code in _REFUSED


def is_out_of_space(error: PyMongoError) -> bool:
    """Whether the database has no space left."""
    return bool(codes_of(error) & NO_SPACE)


def explained(error: PyMongoError) -> AnchorError:
    """The same trouble in our own words."""
    if is_out_of_space(error):
        return out_of_space()
    if isinstance(error, InvalidOperation):
        return closed()
    if codes_of(error) & _NOT_ALLOWED:
        return Unavailable(
            "MongoDB does not let this server in.",
            hint="Check the user, the password and authSource in ANCHOR_STORE; the user needs readWrite on the"
            " database.",
            code="store_refuses_us",
        )
    return Unavailable(
        f"MongoDB could not be asked: {_first_line(error)}",
        hint="Nothing was changed; try again in a moment. If this lasts, check that MongoDB runs and has a primary.",
        code="store_unreachable",
        retry_after_seconds=1,
    )


def closed() -> Unavailable:
    """The error of a store that was closed."""
    return Unavailable("The store is closed.", hint="The server is stopping; try again once it is back.")


def out_of_space() -> OutOfSpace:
    """The error of a full disk."""
    return OutOfSpace("MongoDB has no space left.", hint="Free some space on its disk; the server goes on by itself.")


@contextmanager
def in_our_words() -> Iterator[None]:
    """Around a read: the driver's errors as ours."""
    try:
        yield
    except PyMongoError as error:
        raise explained(error) from error


def _first_line(error: PyMongoError) -> str:
    # The driver goes on with a description of the whole topology.
    return str(error).split(", Timeout:")[0].split(", full error:")[0][:300]
