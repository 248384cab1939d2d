"""Where the sandboxed interpreter keeps its own files. They are machine code: only the agent's user may write there."""

import importlib.metadata
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import Final

UNPACKED: Final = "eryx-embedded"
"""The name pyeryx gives to its folder in the directory for temporary files."""


def folder() -> Path:
    """The folder of this user and this version of pyeryx: in the user's cache, or beside temporary files where there is
    no home. Raises PackageNotFoundError where pyeryx is missing.

    It does not follow the environment: workers have none, and have to find the same.
    """
    name = f"pyeryx-{importlib.metadata.version('pyeryx')}"
    if sys.platform == "win32":
        return Path(tempfile.gettempdir()) / "anchor" / name
    home = _home()
    if home is not None:
        return home / ".cache" / "anchor" / name
    return Path("/tmp") / f"anchor-{os.getuid()}" / name


if sys.platform != "win32":
    import pwd

    def _home() -> Path | None:
        try:
            home = Path(pwd.getpwuid(os.getuid()).pw_dir)
            return home if home.stat().st_uid == os.getuid() and os.access(home, os.W_OK) else None
        except (KeyError, OSError):
            return None


def use(place: Path) -> Path:
    """Have pyeryx use this folder, made where it is missing. Raises OSError where somebody else could write to it.

    By itself pyeryx unpacks into a folder of a fixed name that any user may have made before, and trusts it.
    """
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    for one in (place, place.parent):
        found = one.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise OSError(f"{one} is no directory")
        if sys.platform != "win32" and (found.st_uid != os.getuid() or found.st_mode & 0o022):
            raise OSError(f"{one} can be written by another user; remove it")
    os.environ["TMPDIR"] = str(place)
    return place
