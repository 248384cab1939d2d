"""A share of the processor holds for everything a process starts, and leaves nothing behind."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from anchor.agent.cores import held

BURN_SECONDS = 1.0
SCENE = """
import json, os, pathlib, subprocess, sys, time
from anchor.agent.cores import held

share, seconds = float(sys.argv[1]), float(sys.argv[2])
burn = f"import time\\nuntil = time.monotonic() + {seconds}\\nwhile time.monotonic() < until: pass"
with held(share) as holding:
    began = time.monotonic()
    for burner in [subprocess.Popen([sys.executable, "-S", "-c", burn]) for _ in range(3)]:
        burner.wait()
    used = os.times()
    group = pathlib.Path(holding.group)
    there = bool(holding.group) and group.exists()
print(json.dumps([
    holding.by, holding.cores, (used.children_user + used.children_system) / (time.monotonic() - began),
    there, bool(holding.group) and group.exists(), os.nice(0),
]))
"""

KILLED = """
import os
from anchor.agent.cores import hold

print(hold(1.0).group, flush=True)
os.kill(os.getpid(), 9)
"""

needs_two_cores = pytest.mark.skipif((psutil.cpu_count() or 1) < 2, reason="a share needs more than one core to see it")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems have neither quota nor affinity")


@needs_two_cores
@needs_linux
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_children_together_get_no_more_than_the_share(share: float) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCENE, str(share), str(BURN_SECONDS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    by, cores, used, there, left, niceness = json.loads(ran.stdout)
    assert by in {"quota", "affinity"}
    assert cores == (share if by == "quota" else 1)
    assert used <= 1.15 * cores
    assert there == (by == "quota")
    assert not left
    assert niceness >= 5


def test_all_there_is_bounds_nothing() -> None:
    before = psutil.Process().nice()
    for share in (None, 100_000.0):
        with held(share) as holding:
            assert holding is None
    assert psutil.Process().nice() == before


@needs_two_cores
@needs_linux
def test_what_a_killed_agent_left_is_cleared_by_the_next() -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=60, check=False)
    group = killed.stdout.strip()
    if not group:
        pytest.skip("this user may not make control groups here, so there is none to leave behind")
    assert Path(group).exists()
    subprocess.run([sys.executable, "-c", SCENE, "1", "0.01"], capture_output=True, timeout=60, check=True)
    assert not Path(group).exists()
