"""On which TCP ports the processes of an app listen, as the kernel shows it."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Final

import psutil

from anchor.agent.sandbox import tree

_LISTEN: Final = "0A"
_BYTES_MAX: Final = 4 * 1024 * 1024


def ports_within(root: int) -> list[int]:
    """The ports that are listened on in the network namespace of the process `root`, rising."""
    return sorted({port for port, _ in _listening(root)})


def listens(root: int, port: int) -> bool:
    """Whether a process of the tree under `root` listens on this port."""
    if sys.platform != "linux":
        return any(port in _ports_of(pid) for pid in tree.members(root))
    wanted = {f"socket:[{inode}]" for found, inode in _listening(root) if found == port}
    return bool(wanted) and any(link in wanted for pid in tree.members(root) for link in _links(pid))


def _listening(pid: int) -> list[tuple[int, str]]:
    """Port and inode of every listening socket there is where this process is."""
    found = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            with Path(f"/proc/{pid}/net/{name}").open(encoding="ascii") as file:
                lines = file.read(_BYTES_MAX).splitlines()[1:]
            for line in lines:
                fields = line.split()
                if fields[3] == _LISTEN:
                    found.append((int(fields[1].rpartition(":")[2], 16), fields[9]))
    return found


def _links(pid: int) -> list[str]:
    links = []
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                links.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return links


def _ports_of(pid: int) -> set[int]:
    with contextlib.suppress(psutil.Error):
        found = psutil.Process(pid).net_connections("tcp")
        return {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN and one.laddr}
    return set()
