"""Dependency environments: installed once per set of packages and tool versions, shared read-only by every task."""

import asyncio
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from anchor.agent.job import BoundedOutput, Emit
from anchor.agent.runtimes.native.toolchains import (
    NodeToolchain,
    PythonToolchain,
    Toolchains,
    installer_environment,
    python_toolchain,
    uv_environment,
    uv_program,
)
from anchor.agent.sandbox.confinement import Cell, Confinement, Mount
from anchor.agent.sandbox.supervise import Program, supervise
from anchor.core.errors import FailureCode

INSTALL_SECONDS = 300
"""The limit of one installation. It is not part of the task's own time: who comes first should not pay for all."""
INSTALL_OUTPUT_BYTES = 64 * 1024
ENVIRONMENTS_MAX = 64
"""Beyond this the environment unused for longest is removed."""
_EXPLANATION_LINES = 6
_EXPLANATION_CHARACTERS = 800

_NPM_NAME = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*")
_NPM_RANGE = re.compile(r"[0-9A-Za-z^~<>=*][0-9A-Za-z.^~<>=*|+ -]*")
_ARCHIVE = re.compile(r"\.(tgz|tar|tar\.gz)$", re.IGNORECASE)
_PIP = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?P<extras>\[[A-Za-z0-9._, -]*\])?\s*"
    r"(?:@\s*(?P<at>[0-9][0-9A-Za-z.+!_-]*)|(?P<range>(?:[<>=!~]=?=?\s*[0-9A-Za-z.*+!_-]+\s*,?\s*)*))"
)


_NOISE = re.compile(
    r"^(npm error|npm ERR!)( code| 404| notarget| E[A-Z0-9]+)?|^error:|^\s*cause:|[\u00d7\u2500-\u25ff]+", re.IGNORECASE
)
_BOILERPLATE = re.compile(
    r"npm (warn|notice)|warning:|Using Python|Resolved |Prepared |A complete log|Note that you can|tarball, folder|"
    r"In most cases you|This is probably not|Log files|[A-Z][A-Z0-9]+$|hint: |Not Found - GET ",
)
_CREDENTIALS = re.compile(r"(https?://)[^/\s@]+@")

Make = Callable[[Path], Awaitable[None]]
"""Fills an empty folder with an environment."""


class CannotInstall(Exception):
    """An environment could not be made. `hint` says what the task's author, or the node's owner, can do."""

    def __init__(self, message: str, hint: str = "", code: FailureCode = FailureCode.DEPENDENCY_ERROR) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


def npm_dependencies(wanted: Sequence[str]) -> dict[str, str]:
    """Version range by package name, from `name`, `name@range` or `@scope/name@range`.

    Only names and versions from the registry: no paths, archives, aliases or repositories.
    """
    found: dict[str, str] = {}
    for text in wanted:
        at = text.find("@", 1)
        name, spec = (text, "latest") if at == -1 else (text[:at], text[at + 1 :].strip())
        if not _NPM_NAME.fullmatch(name) or not _NPM_RANGE.fullmatch(spec) or _ARCHIVE.search(spec):
            raise CannotInstall(f"{text!r} is not an npm package; write name, name@version or @scope/name@range.")
        if found.setdefault(name, spec) != spec:
            raise CannotInstall(f"{name} is wanted as {found[name]} and as {spec}; name it once.")
    return found


def pip_dependencies(wanted: Sequence[str]) -> list[str]:
    """Requirements for uv from `name`, `name==1.2`, `name>=1,<2`, `name[extra]` or `name@1.2`. No paths, no URLs."""
    found = []
    for text in wanted:
        match = _PIP.fullmatch(text.strip())
        if match is None:
            raise CannotInstall(f"{text!r} is not a Python package; write name, name==version or name>=version.")
        exact = f"=={match['at']}" if match["at"] else match["range"].strip()
        found.append(f"{match['name']}{match['extras'] or ''}{exact}")
    return sorted(set(found))


class Environments:
    """The environments of one agent, under `state`: `environments/`, `toolchains/`, and the installers' caches."""

    def __init__(self, state: Path, *, path: str | None = None) -> None:
        self._state = state
        self._folder = state / "environments"
        self._tools = Toolchains(state / "toolchains", path=path)
        self._locks: dict[str, asyncio.Lock] = {}
        self._in_use: Counter[str] = Counter()

    def prepare(self) -> None:
        """Make the folders and remove what an interrupted installation left."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob("tmp-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    async def node(self, emit: Emit) -> NodeToolchain:
        """The Node to use, fetched if the machine has none."""

        async def install(command: list[str], env: Mapping[str, str], directory: Path) -> None:
            emit("progress", "fetching Node, which this machine does not have\n")
            await self._install(command, env, directory, emit)

        try:
            return await self._tools.node(install)
        except FileNotFoundError as error:
            raise CannotInstall(
                str(error), "Install Node 20 or newer on the node.", FailureCode.RUNTIME_UNAVAILABLE
            ) from error
        except CannotInstall as error:
            raise CannotInstall(
                f"This node has no Node and could not fetch it: {error.message}",
                "Install Node 20 or newer on the node, or let it reach a package index.",
                FailureCode.RUNTIME_UNAVAILABLE,
            ) from error

    @asynccontextmanager
    async def javascript(self, wanted: Sequence[str], node: NodeToolchain, emit: Emit) -> AsyncIterator[Path]:
        """A folder whose `node_modules` holds the wanted packages, kept while the context is open."""
        packages = npm_dependencies(wanted)

        async def make(folder: Path) -> None:
            (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": packages}))
            (folder / "node_modules").mkdir()
            if not packages:
                return
            command = [str(node.program), str(node.npm), "install", "--ignore-scripts", "--no-audit", "--no-fund"]
            command += ["--no-update-notifier", "--omit=dev", "--loglevel=notice"]
            command += ["--cache", str(self._state / "npm-cache"), "--prefix", str(folder)]
            env = installer_environment()
            env["PATH"] = f"{node.program.parent}{os.pathsep}{env.get('PATH', os.defpath)}"
            await self._install(command, env, folder, emit)

        key = _key("javascript", sorted(packages.items()), node.version)
        async with self._kept(key, make, ", ".join(wanted), emit) as folder:
            yield folder

    @asynccontextmanager
    async def python(self, wanted: Sequence[str], seen_as: str, emit: Emit) -> AsyncIterator[Path]:
        """A virtual environment with the wanted packages, kept while the context is open. Its interpreter is the one
        a task finds in the folder `seen_as`."""
        packages = pip_dependencies(wanted)
        tool = python_toolchain()

        async def make(folder: Path) -> None:
            env = {**uv_environment(), "UV_CACHE_DIR": str(self._state / "uv-cache"), "UV_PYTHON_DOWNLOADS": "never"}
            create = [uv_program(), "venv", "--quiet", "--relocatable", "--allow-existing"]
            await self._install([*create, "--python", str(tool.program), str(folder)], env, folder, emit)
            if packages:
                command = [uv_program(), "pip", "install", "--python", str(folder / "bin" / "python")]
                command += ["--link-mode", "copy", "--only-binary", ":all:", "--compile-bytecode", "--", *packages]
                await self._install(command, env, folder, emit)
            _point_at(folder, tool, seen_as)

        key = _key("python", packages, tool.version, str(tool.program), seen_as)
        async with self._kept(key, make, ", ".join(packages), emit) as folder:
            yield folder

    @asynccontextmanager
    async def _kept(self, key: str, make: Make, what: str, emit: Emit) -> AsyncIterator[Path]:
        folder = self._folder / key
        self._in_use[key] += 1
        try:
            async with self._locks.setdefault(key, asyncio.Lock()):
                if not folder.exists():
                    if what:
                        emit("progress", f"installing {what}\n")
                    await self._make(folder, make)
                    self._remove_oldest()
            os.utime(folder)
            yield folder
        finally:
            self._in_use[key] -= 1

    async def _make(self, folder: Path, make: Make) -> None:
        fresh = Path(tempfile.mkdtemp(prefix="tmp-", dir=self._folder))
        try:
            await make(fresh)
            # Whatever has this name is complete: it appears at once or not at all.
            await asyncio.to_thread(fresh.rename, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _remove_oldest(self) -> None:
        kept = [folder for folder in self._folder.iterdir() if not folder.name.startswith("tmp-")]
        kept.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in kept[ENVIRONMENTS_MAX:]:
            if not self._in_use[folder.name]:
                shutil.rmtree(folder, ignore_errors=True)

    async def _install(self, command: list[str], env: Mapping[str, str], folder: Path, emit: Emit) -> None:
        output = BoundedOutput(emit, INSTALL_OUTPUT_BYTES)
        said: list[str] = []

        def write(stream: str, text: str) -> bool:
            said.append(text)
            del said[:-200]
            output.write("progress", self._without_paths(text, folder))
            return True

        # An installer needs the network and the owner's settings, and runs nothing that it downloads: scripts are
        # off and nothing is built. The reaper still ends all of it on time-out or cancel.
        program = Program(
            argv=command,
            env=env,
            cell=Cell(directory=Mount(folder, str(folder)), memory_mib=0),
            timeout_seconds=INSTALL_SECONDS,
            limited=False,
        )
        ended = await supervise(Confinement("process"), program, write)
        if ended.cut is FailureCode.TIMEOUT:
            raise CannotInstall(
                f"Installing took longer than {INSTALL_SECONDS} s.", "Name fewer packages, or try again."
            )
        if ended.code != 0:
            message = explanation(self._without_paths("".join(said), folder))
            raise CannotInstall(
                message or f"The installer ended with code {ended.code}.", "Check the names and versions."
            )

    def _without_paths(self, text: str, folder: Path) -> str:
        for path in (folder, self._state, Path.home()):
            text = text.replace(str(path), "…")
        return _CREDENTIALS.sub(r"\1", text)


def explanation(said: str) -> str:
    """The lines of an installer's output that say why it failed, without its boilerplate."""
    lines = []
    for raw in said.splitlines():
        line = _NOISE.sub("", raw).strip()
        if line and not _BOILERPLATE.match(line) and line not in lines:
            lines.append(line)
    return "\n".join(lines[:_EXPLANATION_LINES])[:_EXPLANATION_CHARACTERS]


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _point_at(folder: Path, tool: PythonToolchain, seen_as: str) -> None:
    """Make the environment's interpreter the one that lies in the folder `seen_as` when a task runs."""
    if seen_as == str(tool.prefix):
        return
    program = Path(seen_as) / tool.program.relative_to(tool.prefix)
    link = folder / "bin" / "python"
    link.unlink()
    link.symlink_to(program)
    config = folder / "pyvenv.cfg"
    lines = [line for line in config.read_text().splitlines() if not line.startswith("home")]
    config.write_text("\n".join([f"home = {program.parent}", *lines, ""]))
