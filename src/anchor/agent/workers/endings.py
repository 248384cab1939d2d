"""Endings that are the same wherever they happen: out of time, out of memory, too large a result, nested too deeply."""

from anchor.agent.job import RESULT_BYTES_MAX
from anchor.agent.workers.frames import MIB, Ended
from anchor.core.errors import FailureCode


def timed_out(seconds: float) -> Ended:
    """What there is to say at the deadline."""
    return Ended(FailureCode.TIMEOUT, f"It was stopped after its {seconds:g} s.", "Raise limits.timeoutSeconds.")


def out_of_memory(mib: int, story: str = "") -> Ended:
    """What there is to say when the memory limit was reached; `story` is how."""
    message = f"It needed more than its {mib} MiB of memory. {story}".rstrip()
    return Ended(FailureCode.MEMORY_LIMIT, message, "Raise limits.memoryMb.")


def disk_full(mib: int) -> Ended:
    """What there is to say where the files of a job grew beyond its limit."""
    return Ended(
        FailureCode.DISK_LIMIT,
        f"Its files took more than {mib} MiB, were too many, or lay too deep.",
        "Raise limits.diskMb, or write less.",
    )


def too_large() -> Ended:
    """What there is to say about a result above RESULT_BYTES_MAX."""
    return Ended(
        FailureCode.RESULT_TOO_LARGE,
        f"The result is larger than {RESULT_BYTES_MAX // MIB} MiB.",
        "Return less, or split the work into several tasks.",
    )


def too_deep() -> Ended:
    """What there is to say when the sandboxed Python aborted with memory to spare: in all but rare cases its own stack
    overflowed. A single piece of memory that is refused to it ends it with the same signal."""
    return Ended(
        FailureCode.SCRIPT_ERROR,
        "Its calls or values were nested more deeply than the sandboxed Python's own stack allows, or it asked for one "
        "piece of memory larger than what was left.",
        "Use loops instead of recursion through builtins, flatter or smaller values, or runtime native.",
    )


def too_many_threads(most: int) -> Ended:
    """The ending of work that has started more threads than a worker may have."""
    return Ended(FailureCode.PROCESS_LIMIT, f"It had more than {most} threads.", "Start fewer at a time.")
