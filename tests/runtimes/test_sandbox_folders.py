"""How much is in the folders of tasks, whatever they did to them."""

import os
from pathlib import Path

import pytest

from anchor.agent.files.removal import remove
from anchor.agent.sandbox.confinement import DEPTH_MAX
from anchor.agent.sandbox.folders import measure

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")
MIB = 1024 * 1024


def deep(root: Path, levels: int) -> None:
    here = os.open(root, os.O_RDONLY)
    try:
        for _ in range(levels):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    finally:
        os.close(here)


def test_what_is_on_disk_counts_and_what_is_not_does_not(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "full").write_bytes(bytes([1]) * MIB)
    os.link(tmp_path / "a" / "full", tmp_path / "again")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1024 * MIB)
    (tmp_path / "out").symlink_to("/")
    held = measure(tmp_path, 100 * MIB)
    assert MIB <= held.size < 1.5 * MIB
    assert held.files == 5
    assert held.depth == 2


def test_a_file_is_measured_and_what_is_missing_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(5000))
    assert measure(tmp_path / "file", MIB).files == 1
    assert measure(tmp_path / "absent", MIB).size == 0


def test_measuring_ends_once_it_is_enough(tmp_path: Path) -> None:
    deep(tmp_path, DEPTH_MAX + 50)
    assert measure(tmp_path, MIB).depth == DEPTH_MAX + 1


def test_folders_that_may_not_be_read_are_measured(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(bytes([1]) * MIB)
    for folder in (tmp_path / "a" / "b", tmp_path / "a"):
        folder.chmod(0)
    held = measure(tmp_path, 100 * MIB)
    assert held.files == 3
    assert held.size >= MIB


def test_what_lies_deeper_than_paths_reach_is_too_deep(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 255, dir_fd=here)
        above, here = here, os.open("d" * 255, os.O_RDONLY, dir_fd=here)
        os.close(above)
    os.close(here)
    assert measure(tmp_path, MIB).depth > DEPTH_MAX
    remove(tmp_path)
