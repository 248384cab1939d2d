"""A fork bomb, let off inside a control group of its own that bounds it whatever the confinement does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anchor.agent.sandbox.probe import probe

OUTER_PROCESSES_MAX = 1500
_PIDS = Path("/sys/fs/cgroup/pids")
PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.runtimes.native_bench import Bench
from anchor.agent.runtimes.native.runtime import Native
from anchor.agent.sandbox.confinement import PROCESSES_MAX
from anchor.agent.sandbox.probe import probe

async def main(folder):
    assert Path(probe().cgroup["pids"]).name.startswith("bomb-"), probe().cgroup
    native = Native(folder / "agent")
    await native.start()
    bench = Bench(native, folder / "jobs")
    small = await bench.run(command=["sh", "-c", "for n in 1 2 3; do sleep 60 & done; wait"], seconds=1)
    assert small.reason.code == "timeout", small
    bomb = await bench.run(command=["sh", "-c", "b() { b | b & }; b; sleep 60"], seconds=3, memory_mib=256)
    assert bomb.reason.code in ("process_limit", "timeout"), bomb
    assert bomb.usage.wall_seconds < 4, bomb
    await native.stop()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def outer() -> Iterator[Path]:
    if os.geteuid() != 0 or not os.access(_PIDS, os.W_OK) or probe().level != "confined":
        pytest.skip("a fork bomb is only let off by root, inside a pids control group (version 1) of its own")
    group = _PIDS / f"bomb-{os.getpid()}"
    group.mkdir()
    (group / "pids.max").write_text(str(OUTER_PROCESSES_MAX))
    yield group
    group.rmdir()


def test_a_fork_bomb_is_bounded_and_leaves_nothing(tmp_path: Path, outer: Path) -> None:
    enter = ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(outer / "cgroup.procs")]
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [*enter, sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])},
    )
    assert ran.returncode == 0, ran.stderr
    assert (outer / "cgroup.procs").read_text() == ""
    assert [path for path in outer.iterdir() if path.is_dir()] == []
