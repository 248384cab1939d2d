"""Brings input files into a job's directory: copies, so that no task can change what others will read."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from anchor.agent.files.folder import Folder

COPY_BYTES = 8 * 1024 * 1024


def stage(directory: Path, files: Mapping[str, Path]) -> None:
    """Copy files to their names beneath a directory, making the folders between; sharing the blocks on file systems
    that can. Names have been checked. OSError where the disk or the system does not take one."""
    with Folder.open(directory) as top:
        for name, source in sorted(files.items()):
            *folders, last = name.split("/")
            _copy_into(top, folders, last, source)


def _copy_into(folder: Folder, folders: list[str], name: str, source: Path) -> None:
    if folders:
        with folder.made_folder(folders[0]) as inner:
            _copy_into(inner, folders[1:], name, source)
        return
    with source.open("rb") as reader, os.fdopen(folder.made_file(name), "wb") as writer:
        if not _copied_by_kernel(reader.fileno(), writer.fileno()):
            reader.seek(0)
            writer.truncate(0)
            shutil.copyfileobj(reader, writer, COPY_BYTES)


def _copied_by_kernel(source: int, target: int) -> bool:
    """Copy without moving the bytes through this process; False where the system or the file systems cannot."""
    if not hasattr(os, "copy_file_range"):
        return False
    left = os.fstat(source).st_size
    try:
        while left and (copied := os.copy_file_range(source, target, min(left, COPY_BYTES))):
            left -= copied
    except OSError:
        return False  # whatever it was, copying by hand meets it again
    return not left
