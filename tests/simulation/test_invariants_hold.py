"""Five hundred clusters under faults keep every invariant, and the torment reaches everything a task can go through."""

import functools

import pytest
from anchorsim.cluster import FAULTS, Report, run_seed

from anchor.core.attempt import Outcome
from anchor.core.task import TRANSITIONS

SEEDS = 500
SHARE = 50


@functools.cache
def _run(seed: int) -> Report:
    return run_seed(seed)


@pytest.mark.parametrize("first", range(0, SEEDS, SHARE))
def test_invariants_1_to_7_9_to_13_15_20_and_23_hold_under_faults_and_everything_ends_after_them(first: int) -> None:
    for seed in range(first, first + SHARE):
        report = _run(seed)
        assert report.tasks > 0
        assert report.settled_after_ms <= report.bound_ms


def test_one_hundred_seeds_take_every_step_of_the_lifecycle_under_every_fault() -> None:
    reports = [_run(seed) for seed in range(100)]
    steps = {step for report in reports for step in report.steps}
    assert {(old, new) for (old, _), new in TRANSITIONS.items()} <= steps
    assert {fault for report in reports for fault in report.faults} == set(FAULTS)
    outcomes = {outcome for report in reports for outcome in report.outcomes}
    assert set(Outcome) - outcomes <= {Outcome.TIMED_OUT, Outcome.LIMIT_EXCEEDED}  # to the server, both are errors
