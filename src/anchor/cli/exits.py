"""Exit codes: one table from what happened to the number a script sees."""

from enum import IntEnum
from typing import Final

from anchor.core import errors
from anchor.core.errors import AnchorError, FailureCode
from anchor.core.task import State
from anchor.wire.rest import TaskResult


class Exit(IntEnum):
    """What the numbers mean. INTERRUPTED is Ctrl-C; whatever the table has no line for is 1, too."""

    OK = 0
    TASK_FAILED = 1
    OTHER = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    CONFLICT = 5
    INVALID = 6
    UNREACHABLE = 7
    TIMED_OUT = 8
    INCONCLUSIVE = 9
    INTERRUPTED = 130


class Usage(errors.InvalidRequest):
    """The command line, a file it names or the configuration cannot be used as it is."""

    code = "usage"


_EXITS: Final[dict[type[AnchorError], Exit]] = {
    Usage: Exit.USAGE,
    errors.InvalidRequest: Exit.INVALID,
    errors.Unauthenticated: Exit.NOT_ALLOWED,
    errors.Forbidden: Exit.NOT_ALLOWED,
    errors.NotFound: Exit.NOT_FOUND,
    errors.MethodNotAllowed: Exit.INVALID,
    errors.Conflict: Exit.CONFLICT,
    errors.TooLarge: Exit.INVALID,
    errors.UnsupportedMedia: Exit.INVALID,
    errors.Unprocessable: Exit.INVALID,
    errors.TooManyRequests: Exit.UNREACHABLE,
    errors.Unavailable: Exit.UNREACHABLE,
    errors.OutOfSpace: Exit.UNREACHABLE,
}


def exit_of(error: AnchorError) -> Exit:
    """The exit code for an error."""
    return _EXITS.get(type(error), Exit.OTHER)


def exit_of_result(result: TaskResult) -> Exit:
    """The exit code for what came of a task; one that is not over has timed out on its caller."""
    match result.state:
        case State.SUCCEEDED:
            return Exit.OK
        case State.FAILED if result.reason is not None and result.reason.code == FailureCode.TIMEOUT:
            return Exit.TIMED_OUT
        case State.FAILED | State.CANCELLED:
            return Exit.TASK_FAILED
        case "inconclusive":
            return Exit.INCONCLUSIVE
        case _:
            return Exit.TIMED_OUT
