"""How long a failed task rests, and when it is not tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.core.errors import NEVER_RETRIED, FailureCode
from anchor.core.retry import BACKOFF_CAP_SECONDS, backoff_ms, may_retry
from anchor.core.spec import RetryPolicy

POLICY = RetryPolicy()
chances = st.floats(0, 1, exclude_max=True)
failures = st.integers(1, 10_000)
seconds = st.floats(0, 3600)


def test_the_rest_doubles_from_two_seconds_to_a_cap_of_sixty() -> None:
    assert [backoff_ms(POLICY, n, chance=0.5) for n in range(1, 8)] == [
        2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000,
    ]  # fmt: skip


def test_the_jitter_reaches_from_half_to_one_and_a_half() -> None:
    assert backoff_ms(POLICY, 1, chance=0.0) == 1_000
    assert backoff_ms(POLICY, 1, chance=0.999_999) == 2_999


@given(seconds, failures, chances)
def test_no_rest_is_negative_or_longer_than_the_cap(base: float, count: int, chance: float) -> None:
    assert 0 <= backoff_ms(RetryPolicy(backoff_seconds=base), count, chance=chance) <= BACKOFF_CAP_SECONDS * 1000


@given(seconds, failures, chances)
def test_a_later_failure_never_rests_shorter(base: float, count: int, chance: float) -> None:
    policy = RetryPolicy(backoff_seconds=base)
    assert backoff_ms(policy, count, chance=chance) <= backoff_ms(policy, count + 1, chance=chance)


def test_a_backoff_of_zero_is_tried_again_at_once() -> None:
    assert backoff_ms(RetryPolicy(backoff_seconds=0), 5, chance=0.9) == 0


def test_a_task_has_three_attempts_unless_it_says_otherwise() -> None:
    assert [may_retry(POLICY, charged, FailureCode.SCRIPT_ERROR) for charged in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("code", FailureCode)
def test_only_what_no_attempt_could_mend_is_never_retried(code: FailureCode) -> None:
    assert may_retry(POLICY, 1, code) == (code not in NEVER_RETRIED)
