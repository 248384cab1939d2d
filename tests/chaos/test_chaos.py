"""The short run of chaos: whatever is killed, frozen, cut, filled up or set wrong, both numbers are 0."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_SECONDS = 400
GOODBYE_SECONDS = 20


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """After a run that took too long: nothing it started may go on."""
    for blow in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, blow)
        if blow is signal.SIGTERM and process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GOODBYE_SECONDS)


@pytest.mark.timeout(LONGEST_SECONDS + 2 * GOODBYE_SECONDS)
@pytest.mark.parametrize(
    ("engines", "seconds", "kills", "tasks"), [("embedded", 60, 20, 1000), ("shared", 40, 10, 500)]
)
def test_nothing_acknowledged_is_absent_and_nothing_is_recorded_twice_or_rewritten(
    engines: str, seconds: int, kills: int, tasks: int, tmp_path: Path
) -> None:
    run = [sys.executable, "-m", "tests.chaos.run", "--keep", str(tmp_path), "--engines", engines]
    run += ["--seconds", str(seconds), "--kills", str(kills), "--tasks", str(tasks)]
    report = tmp_path / "report.txt"
    with report.open("wb") as output:
        ran = subprocess.Popen(run, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
        try:
            ended = ran.wait(LONGEST_SECONDS)
        finally:
            _end_group(ran)
    said = report.read_text(encoding="utf-8")
    sys.stdout.write(said)
    assert ended == 0, said
    assert f"{tasks} acknowledged" in said
    assert "acknowledged but absent: 0" in said
    assert "recorded twice or rewritten: 0" in said
