"""Runs an app's build: confined, without the network, in a copy of its source."""

import os
import shutil
import stat
from collections import deque
from pathlib import Path
from typing import Final

from anchor.agent.apps.built import CannotBuild
from anchor.agent.apps.languages import APP, HEAP_SHARE, Ready
from anchor.agent.files.removal import remove
from anchor.agent.job import BoundedOutput, Emit
from anchor.agent.runtimes.native.installer import SYSTEM_PATH, foreign
from anchor.agent.sandbox.confinement import Cell, Confinement, Mount
from anchor.agent.sandbox.supervise import Ended, Program, supervise
from anchor.agent.threads import in_thread
from anchor.core.app import mib_of
from anchor.core.attempt import Reason
from anchor.core.errors import FailureCode
from anchor.core.spec import MIB
from anchor.wire.link import HostItem

BUILD_SECONDS: Final = 600.0
BUILD_MEMORY_MIB: Final = 2048
"""What a build may use at least, however little its replicas may."""
BUILD_DISK_MIB: Final = 4096
BUILD_OUTPUT_BYTES: Final = MIB
LINES_TOLD: Final = 40
_TAIL_CHARACTERS: Final = 16 * 1024
_MESSAGE_CHARACTERS: Final = 4000


async def make_tree(
    confinement: Confinement, item: HostItem, source: Path, folder: Path, ready: Ready, emit: Emit
) -> None:
    """Fill `folder` with the source and whatever the build makes of it; CannotBuild with the build's last lines."""
    await in_thread(shutil.copytree, source, folder, symlinks=True, dirs_exist_ok=True)
    if ready.modules is not None:
        await in_thread(remove, folder / "node_modules")
    confined = confinement.level == "confined"
    own = folder.with_name(folder.name + ".modules")
    try:
        if item.plan.build:
            mounts = ready.mounts
            if ready.modules is not None:
                # Tools write into it while they build, and others are given the same one.
                await in_thread(shutil.copytree, ready.modules, own, symlinks=True)
                mounts = tuple(mount for mount in mounts if mount.outside != ready.modules)
                mounts += (Mount(own, f"{APP}/node_modules", writable=True, counted=False),)
                if not confined:
                    (folder / "node_modules").symlink_to(own)
            await _build(confinement, item, folder, ready, mounts, emit)
            await in_thread(_require_copyable, folder, item.plan.build)
        if ready.modules is not None and not confined:
            (folder / "node_modules").unlink(missing_ok=True)
            (folder / "node_modules").symlink_to(ready.modules)
    finally:
        await in_thread(remove, own)


async def _build(
    confinement: Confinement, item: HostItem, folder: Path, ready: Ready, mounts: tuple[Mount, ...], emit: Emit
) -> None:
    build = item.plan.build
    emit("progress", f"building: {build}\n")
    output = BoundedOutput(emit, BUILD_OUTPUT_BYTES)
    said: deque[str] = deque()

    def write(_: str, text: str) -> bool:
        said.append(text)
        while len(said) > 1 and sum(map(len, said)) - len(said[0]) > _TAIL_CHARACTERS:
            said.popleft()
        output.write("progress", text)
        return not output.truncated

    memory_mib = max(BUILD_MEMORY_MIB, mib_of(item.config.ram))
    app = Mount(folder, APP, writable=True)
    env = {**ready.env, "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "CI": "true"}
    if "NODE_OPTIONS" in env:
        env["NODE_OPTIONS"] = f"--max-old-space-size={int(memory_mib * HEAP_SHARE)}"
    env["PATH"] = ":".join([*ready.path, SYSTEM_PATH])
    program = Program(
        argv=["/bin/sh", "-c", build],
        env=env,
        cell=Cell(
            directory=app,
            mounts=foreign(mounts),
            memory_mib=memory_mib,
            disk_mib=BUILD_DISK_MIB,
        ),
        timeout_seconds=BUILD_SECONDS,
    )
    ended = await supervise(confinement, program, write)
    if ended.code != 0 or ended.cut is not None or ended.never_started:
        raise CannotBuild(_reason(build, ended, memory_mib, "".join(said)))


def _require_copyable(folder: Path, build: str) -> None:
    """Every replica gets a copy, in which holes of a sparse file are filled and each hard link is a file: CannotBuild
    where one would be larger than a build may be. Pipes and sockets, which nobody can copy, are removed."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            about = os.lstat(path)
            if stat.S_ISREG(about.st_mode):
                size += about.st_size
            elif not stat.S_ISLNK(about.st_mode):
                os.unlink(path)
    if size > BUILD_DISK_MIB * MIB:
        what = f"The build `{build[:200]}` left files that are {size / MIB:,.0f} MiB once they are copied"
        hint = "Leave out sparse files and hard links, or have it make less."
        raise CannotBuild(Reason("build_failed", f"{what}; {BUILD_DISK_MIB:,} MiB are allowed.", hint))


def _reason(build: str, ended: Ended, memory_mib: int, said: str) -> Reason:
    if ended.never_started:
        return Reason(
            "runtime_unavailable", "The sandbox for the build could not be set up.", "Run `anchor doctor` on the node."
        )
    limits = {
        FailureCode.TIMEOUT: (f"took longer than {BUILD_SECONDS:.0f} s", "Build it before you deploy it."),
        FailureCode.MEMORY_LIMIT: (f"went beyond {memory_mib} MiB of memory", "Raise config.ram."),
        FailureCode.DISK_LIMIT: (f"kept {ended.overfull} in its folder", "Have it make less."),
    }
    how, hint = f"ended with exit code {ended.code}", "Mend what its last lines say, and deploy again."
    if ended.cut is not None:
        how, hint = limits.get(ended.cut, (f"went beyond its limit ({ended.cut})", "Have it use less."))
    lines = [line.rstrip() for line in said.splitlines() if line.strip()][-LINES_TOLD:]
    told = "\n".join(lines)[-_MESSAGE_CHARACTERS:]
    return Reason("build_failed", f"The build `{build[:200]}` {how}." + (f"\n{told}" if told else ""), hint)
