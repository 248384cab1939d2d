"""Folders that tasks leave: measured and removed, whatever they hold."""

import os
from pathlib import Path

import pytest

from anchor.agent.sandbox.confinement import DEPTH_MAX
from anchor.agent.sandbox.folders import measure, remove

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


def test_a_folder_thousands_deep_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    deep(root, 3000)
    remove(root)
    assert not root.exists()
    remove(root)


def test_what_is_locked_and_oddly_named_is_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    root = tmp_path / "root"
    (root / "a" / "b" / "c").mkdir(parents=True)
    (root / "a" / "b" / "file").touch()
    (root / ".removed-0").mkdir()
    (root / ".removed-0" / "x").touch()
    (root / ".removed-1").touch()
    (root / "link").symlink_to(kept)
    os.mkfifo(root / "a" / "pipe")
    (root / "a" / "line\nbreak").touch()
    for folder in (root / "a" / "b" / "c", root / "a" / "b", root / "a"):
        folder.chmod(0)
    assert measure(root, MIB).files >= 8
    for folder in (root / "a", root / "a" / "b"):
        folder.chmod(0)
    remove(root)
    assert not root.exists()
    assert (kept / "file").exists()
