"""The pure parts of what confines programs on Windows and macOS: layouts, limits and rules."""

import ctypes
import re
from pathlib import Path

import pytest

from anchor.agent.sandbox import macos, windows
from anchor.agent.sandbox.confinement import PROCESSES_MAX, Cell, Mount


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="these are the sizes of 64-bit systems")
def test_job_object_structures_have_the_sizes_of_the_windows_headers() -> None:
    assert ctypes.sizeof(windows.BasicLimits) == 64
    assert ctypes.sizeof(windows.IoCounters) == 48
    assert ctypes.sizeof(windows.ExtendedLimits) == 144
    assert windows.BasicLimits.limit_flags.offset == 16
    assert windows.BasicLimits.active_process_limit.offset == 40
    assert windows.ExtendedLimits.job_memory_limit.offset == 120


def test_a_job_is_killed_with_its_last_handle_and_bounded_where_a_limit_is_given() -> None:
    bounded, free = windows.limits_of(64), windows.limits_of(None)
    assert bounded.job_memory_limit == 64 * 1024 * 1024
    assert bounded.basic.limit_flags == 0x2608
    assert free.basic.limit_flags == 0x2408
    assert bounded.basic.active_process_limit == free.basic.active_process_limit == PROCESSES_MAX


def test_a_macos_profile_lets_a_cell_write_only_where_it_may(tmp_path: Path) -> None:
    job = tmp_path / 'job "1"'
    job.mkdir()
    (tmp_path / "link").symlink_to(job)
    cell = Cell(
        directory=Mount(tmp_path / "link", "/job", writable=True),
        mounts=(Mount(Path("/opt/node"), "/anchor/node"), Mount(tmp_path / "report", "/anchor/report", writable=True)),
        memory_mib=64,
    )
    rules = macos.profile(cell)
    assert rules.startswith("(version 1)\n(deny default)\n")
    assert rules.count("(") == rules.count(")")
    written = next(line for line in rules.splitlines() if line.startswith("(allow file-write*"))
    quoted = str(job).replace('"', '\\"')
    assert written == f'(allow file-write* (subpath "{quoted}") (subpath "{tmp_path}/report"))'
    assert '(subpath "/opt/node")' in rules
    assert "network" not in rules
    assert "(allow network*)" in macos.profile(cell, network=True)
    assert re.fullmatch(
        r"/usr/bin/sandbox-exec -p \(version 1\).*echo", " ".join(macos.wrap(cell, ["echo"])), re.DOTALL
    )
