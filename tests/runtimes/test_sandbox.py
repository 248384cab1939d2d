"""Confinement and supervision by themselves: what is found out, and that nothing outlives its agent."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from anchor.agent.sandbox import cgroup, tree
from anchor.agent.sandbox.bubblewrap import options
from anchor.agent.sandbox.confinement import Cell, Confinement, Mount
from anchor.agent.sandbox.probe import probe, try_bubblewrap
from anchor.agent.sandbox.seccomp import native_filter
from anchor.agent.sandbox.supervise import Program, supervise

pytestmark = pytest.mark.skipif(probe().level == "none", reason=probe().why or "some level")

AGENT = """
import asyncio, sys
from pathlib import Path
from anchor.agent.sandbox.confinement import Cell, Confinement, Mount
from anchor.agent.sandbox.probe import probe
from anchor.agent.sandbox.supervise import Program, supervise
here = Path(sys.argv[1])
program = Program(argv=["sh", "-c", "setsid sleep 300 & sleep 300"], env={"PATH": "/usr/bin:/bin", "MARK": sys.argv[3]},
    cell=Cell(directory=Mount(here, "/job", writable=True), memory_mib=256), timeout_seconds=100)
asyncio.run(supervise(probe() if sys.argv[2] == "confined" else Confinement("process"), program, lambda s, t: True))
"""


def marked(mark: str) -> int:
    count = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            count += process.environ().get("MARK") == mark and process.status() != psutil.STATUS_ZOMBIE
    return count


def wait_until(count: int, mark: str) -> bool:
    deadline = time.monotonic() + 10
    while (marked(mark) > 0) != (count > 0) or marked(mark) < count:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def program_in(folder: Path, *argv: str, seconds: float = 20, memory_mib: int = 256) -> Program:
    cell = Cell(directory=Mount(folder, "/job", writable=True), memory_mib=memory_mib)
    return Program(argv=list(argv), env={"PATH": "/usr/bin:/bin"}, cell=cell, timeout_seconds=seconds)


@pytest.mark.parametrize("level", ["confined", "process"])
def test_nothing_outlives_an_agent_that_is_killed(tmp_path: Path, level: str) -> None:
    if level == "confined" and probe().level != "confined":
        pytest.skip(probe().why)
    mark = f"{os.getpid()}-{level}"
    with subprocess.Popen([sys.executable, "-c", AGENT, str(tmp_path), level, mark]) as agent:
        try:
            assert wait_until(2, mark)
        finally:
            agent.send_signal(signal.SIGKILL)
    assert wait_until(0, mark)


def test_a_bubblewrap_that_fails_is_reported_in_its_own_words(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    found = try_bubblewrap(str(broken))
    assert found.level == "process"
    assert "No permissions to create new namespace" in found.why
    assert try_bubblewrap(str(tmp_path / "absent")).level == "process"


@pytest.mark.anyio
async def test_a_sandbox_that_cannot_be_set_up_is_not_the_tasks_fault(tmp_path: Path) -> None:
    if probe().level != "confined":
        pytest.skip(probe().why)
    program = program_in(tmp_path, "true")
    cell = Cell(directory=program.cell.directory, mounts=(Mount(tmp_path / "absent", "/x"),), memory_mib=64)
    wrong = Program(argv=["true"], env={}, cell=cell, timeout_seconds=10)
    ended = await supervise(probe(), wrong, lambda stream, text: True)
    assert "absent" in ended.never_started
    assert (await supervise(probe(), program, lambda stream, text: True)).never_started == ""


@pytest.mark.anyio
@pytest.mark.parametrize("level", ["confined", "process"])
async def test_usage_counts_the_whole_tree_also_of_a_killed_one(tmp_path: Path, level: str) -> None:
    if level == "confined" and probe().level != "confined":
        pytest.skip(probe().why)
    confinement = probe() if level == "confined" else Confinement("process")
    busy = "(while :; do :; done) & while :; do :; done"
    ended = await supervise(confinement, program_in(tmp_path, "sh", "-c", busy, seconds=1), lambda stream, text: True)
    assert ended.cut == "timeout"
    assert ended.usage.cpu_seconds > 0.05
    assert ended.usage.peak_memory_mb > 0


def test_a_tasks_environment_is_not_bubblewraps_own(tmp_path: Path) -> None:
    cell = Cell(directory=Mount(tmp_path, "/job"), memory_mib=64)
    told = options(Confinement("confined", bwrap="bwrap"), cell, {"LD_PRELOAD": "/x"})
    at = told.index("--setenv")
    assert told[at : at + 3] == ["--setenv", "LD_PRELOAD", "/x"]


@pytest.mark.anyio
async def test_a_variable_adds_no_option_to_a_sandbox(tmp_path: Path) -> None:
    if probe().level != "confined":
        pytest.skip(probe().why)
    asked = program_in(tmp_path, "/bin/sh", "-c", "cat /tmp/secret")
    (tmp_path / "secret").write_text("precious")
    said: list[str] = []
    for env in ({"X": f"\0--bind\0{tmp_path}\0/tmp"}, {f"X\0y\0--bind\0{tmp_path}\0/tmp": ""}):
        with pytest.raises(OSError, match="NUL"):
            await supervise(
                probe(), msgspec.structs.replace(asked, env=env), lambda _, text: bool(said.append(text)) or True
            )
    assert said == []


def test_a_tree_knows_its_members_and_their_memory() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60"]) as root:
        try:
            deadline = time.monotonic() + 10
            while len(tree.members(root.pid)) < 3:
                assert time.monotonic() < deadline
            seen = tree.sample(root.pid, None)
            assert seen.processes == 3
            assert seen.memory_mib > 0
        finally:
            tree.kill(root.pid)


def test_groups_of_agents_that_were_killed_are_swept(tmp_path: Path) -> None:
    gone, mine = tmp_path / "anchor-999999999-1", tmp_path / f"anchor-{os.getpid()}-1"
    gone.mkdir()
    mine.mkdir()
    cgroup.sweep({"pids": str(tmp_path)})
    assert not gone.exists()
    assert mine.exists()


@pytest.mark.parametrize(
    ("left_out", "arguments", "words"),
    [
        ("--unshare-net", 0, "it reaches the machine's network"),
        ("--unshare-pid", 0, "it sees other processes"),
        ("--seccomp", 1, "it uses"),
    ],
)
def test_a_cell_that_holds_too_little_is_not_called_confined(
    tmp_path: Path, left_out: str, arguments: int, words: str
) -> None:
    bwrap = shutil.which("bwrap")
    if bwrap is None or probe().level != "confined":
        pytest.skip(probe().why)
    leaky = tmp_path / "bwrap"
    leaky.write_text(f"""#!{sys.executable} -IS
import os, sys
kept = sys.argv[1:]
if {left_out!r} in kept:
    at = kept.index({left_out!r})
    del kept[at:at + 1 + {arguments}]
os.execv({bwrap!r}, [{bwrap!r}, *(word for word in kept if word != "--as-pid-1")])
""")
    leaky.chmod(0o755)
    found = try_bubblewrap(str(leaky))
    assert found.level == "process"
    assert words in found.why
    assert found.fix


@pytest.mark.anyio
async def test_the_kernels_limit_on_memory_is_told_from_other_ends(tmp_path: Path) -> None:
    if probe().level != "confined" or "memory" not in probe().cgroup:
        pytest.skip("no memory control group can be made here")
    hog = "exec python3 -c 'x = b\"1\" * (400 << 20)'"
    ended = await supervise(probe(), program_in(tmp_path, "sh", "-c", hog, memory_mib=64), lambda stream, text: True)
    assert ended.cut == "memory_limit"
    killed = await supervise(probe(), program_in(tmp_path, "sh", "-c", "kill -9 $$"), lambda stream, text: True)
    assert (killed.cut, killed.code) == (None, 137)


@pytest.mark.anyio
async def test_files_cached_for_a_program_are_not_its_memory(tmp_path: Path) -> None:
    if probe().level != "confined":
        pytest.skip(probe().why)
    write = "dd if=/dev/zero of=big bs=1M count=200 2>/dev/null && cat big > /dev/null"
    ended = await supervise(probe(), program_in(tmp_path, "sh", "-c", write, memory_mib=64), lambda stream, text: True)
    assert (ended.cut, ended.code) == (None, 0)
    assert ended.usage.peak_memory_mb < 64


HIDE = {
    "segments that nobody has attached": """
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
for size in (16 << 20, (1 << 32) + 4096):
    number = libc.shmget(0, ctypes.c_size_t(size), 0o1600)
    print("refused" if number < 0 else libc.shmdt(ctypes.c_void_p(libc.shmat(number, None, 0))))
print("small" if libc.shmget(0, 56, 0o1600) >= 0 else "refused")
""",
    "files in memory, closed while they travel": """
import os, socket
try:
    os.memfd_create("hidden")
except OSError as error:
    print(error.strerror)
""",
    "messages that nobody takes": """
import ctypes
print("refused" if ctypes.CDLL(None).msgget(0, 0o1600) < 0 else "made")
""",
    "the wish to outlive the others": "print(open('/proc/self/oom_score_adj').read().strip())",
}
SAID = ("refused\nrefused\nsmall", "Function not implemented", "refused", "800")


@pytest.mark.anyio
@pytest.mark.parametrize(("script", "said"), list(zip(HIDE.values(), SAID, strict=True)), ids=list(HIDE))
async def test_memory_that_no_process_has_cannot_be_had_where_no_group_counts_it(
    tmp_path: Path, script: str, said: str
) -> None:
    if probe().level != "confined" or native_filter() is None:
        pytest.skip("native programs cannot be confined with a filter here")
    heard: list[str] = []

    def write(_: str, text: str) -> bool:
        heard.append(text)
        return True

    confinement = msgspec.structs.replace(probe(), cgroup={})
    ended = await supervise(confinement, program_in(tmp_path, "/usr/bin/python3", "-c", script), write)
    assert ended.code == 0, ended.stderr_tail
    assert "".join(heard).strip() == said
