"""The short family of errors; every message says what is wrong and every hint what to do next."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """One thing wrong with one place of a request; `pointer` is an RFC 6901 JSON pointer."""

    pointer: str
    message: str


class AnchorError(Exception):
    """A problem a caller can act on.

    `code` is stable and meant for programs, `message` for people, `hint` says what to do next.
    """

    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str | None = None,
        errors: Sequence[Fault] = (),
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or type(self).code
        self.errors = tuple(errors)
        self.retry_after_seconds = retry_after_seconds


class InvalidRequest(AnchorError):
    """The request cannot be read or breaks a rule of its schema."""

    code = "invalid_request"


class Unauthenticated(AnchorError):
    """Nobody, or somebody we cannot identify, is asking."""

    code = "unauthenticated"


class Forbidden(AnchorError):
    """The caller is known and may not do this."""

    code = "forbidden"


class NotFound(AnchorError):
    """There is no such thing, or it belongs to somebody else."""

    code = "not_found"


class MethodNotAllowed(AnchorError):
    """The thing exists and does not know this method."""

    code = "method_not_allowed"


class Conflict(AnchorError):
    """The thing exists and is not in a state in which this can be done."""

    code = "conflict"


class TooLarge(AnchorError):
    """The request is larger than the named limit."""

    code = "too_large"


class UnsupportedMedia(AnchorError):
    """The body's content type is not the one this route reads."""

    code = "unsupported_media_type"


class Unprocessable(AnchorError):
    """The request is well formed and cannot be carried out as it stands."""

    code = "unprocessable"


class TooManyRequests(AnchorError):
    """The caller should come back later."""

    code = "too_many_requests"


class Unavailable(AnchorError):
    """The server cannot do this right now; nothing was changed."""

    code = "unavailable"


class OutOfSpace(AnchorError):
    """The data directory is full; nothing was changed."""

    code = "out_of_space"


class FailureCode(StrEnum):
    """Why an attempt did not succeed: the words every runtime, API answer and page uses."""

    SCRIPT_ERROR = "script_error"
    TIMEOUT = "timeout"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    PROCESS_LIMIT = "process_limit"
    DISK_LIMIT = "disk_limit"
    FUEL_LIMIT = "fuel_limit"
    RESULT_INVALID = "result_invalid"
    RESULT_TOO_LARGE = "result_too_large"
    INVALID_MODULE = "invalid_module"
    INVALID_PAYLOAD = "invalid_payload"
    DEPENDENCY_ERROR = "dependency_error"
    RUNTIME_UNAVAILABLE = "runtime_unavailable"
    CANCELLED = "cancelled"
    RELEASED = "released"
    CRASHED = "crashed"
    AGENT_RESTARTED = "agent_restarted"
    LEASE_LOST = "lease_lost"
    POISON = "poison"
    INPUT_UNAVAILABLE = "input_unavailable"
    OUTPUT_MISSING = "output_missing"
    SEAL_INVALID = "seal_invalid"


NEVER_RETRIED = frozenset({FailureCode.INVALID_MODULE, FailureCode.INVALID_PAYLOAD})
"""Failures that no other attempt, on whatever node, could turn into a success."""
