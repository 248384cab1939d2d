"""What a language brings into an app's cells: its programs, the packages, the environment that finds them."""

import os
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from anchor.agent.apps import installing
from anchor.agent.job import Emit
from anchor.agent.runtimes.native.environments import Environments, key_of
from anchor.agent.runtimes.native.installer import inside_name
from anchor.agent.runtimes.native.toolchains import NodeToolchain, python_toolchain
from anchor.agent.sandbox.confinement import Confinement, Mount
from anchor.agent.threads import in_thread
from anchor.core.app import mib_of
from anchor.wire.link import HostItem

APP: Final = "/app"
"""Where a replica finds its own copy of the source."""
HEAP_SHARE: Final = 0.9
"""Node's heap as a share of the memory limit: V8 then collects harder before the limit is met."""

Files = Mapping[str, bytes | None]


class Ready(NamedTuple):
    """What a cell needs to run an app's programs; `path` goes before the system's. `lock` says what was installed where
    the source did not, `modules` is the folder mounted as the app's node_modules."""

    mounts: tuple[Mount, ...] = ()
    path: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    lock: bytes | None = None
    modules: Path | None = None


@asynccontextmanager
async def provided(
    item: HostItem,
    files: Files,
    given: bytes | None,
    environments: Environments,
    confinement: Confinement,
    state: Path,
    emit: Emit,
) -> AsyncIterator[Ready]:
    """The language of a release, its packages installed and kept while the context is open. `given` is the lock that an
    earlier build settled on. CannotInstall, or InvalidRequest where the source wants what is not installed."""
    plan = item.plan
    if plan.kind == "node" or plan.install == "npm":
        node = await environments.node(emit)
        heap_mib = max(16, int(mib_of(item.config.ram) * HEAP_SHARE))
        ready = await in_thread(_node, node, heap_mib, confinement, state)
        if plan.install != "npm":
            yield ready
            return
        async with installing.npm(environments, node, files, plan, given, emit) as found:
            yield _with_modules(ready, found, confinement)
    elif plan.kind == "python":
        seen_as = _python_base().seen(confinement)
        async with installing.pip(environments, files, plan, given, seen_as, emit) as found:
            yield _python(found, confinement)
    else:
        yield Ready()


def site_server(confinement: Confinement, folder: str) -> tuple[str, tuple[Mount, ...]]:
    """The shell command that serves a folder of a static site, and what it needs in its cell."""
    tool, base = python_toolchain(), _python_base()
    server = Mount(Path(__file__).with_name("static_server.py"), "/anchor/run/static_server.py")
    program = f"{base.seen(confinement)}/{tool.program.relative_to(tool.prefix)}"
    words = [program, "-I", "-S", server.seen(confinement), folder]
    variables = "".join(f"{name}={shlex.quote(value)} " for name, value in _library_path(base, confinement).items())
    return f"{variables}exec {shlex.join(words)} $PORT", (base, server)


def _node(node: NodeToolchain, heap_mib: int, confinement: Confinement, state: Path) -> Ready:
    binary = Mount(node.program, inside_name(node.program, "/anchor/node/bin/node"))
    npm = Mount(node.npm.parent.parent, inside_name(node.npm.parent.parent, "/anchor/npm"))
    tools = Mount(_npm_tools(state, npm.seen(confinement)), "/anchor/npm-tools")
    env = {"NODE_ENV": "production", "NODE_OPTIONS": f"--max-old-space-size={heap_mib}"}
    env |= {"npm_config_cache": "/tmp/npm", "npm_config_update_notifier": "false", "npm_config_logs_max": "0"}
    path = (str(Path(binary.seen(confinement)).parent), tools.seen(confinement))
    return Ready((binary, npm, tools), path, env)


def _with_modules(ready: Ready, found: installing.Dependencies, confinement: Confinement) -> Ready:
    modules = Mount(found.folder / "node_modules", f"{APP}/node_modules")
    path = (f"{modules.seen(confinement)}/.bin", *ready.path)
    return Ready((*ready.mounts, modules), path, ready.env, found.lock, modules.outside)


def _python(found: installing.Dependencies, confinement: Confinement) -> Ready:
    base, packages = _python_base(), Mount(found.folder, "/anchor/env")
    root = packages.seen(confinement)
    env = {"VIRTUAL_ENV": root, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    return Ready((base, packages), (f"{root}/bin",), env | _library_path(base, confinement), found.lock)


def _npm_tools(state: Path, npm: str) -> Path:
    """A folder with the commands npm and npx, as a Procfile or a build may call them."""
    folder = state / "npm-tools" / key_of(npm)
    for name in ("npm", "npx"):
        script = folder / name
        if not script.exists():
            folder.mkdir(parents=True, exist_ok=True)
            fresh = folder / f".{name}-{os.getpid()}"
            fresh.write_text(f'#!/bin/sh\nexec node {shlex.quote(npm)}/bin/{name}-cli.js "$@"\n')
            fresh.chmod(0o755)
            fresh.rename(script)
    return folder


def _python_base() -> Mount:
    tool = python_toolchain()
    return Mount(tool.prefix, inside_name(tool.prefix, "/anchor/python"))


def _library_path(base: Mount, confinement: Confinement) -> dict[str, str]:
    """A binary with a library of its own looks for it by an absolute path, which in a cell is another."""
    if not python_toolchain().has_shared_library or confinement.level != "confined":
        return {}
    return {"LD_LIBRARY_PATH": f"{base.seen(confinement)}/lib"}
