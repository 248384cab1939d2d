"""Putting a restored store in the place of what is there, so that a crash leaves the old one or asks for another try.

The new store is built in a folder of its own inside the data directory. Then a marker is written, the old files are
moved aside, the new ones to their place, and the marker is removed. Nobody opens a store beside a marker; the next
restore reads from it how far the last one came.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from anchor.adapters.sqlite.directory import DataDirectory
from anchor.adapters.sqlite.trouble import explained
from anchor.core.errors import Conflict
from anchor.failpoints import reached

MARKER = "restore-unfinished"
BUILT = "restoring"
ASIDE = "before-restore-"
"""What the names of folders with replaced data begin with."""
PARTS = ("anchor.db", "anchor.db-wal", "anchor.db-shm", "blobs")
"""What a store is made of; the rest of a data directory belongs to this machine and stays."""
_MOVING, _PLACE = "moving", "placing"


def refuse_half_restored(path: Path) -> None:
    """Conflict where a restore was cut short, so that neither the old store nor the new one is whole in its place."""
    if (path / MARKER).exists():
        raise Conflict(
            f"A restore into {path} was cut short: its data is neither the old nor the new.",
            hint="Run the same `anchor restore` again. The old data is in the folder before-restore-… beside it.",
            code="restore_unfinished",
        )


@contextmanager
def exchanged(path: Path, *, replace: bool) -> Iterator[Path]:
    """A folder to build a store in, which takes the place of what is in the data directory when the block ends well.

    With `replace`, what is there is moved into a folder `before-restore-…`, never deleted. Conflict where there is
    something without it, and where a server uses the directory.
    """
    with DataDirectory(path):
        try:
            _finish_last(path)
            there = [name for name in PARTS if (path / name).exists()]
            if there and not replace:
                raise Conflict(
                    f"There is data in {path} already.",
                    hint="Restore into another directory with --data DIR, or move what is there aside with --replace.",
                    code="not_empty",
                )
            built = path / BUILT
            if built.exists():
                shutil.rmtree(built)
            built.mkdir()
        except OSError as error:
            raise explained(error, path) from error
        yield built
        try:
            _sync_tree(built)
            reached("restore.built")
            aside = f"{ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
            _mark(path, _MOVING, aside)
            reached("restore.marked")
            _put(path, aside)
        except OSError as error:
            raise explained(error, path) from error


def _put(path: Path, aside: str) -> None:
    _move(path, path / aside)
    _mark(path, _PLACE, aside)
    reached("restore.moved_aside")
    _move(path / BUILT, path)
    (path / MARKER).unlink()
    _sync(path)
    reached("restore.placed")
    shutil.rmtree(path / BUILT)


def _finish_last(path: Path) -> None:
    """After a restore that was cut short: have all old files aside, and nothing in their place."""
    marker = path / MARKER
    if not marker.exists():
        return
    stage, aside = marker.read_text(encoding="ascii").split()
    if stage == _MOVING:
        _move(path, path / aside)
        _mark(path, _PLACE, aside)
    # All that stands here now was put here by the restore that was cut short.
    for name in PARTS:
        part = path / name
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    for name in PARTS:
        if (source / name).exists():
            target.mkdir(exist_ok=True)
            (source / name).rename(target / name)
            reached("restore.moving")
    for folder in (source, target):
        if folder.exists():
            _sync(folder)


def _mark(path: Path, stage: str, aside: str) -> None:
    fresh = path / f"{MARKER}.new"
    with fresh.open("w", encoding="ascii") as file:
        file.write(f"{stage} {aside}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path / MARKER)
    _sync(path)


def _sync_tree(folder: Path) -> None:
    for found in folder.rglob("*"):
        if found.is_dir():
            _sync(found)
    _sync(folder)


def _sync(folder: Path) -> None:
    if sys.platform != "win32":  # Windows cannot open folders; its rename is journalled by NTFS
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
