"""RFC 9457 problem documents: one table from errors to statuses, read forwards by servers and backwards by clients."""

import msgspec

from anchor.core import errors
from anchor.core.errors import AnchorError, Fault

CONTENT_TYPE = "application/problem+json"

STATUS: dict[type[AnchorError], int] = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.Unprocessable: 422,
    errors.TooManyRequests: 429,
    errors.Unavailable: 503,
    errors.OutOfSpace: 507,
}
ERROR: dict[int, type[AnchorError]] = {status: error for error, status in STATUS.items()}


class Problem(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An error as it travels. `code` is for programs; `hint` says what to do next."""

    title: str
    status: int
    detail: str
    code: str
    request_id: str = ""
    type: str = "about:blank"
    hint: str = ""
    errors: tuple[Fault, ...] = ()


def problem_of(error: AnchorError, request_id: str) -> Problem:
    """The problem document for an error."""
    status = STATUS.get(type(error), 500)
    title = type(error).__doc__ or "Something went wrong."
    return Problem(
        title=title.splitlines()[0],
        status=status,
        detail=error.message,
        code=error.code,
        request_id=request_id,
        hint=error.hint,
        errors=error.errors,
    )


def error_of(problem: Problem, retry_after_seconds: int | None = None) -> AnchorError:
    """The error behind a problem document."""
    kind = ERROR.get(problem.status, AnchorError)
    return kind(
        problem.detail,
        hint=problem.hint,
        code=problem.code,
        errors=problem.errors,
        retry_after_seconds=retry_after_seconds,
    )
