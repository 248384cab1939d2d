"""`anchor bench` measures for real and leaves nothing behind; what it measured is not judged here."""

import json
from pathlib import Path

import pytest
from tests.cli.command import Cli

from anchor.cli.bench_load import summary


@pytest.mark.timeout(180)
def test_a_short_run_measures_everything_and_cleans_up(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    cli = Cli(tmp_path, "http://127.0.0.1:1")
    done = cli("bench", "--tasks", "300", "--samples", "10", "--directory", str(disk), "-o", "json", seconds=150)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    for name, tasks in (("bulkLargeLeases", 300), ("bulk", 300), ("single", 150)):
        one = figures[name]
        assert one["tasks"] == tasks
        assert one["tasksPerSecond"] == pytest.approx(tasks / one["seconds"], rel=0.01)
        assert one["serverUs"] > 0
    for name in ("idle", "busy"):
        one = figures[name]
        assert one["samples"] == 10
        assert 0 < one["p50Ms"] <= one["p99Ms"] <= one["maxMs"]
    assert figures["busy"]["backgroundPerSecond"] > 0
    assert figures["place"]["flushMs"] > 0
    assert not list(disk.iterdir())


def test_a_directory_that_is_not_there_is_a_matter_of_usage(tmp_path: Path) -> None:
    done = Cli(tmp_path, "")("bench", "--directory", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    one = summary([float(number) for number in range(500, 0, -1)])
    assert (one.p50_ms, one.p99_ms, one.max_ms) == (250, 495, 500)
