"""Where the sandboxed interpreter keeps its own files. They are machine code: only the agent's user may write there."""

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

FOLDER: Final = "ANCHOR_PYTHON_FILES"
"""The environment variable that names the folder to a worker."""


def default_folder() -> Path:
    """The folder of this user where none is named."""
    user = os.getuid() if hasattr(os, "getuid") else "own"
    return Path(tempfile.gettempdir()) / f"anchor-python-{user}"


def use(folder: Path) -> Path:
    """Have pyeryx use this folder, made where it is missing. Raises OSError where somebody else could write to it.

    pyeryx unpacks itself into a folder of a fixed name in the directory for temporary files and trusts what it finds
    there; it is machine code.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(f"{folder} is no directory")
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        raise OSError(f"{folder} can be written by another user; remove it")
    os.environ["TMPDIR"] = str(folder)
    return folder
