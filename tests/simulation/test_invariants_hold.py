"""Hundreds of clusters under faults keep every invariant, and the torment reaches all that a task can go through."""

import functools
import multiprocessing

import pytest
from anchorsim.cluster import Report
from anchorsim.many import Broken, outcomes
from anchorsim.swarm import DRAWN

from anchor.core.attempt import Outcome
from anchor.core.task import TRANSITIONS

SEEDS = 2_000
CAME_ABOUT = ("old copy", "cancelled run", "rerun", "constant liar", "random liar")
"""What strikes besides the faults that are drawn."""
LOOKED_AT = 300
"""Seeds in which every fault and every step has to be met."""


@functools.cache
def _all() -> list[Report | Broken]:
    return list(outcomes(range(SEEDS), min(2, multiprocessing.cpu_count())))


@pytest.mark.timeout(300)
def test_invariants_hold_under_faults_and_everything_ends_after_them() -> None:
    broken = [outcome.text for outcome in _all() if isinstance(outcome, Broken)]
    assert not broken, "\n".join(broken[:3])
    for report in _all():
        assert isinstance(report, Report)
        assert report.tasks > 0
        assert report.settled_after_ms <= report.bound_ms


@pytest.mark.timeout(300)
def test_three_hundred_seeds_take_every_step_of_the_lifecycle_under_every_fault() -> None:
    reports = [report for report in _all() if isinstance(report, Report) and report.seed < LOOKED_AT]
    steps = {step for report in reports for step in report.steps}
    assert {(old, new) for (old, _), new in TRANSITIONS.items()} <= steps
    assert {fault for report in reports for fault in report.faults} == DRAWN
    assert {fault for report in reports for fault in report.struck} == {*DRAWN, *CAME_ABOUT}
    outcomes_seen = {outcome for report in reports for outcome in report.outcomes}
    assert set(Outcome) - outcomes_seen <= {Outcome.TIMED_OUT, Outcome.LIMIT_EXCEEDED}  # to a server, both are errors
