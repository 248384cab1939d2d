"""Every failpoint kills its process in both sets of engines, and nothing acknowledged is lost, repeated or stuck.

The list is read from the source. `just failpoints` kills each one the first, second, fifth and eleventh time, too.
"""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.engines.valkey import free_port
from tests.failpoints.agents import AGENT_STEPS, AgentTour
from tests.failpoints.app_steps import forget_old_logs, host_apps, print_without_end, use_time
from tests.failpoints.checking_steps import (
    be_measured,
    find_rounds_without_copies,
    forget_evidence,
    gather_much,
    run_a_tail_twice,
    verify_answers,
)
from tests.failpoints.engines import Embedded, EngineSet, Shared, shared
from tests.failpoints.errands import BACKUP_STEPS, ELSEWHERE, UP, UP_STEPS, BackupTour, UpTour, sweep_twice
from tests.failpoints.points import Point, points_in
from tests.failpoints.steps import (
    STEPS,
    cancel_waiting_and_running,
    carry_graphs_out,
    come_back_with_work,
    forget_what_is_old,
    half_a_minute_passes,
    submit_to_open_slots,
)
from tests.failpoints.tour import Step, Tour

AT_ONCE = 2
"""Points tried side by side."""
TIMES = [int(time) for time in os.environ.get("ANCHOR_TEST_FAILPOINT_TIMES", "1").split(",")]
ELSEWHERE_ONLY = {
    "embedded": ("adapters/mongo/", "adapters/redis/", "adapters/gridfs/"),
    "shared": ("adapters/sqlite/", "adapters/files/blobs.py"),
}
"""Files that a set of engines has no use for."""
ONE_SET_ONLY = {
    "engines.name_written": "shared",  # the only server of a data directory needs no name
    "duties.laid_down": "shared",  # nor a number to give back
    "serving.secret_written": "embedded",  # servers that share a store are given the secret they share
}
COMMANDS = (
    "orchestrator/backup.py",
    "orchestrator/restore.py",
    "adapters/files/archive.py",
    "adapters/sqlite/exchange.py",
    "adapters/mongo/exchange.py",
)
"""Files that only `anchor backup` and `anchor restore` use."""


SHORTCUTS: dict[str, Step] = {
    "adapters/mongo/retention.py": forget_what_is_old,
    "adapters/mongo/usage.py": forget_what_is_old,
    "server/loops.py": forget_what_is_old,
    "orchestrator/cancel.py": cancel_waiting_and_running,
    "reconcile.cancelling": cancel_waiting_and_running,
    "orchestrator/reconcile.py": half_a_minute_passes,
    "orchestrator/duties.py": half_a_minute_passes,
    "orchestrator/blame.py": submit_to_open_slots,
    "orchestrator/items.py": carry_graphs_out,
    "orchestrator/follow.py": carry_graphs_out,
    "orchestrator/gathered.py": carry_graphs_out,
    **{
        f"orchestrator/graphs/{name}.py": carry_graphs_out
        for name in ("advance", "cancel", "inputs", "release", "schedule", "sweep")
    },
    "nodes.adopted": come_back_with_work,
    "orchestrator/rounds.py": verify_answers,
    "orchestrator/evidence.py": verify_answers,
    "orchestrator/cases.py": verify_answers,
    "rounds.looked_at": find_rounds_without_copies,
    "rounds.barred": find_rounds_without_copies,
    "orchestrator/item_tail.py": run_a_tail_twice,
    "items.put_off": run_a_tail_twice,
    "graphs.result_kept": gather_much,
    "orchestrator/measure.py": be_measured,
    "adapters/mongo/cases.py": forget_evidence,
    "mongo.runs_removed": forget_evidence,
    **{f"orchestrator/apps/{name}.py": host_apps for name in ("advance", "change")},
    "adapters/mongo/apps.py": host_apps,
    "mongo.log_trimmed": print_without_end,
    "server/app_output.py": print_without_end,
    "server/app_log.py": forget_old_logs,
    "server/app_sources.py": host_apps,
    "server/app_usage.py": use_time,
    "mongo.usage_added": use_time,
    "link.hosted": host_apps,
}
"""The step to begin with, so that a point is reached sooner; the other steps follow where it is not."""


def _happens_in(point: Point, engines: str) -> bool:
    return ONE_SET_ONLY.get(point.name, engines) == engines and not point.file.startswith(ELSEWHERE_ONLY[engines])


CASES = [(engines, point) for point in points_in() for engines in ELSEWHERE_ONLY if _happens_in(point, engines)]
"""What is tried: a set of engines and a point."""


def _tour(point: Point, directory: Path, engines: EngineSet) -> tuple[Tour, tuple[Step, ...]]:
    """The tour on which a point is reached, by where it is."""
    if point.file.startswith("agent/"):
        return AgentTour(directory, engines, free_port()), AGENT_STEPS
    if point.file in COMMANDS:
        return BackupTour(directory, engines, free_port()), BACKUP_STEPS
    if point.name == "serving.local_node_inserted":
        return UpTour(directory, engines, free_port(), **UP), UP_STEPS
    if point.name == "serving.admin_token_written":
        return Tour(directory, engines, free_port(), **ELSEWHERE), STEPS[:2]
    first = SHORTCUTS.get(point.name) or SHORTCUTS.get(point.file) or STEPS[0]
    return Tour(directory, engines, free_port()), tuple(sorted(ALL_STEPS, key=lambda step: step is not first))


def _survive(point: Point, directory: Path, engines: EngineSet, time: int) -> bool:
    """Whether the process died at the point and everything was well afterwards; raises where it was not well."""
    if point.name == "gridfs.sweep":
        assert isinstance(engines, Shared)
        sweep_twice(engines, point.name)
        return True
    directory.mkdir()
    tour, steps = _tour(point, directory, engines)
    tour.armed = f"{point.name}:{time}"
    try:
        tour.walk(steps)
        if tour.died:
            tour.check()
    finally:
        tour.close()
    return tour.died


ALL_STEPS: tuple[Step, ...] = (
    *STEPS,
    verify_answers,
    find_rounds_without_copies,
    run_a_tail_twice,
    gather_much,
    be_measured,
    forget_evidence,
    host_apps,
    use_time,
    print_without_end,
    forget_old_logs,
)

Attempts = dict[tuple[str, Point], list[Future[bool]]]


@pytest.fixture(scope="module")
def attempts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attempts]:
    """All the points that were selected, being tried."""
    directory = tmp_path_factory.mktemp("tours")
    wanted = [item.callspec.params["case"] for item in request.session.items if _is_case(item)]
    embedded = Embedded()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started: Attempts = {}

        def begin(engines: EngineSet) -> None:
            for case in [case for case in wanted if case[0] == engines.name]:
                started[case] = [
                    pool.submit(_survive, case[1], directory / f"{case[0]}-{case[1].name}-{time}", engines, time)
                    for time in TIMES
                ]

        begin(embedded)
        if any(engines == Shared.name for engines, _ in wanted):
            with shared(directory) as engines:
                begin(engines)
                yield started
        else:
            yield started
        pool.shutdown(cancel_futures=True)


def _is_case(item: pytest.Item) -> bool:
    return (
        isinstance(item, pytest.Function)
        and "attempts" in getattr(item, "fixturenames", ())
        and hasattr(item, "callspec")
    )


NAME = "test_a_process_killed_at_this_point_loses_nothing"


@pytest.mark.parametrize("case", CASES, ids=[f"{engines}-{point.name}" for engines, point in CASES])
@pytest.mark.timeout(600)
def test_a_process_killed_at_this_point_loses_nothing(case: tuple[str, Point], attempts: Attempts) -> None:
    reached = [attempt.result() for attempt in attempts[case]]
    assert reached[0], f"no tour comes past {case[1].file}:{case[1].line}: it was not tested"
