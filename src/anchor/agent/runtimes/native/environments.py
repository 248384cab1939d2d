"""Dependency environments: installed once per set of packages and tool versions, shared read-only by every task."""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from anchor.agent.job import Emit
from anchor.agent.runtimes.native.installer import CannotInstall, Installer
from anchor.agent.runtimes.native.shelf import Make, Shelf
from anchor.agent.runtimes.native.toolchains import NODE_WHEEL, NodeToolchain, Toolchains, python_toolchain
from anchor.agent.sandbox.confinement import Confinement
from anchor.core.errors import FailureCode

ENVIRONMENTS_MAX = 64
ENVIRONMENTS_BYTES_MAX = 16 * 1024**3
"""Beyond these the environments unused for longest are removed."""

_NPM_NAME = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*")
_NPM_RANGE = re.compile(r"[0-9A-Za-z^~<>=*][0-9A-Za-z.^~<>=*|+ -]*")
_ARCHIVE = re.compile(r"\.(tgz|tar|tar\.gz)$", re.IGNORECASE)
_PIP = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?P<extras>\[[A-Za-z0-9._, -]*\])?\s*"
    r"(?:@\s*(?P<at>[0-9][0-9A-Za-z.+!_-]*)|(?P<range>(?:[<>=!~]=?=?\s*[0-9A-Za-z.*+!_-]+\s*,?\s*)*))"
)


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

    def __init__(self, state: Path, confinement: Confinement, *, path: str | None = None) -> None:
        self._shelf = Shelf(state / "environments", count_max=ENVIRONMENTS_MAX, bytes_max=ENVIRONMENTS_BYTES_MAX)
        self._tools = Toolchains(state / "toolchains", path=path)
        self._installer = Installer(state, confinement)

    @property
    def installer(self) -> Installer:
        """What installs packages here."""
        return self._installer

    def prepare(self) -> None:
        """Make the folders and remove what an interrupted installation left."""
        self._shelf.prepare()
        self._installer.prepare()

    async def node(self, emit: Emit) -> NodeToolchain:
        """The Node to use, fetched if the machine has none."""

        async def fetch(folder: Path) -> None:
            emit("progress", "fetching Node, which this machine does not have\n")
            await self._installer.fetch_wheel(folder, NODE_WHEEL, emit)

        try:
            return await self._tools.node(fetch)
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
            if packages:
                await self._installer.install_npm(folder, node, emit)

        key = key_of("javascript", sorted(packages.items()), node.version)
        async with self.kept(key, make, ", ".join(wanted), emit) as folder:
            yield folder

    @asynccontextmanager
    async def python(self, wanted: Sequence[str], seen_as: str, emit: Emit) -> AsyncIterator[Path]:
        """A virtual environment with the wanted packages, kept while the context is open. Its interpreter is the one
        a task finds in the folder `seen_as`."""
        packages = pip_dependencies(wanted)
        tool = python_toolchain()

        async def make(folder: Path) -> None:
            await self._installer.make_venv(folder, emit)
            if packages:
                await self._installer.install_wheels(folder, packages, emit)

        key = key_of("python", packages, tool.version, str(tool.program), seen_as)
        async with self.kept(key, make, ", ".join(packages), emit) as folder:
            yield folder

    @asynccontextmanager
    async def kept(self, key: str, make: Make, what: str, emit: Emit) -> AsyncIterator[Path]:
        """The environment of this key, made first if it is not there (`what` is said of it then), kept while the
        context is open."""

        async def told(folder: Path) -> None:
            if what:
                emit("progress", f"installing {what}\n")
            await make(folder)

        async with self._shelf.kept(key, told) as folder:
            yield folder


def key_of(*parts: object) -> str:
    """A name for what is made of these parts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
