"""The short run of chaos: whatever is killed, frozen, cut, filled up or set wrong, both numbers are 0."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_SECONDS = 400


@pytest.mark.timeout(LONGEST_SECONDS + 20)
@pytest.mark.parametrize(
    ("engines", "seconds", "kills", "tasks"), [("embedded", 60, 20, 1000), ("shared", 40, 10, 500)]
)
def test_nothing_acknowledged_is_absent_and_nothing_is_recorded_twice_or_rewritten(
    engines: str, seconds: int, kills: int, tasks: int, tmp_path: Path
) -> None:
    run = [sys.executable, "-m", "tests.chaos.run", "--keep", str(tmp_path), "--engines", engines]
    run += ["--seconds", str(seconds), "--kills", str(kills), "--tasks", str(tasks)]
    ran = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
    said = ran.stdout + ran.stderr
    sys.stdout.write(said)
    assert ran.returncode == 0, said
    assert f"{tasks} acknowledged" in said
    assert "acknowledged but absent: 0" in said
    assert "recorded twice or rewritten: 0" in said
