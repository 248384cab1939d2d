"""When a failed task is tried again, and when it is not."""

from anchor.core.errors import NEVER_RETRIED
from anchor.core.spec import RetryPolicy

BACKOFF_CAP_SECONDS = 60.0
JITTER_LOW, JITTER_HIGH = 0.5, 1.5


def backoff_ms(policy: RetryPolicy, failures: int, *, chance: float) -> int:
    """Milliseconds to wait after the given number of failures: exponential, times a jitter of 0.5 to 1.5, capped.

    `chance` is a number in [0, 1) drawn by the caller.
    """
    doubled = policy.backoff_seconds * 2.0 ** min(failures - 1, 32)
    jitter = JITTER_LOW + (JITTER_HIGH - JITTER_LOW) * chance
    return int(min(doubled * jitter, BACKOFF_CAP_SECONDS) * 1000)


def may_retry(policy: RetryPolicy, charged: int, code: str) -> bool:
    """Whether a task that has used `charged` attempts and failed with `code` gets another one."""
    return charged < policy.attempts and code not in NEVER_RETRIED and code not in policy.non_retryable
