"""The cell of a replica: its own copy of the source, what it sees of the machine, and the program that starts it."""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from anchor.agent.apps.built import Built
from anchor.agent.apps.doors import Door
from anchor.agent.files.removal import remove
from anchor.agent.runtimes.native.installer import SYSTEM_PATH, foreign
from anchor.agent.sandbox.confinement import Cell, Confinement, Mount
from anchor.agent.sandbox.supervise import Program
from anchor.core.app import mib_of
from anchor.wire.link import HostItem

INSIDE: Final = "/app"
"""Where a replica finds itself: its working directory and its home."""


class Place(msgspec.Struct, frozen=True):
    """A replica's folder on this machine, with the source copied into it; `temporary` is for those without a cell."""

    directory: Path
    temporary: Path


def make_place(folder: Path, source: Path) -> Place:
    """A new, writable copy of the source in `folder`, instead of what is there."""
    remove(folder)
    place = Place(folder / "app", folder / "tmp")
    place.temporary.mkdir(parents=True)
    shutil.copytree(source, place.directory, symlinks=True)
    place.directory.chmod(0o755)
    return place


def program_of(
    item: HostItem,
    built: Built,
    place: Place,
    confinement: Confinement,
    door: Door | None,
    given: Mapping[str, str],
    command: str,
    timeout_seconds: float = math.inf,
) -> Program:
    """How a shell command of an app is run. `given` are its owner's variables; `door` is how its port is reached."""
    is_confined = confinement.level == "confined"
    directory = Mount(place.directory, INSIDE, writable=True)
    env = {"HOME": directory.seen(confinement), "LANG": "C.UTF-8", "USER": "anchor", "LOGNAME": "anchor"}
    env["TMPDIR"] = "/tmp" if is_confined else str(place.temporary)
    env["PATH"] = ":".join([*built.path, SYSTEM_PATH])
    env |= built.env
    env |= given
    env |= {
        "ANCHOR_APP": item.name,
        "ANCHOR_RELEASE": str(item.release),
        "ANCHOR_REPLICA": f"{item.process}.{item.index}",
    }
    mounts = built.mounts
    starter: list[str] = []
    passed: tuple[int, ...] = ()
    if door is not None:
        env["PORT"] = str(door.port)
        starter, passed = door.starter(), door.passed
        env = door.environment(env)
        mounts += tuple(mount for mount in door.mounts if mount.inside not in {one.inside for one in mounts})
    return Program(
        argv=[*starter, "/bin/sh", "-c", command],
        env=env,
        cell=Cell(
            directory=directory,
            mounts=foreign(mounts),
            memory_mib=mib_of(item.config.ram),
            disk_mib=mib_of(item.config.disk),
            network=item.config.network,
            cores=item.config.cpu,
        ),
        timeout_seconds=timeout_seconds,
        passed=passed,
    )
