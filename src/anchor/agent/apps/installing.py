"""The dependencies of an app: versions settled once per release, installed once per lock, shared by its replicas."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from anchor.agent.job import Emit
from anchor.agent.runtimes.native.environments import Environments, key_of
from anchor.agent.runtimes.native.toolchains import NodeToolchain, python_toolchain
from anchor.agent.threads import in_thread
from anchor.core import requirements
from anchor.core.app import Plan
from anchor.core.errors import InvalidRequest
from anchor.core.node_source import LOCKS, manifest
from anchor.core.npm_lock import cleaned, wanted_of
from anchor.core.python_source import added

_MANIFEST: Final = "package.json"
_LOCK: Final = "package-lock.json"
_WANTED: Final = "wanted.txt"
_LOCKED: Final = "locked.txt"

Files = Mapping[str, bytes | None]


class Dependencies(NamedTuple):
    """What was installed, and the lock that says so where the source brought none."""

    folder: Path
    lock: bytes | None


@asynccontextmanager
async def npm(
    environments: Environments, node: NodeToolchain, files: Files, plan: Plan, given: bytes | None, emit: Emit
) -> AsyncIterator[Dependencies]:
    """A folder whose `node_modules` holds what a package.json wants, that for development too where there is a build.
    `given` is the lock of an earlier build, which counts where the source has none."""
    installer = environments.installer
    wanted = json.dumps(wanted_of(manifest(files)), sort_keys=True)
    brought = next((files[name] for name in LOCKS if files.get(name)), None)
    dev = bool(plan.build)

    async def settle(folder: Path) -> None:
        emit("progress", "settling the versions of npm packages\n")
        await in_thread((folder / _MANIFEST).write_text, wanted)
        await installer.lock_npm(folder, node, emit)

    async def install(folder: Path) -> None:
        await in_thread((folder / _MANIFEST).write_text, wanted)
        await in_thread((folder / _LOCK).write_bytes, lock)
        await in_thread((folder / "node_modules").mkdir)
        await installer.install_npm_lock(folder, node, emit, dev=dev)

    lock = cleaned(brought or given or b"{}")
    if not (brought or given):
        async with environments.kept(
            key_of("npm-settled", wanted, node.version, _today()), settle, "", emit
        ) as settled:
            lock = cleaned(await in_thread((settled / _LOCK).read_bytes))
    key = key_of("npm-locked", wanted, lock.decode(), node.version, dev)
    async with environments.kept(key, install, f"npm packages ({_names(lock)})", emit) as folder:
        yield Dependencies(folder, None if brought else lock)


@asynccontextmanager
async def pip(
    environments: Environments, files: Files, plan: Plan, given: bytes | None, seen_as: str, emit: Emit
) -> AsyncIterator[Dependencies]:
    """A virtual environment with what the source requires, and with the servers that its processes start. Its
    interpreter is the one that a cell finds in the folder `seen_as`."""
    installer = environments.installer
    tool = python_toolchain()
    versions = (tool.version, str(tool.program), seen_as)

    async def export(folder: Path) -> None:
        for name in (requirements.PYPROJECT, requirements.UV_LOCK):
            await in_thread((folder / name).write_bytes, files[name] or b"")
        await installer.export_wheels(folder, _LOCKED, emit)

    async def settle(folder: Path) -> None:
        emit("progress", "settling the versions of Python packages\n")
        await in_thread((folder / _WANTED).write_text, wanted)
        await installer.lock_wheels(folder, _WANTED, _LOCKED, emit)

    async def install(folder: Path) -> None:
        await installer.make_venv(folder, emit)
        if lock:
            await in_thread((folder / _LOCKED).write_text, pinned)
            await installer.install_wheel_lock(folder, _LOCKED, emit)

    lines = requirements.stated(files)
    if files.get(requirements.UV_LOCK) and requirements.LOCK not in files and requirements.REQUIREMENTS not in files:
        exported = key_of("pip-exported", *((files[name] or b"").decode() for name in _EXPORTED), tool.version)
        async with environments.kept(exported, export, "", emit) as folder:
            text = await in_thread((folder / _LOCKED).read_bytes)
        lines = requirements.stated({requirements.LOCK: text})
    servers = added(plan.processes, lines)
    wanted = "\n".join([*lines, *servers]) + "\n"
    is_pinned = requirements.is_locked(lines) and not servers
    lock = wanted.encode() if is_pinned else given or b""
    if not lock and (lines or servers):
        async with environments.kept(
            key_of("pip-settled", wanted, tool.version, _today()), settle, "", emit
        ) as settled:
            lock = await in_thread((settled / _LOCKED).read_bytes)
    pinned = await in_thread(_pinned, lock)
    key = key_of("pip-locked", pinned, *versions)
    what = f"Python packages ({lock.count(b'==')})" if lock else ""
    async with environments.kept(key, install, what, emit) as folder:
        yield Dependencies(folder, None if is_pinned or not lock else lock)


def _pinned(lock: bytes) -> str:
    """The requirements of a lock and nothing else: another node may have made it, and an option of the installer's
    could have it read files of this one. InvalidRequest (`dependency_error`)."""
    lines = requirements.stated({requirements.LOCK: lock})
    if lines and not requirements.is_locked(lines):
        raise InvalidRequest(
            "The versions that an earlier build settled on have no hashes.",
            hint="Deploy the app again.",
            code="dependency_error",
        )
    return "\n".join([*lines, ""])


_EXPORTED: Final = (requirements.PYPROJECT, requirements.UV_LOCK)


def _today() -> int:
    """Versions that a node has settled on are asked for anew on the next day."""
    return int(time.time() // 86_400)


def _names(lock: bytes) -> int:
    return max(0, len(json.loads(lock).get("packages", {})) - 1)
