"""A macOS sandbox profile for a cell, and the command that runs a program under it.

Written from the profiles that come with macOS and never run there; docs/other-systems.md says what that means.
"""

import os
from pathlib import Path
from typing import Final

from anchor.agent.sandbox.confinement import Cell

SANDBOX_EXEC: Final = "/usr/bin/sandbox-exec"
_READABLE: Final = (
    *("/usr", "/bin", "/sbin", "/System", "/Library/Frameworks", "/Library/Apple"),
    *("/opt/homebrew", "/usr/local", "/private/etc/ssl", "/private/var/db/timezone", "/private/var/db/dyld"),
)
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/fd", "/dev/dtracehelper")
_RULES: Final = """(version 1)
(deny default)
(allow process-fork)
(allow signal (target same-sandbox))
(allow process-info* (target same-sandbox))
(allow sysctl-read)
(allow file-read-metadata (literal "/") (subpath "/private") (subpath "/Users") (literal "/etc") (literal "/tmp"))
(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))
"""


def profile(cell: Cell, *, network: bool = False) -> str:
    """The rules of a cell: read the system and its mounts, write to its directory and writable mounts, and no network
    but what it was given. Paths are taken as they really are, since the kernel compares those."""
    readable = [*map(Path, _READABLE), *(mount.outside for mount in cell.mounts)]
    writable = [cell.directory.outside, *(mount.outside for mount in cell.mounts if mount.writable)]
    devices = " ".join(f"(subpath {_quoted(Path(path))})" for path in _DEVICES)
    rules = [f"(allow file-read* file-map-executable process-exec* {_below(readable + writable)})"]
    rules.append(f"(allow file-write* {_below(writable)})")
    rules.append(f"(allow file-read* file-write-data file-ioctl {devices})")
    if network:
        rules.append("(allow network*)")
        rules.append('(allow mach-lookup (global-name "com.apple.dnssd.service") (global-name "com.apple.trustd"))')
    return _RULES + "\n".join(rules) + "\n"


def wrap(cell: Cell, argv: list[str], *, network: bool = False) -> list[str]:
    """The command that runs `argv` in a cell. Memory and processes are bounded by whoever starts it, and its
    descendants ended by the reaper: the sandbox itself does neither."""
    return [SANDBOX_EXEC, "-p", profile(cell, network=network), *argv]


def _below(paths: list[Path]) -> str:
    return " ".join(f"(subpath {_quoted(Path(os.path.realpath(path)))})" for path in paths)


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
