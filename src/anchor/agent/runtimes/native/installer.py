"""Runs uv and npm: confined as tasks are, but with the network, the owner's package settings, and a folder to fill.

An installer runs nothing of what it downloads: scripts are off and nothing is built. The confinement holds what its own
mistakes would let through. Tasks never see the caches, and see what was installed read-only.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from anchor.agent.files.removal import remove
from anchor.agent.job import BoundedOutput, Emit
from anchor.agent.runtimes.native.toolchains import (
    NodeToolchain,
    installer_environment,
    python_toolchain,
    uv_environment,
    uv_program,
)
from anchor.agent.sandbox import folders
from anchor.agent.sandbox.confinement import FILES_MAX, Cell, Confinement, Mount
from anchor.agent.sandbox.supervise import Ended, Program, supervise
from anchor.core.errors import FailureCode

INSTALL_SECONDS = 300
"""The limit of one installation. It is not part of the task's own time: who comes first should not pay for all."""
INSTALL_MEMORY_MIB = 2048
INSTALL_DISK_MIB = 8192
INSTALL_OUTPUT_BYTES = 64 * 1024
CACHE_BYTES_MAX = 4 * 1024**3
"""A cache beyond this is emptied when the agent starts."""
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
"""The PATH in a cell, behind the programs of its own packages."""
_SOON = ("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
"""A registry that is away is told of within seconds; npm by itself waits for minutes."""
_HOME = "/anchor/home"
_FOLDER = "/anchor/env"
_EXPLANATION_HEAD, _EXPLANATION_TAIL = 8, 3
_EXPLANATION_CHARACTERS = 1500
_NOISE = re.compile(
    r"^(npm error|npm ERR!)( code| 404| notarget| E[A-Z0-9]+)?|^error:|^\s*cause:|[\u00d7\u2500-\u25ff]+", re.IGNORECASE
)
_BOILERPLATE = re.compile(
    r"npm (warn|notice)|warning:|Using Python|Resolved |Prepared |A complete log|Note that you can|tarball, folder|"
    r"In most cases you|This is probably not|Log files|[A-Z][A-Z0-9]+$|hint: |Not Found - GET |"
    r"While resolving: undefined|node_modules/|Fix the upstream dependency|For a full report see|.*-report\.txt$",
)
_CREDENTIALS = re.compile(r"(https?://)[^/\s@]+@")
_PATH = re.compile(r"(file://)?(/[^\s,;:'\"]+)")


class CannotInstall(Exception):
    """An environment could not be made. `hint` says what the task's author, or the node's owner, can do."""

    def __init__(self, message: str, hint: str = "", code: FailureCode = FailureCode.DEPENDENCY_ERROR) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class Installer:
    """The installers of one agent; their caches lie under `state`."""

    def __init__(self, state: Path, confinement: Confinement) -> None:
        self._state = state
        self._confinement = confinement
        tool = python_toolchain()
        self._base = Mount(tool.prefix, inside_name(tool.prefix, "/anchor/python"))
        self._base_program = f"{self._base.seen(confinement)}/{tool.program.relative_to(tool.prefix)}"
        self._library_path = f"{self._base.seen(confinement)}/lib" if tool.has_shared_library else ""

    def prepare(self) -> None:
        """Make the caches, and empty those that have grown too large."""
        for name in ("uv-cache", "npm-cache"):
            cache = self._state / name
            held = folders.measure(cache, CACHE_BYTES_MAX)
            if held.size > CACHE_BYTES_MAX or held.files > FILES_MAX:
                remove(cache)
            cache.mkdir(parents=True, exist_ok=True)

    async def make_venv(self, folder: Path, emit: Emit) -> None:
        """An empty virtual environment of the agent's own Python, as a task will see that."""
        target = self._seen(folder)
        options = ["--quiet", "--relocatable", "--allow-existing", "--python", self._base_program]
        await self._uv(["venv", *options, target], folder, emit)

    async def install_wheels(self, folder: Path, packages: list[str], emit: Emit) -> None:
        """Put packages into a virtual environment, and compile them without giving any of them a chance to run."""
        await self._install_wheels(folder, ["--", *packages], emit)

    async def fetch_wheel(self, folder: Path, package: str, emit: Emit) -> None:
        """Unpack one package from the index into a folder, all of it beside nothing."""
        options = ["--python", self._base_program, "--target", f"{self._seen(folder)}/node", "--only-binary", ":all:"]
        await self._uv(["pip", "install", *options, "--link-mode", "copy", "--no-cache", "--", package], folder, emit)

    async def install_npm(self, folder: Path, node: NodeToolchain, emit: Emit) -> None:
        """Install what the package.json in the folder names."""
        await self._npm(["install", "--omit=dev"], folder, node, emit)

    async def lock_npm(self, folder: Path, node: NodeToolchain, emit: Emit) -> None:
        """Settle the versions of what the package.json in the folder names: leaves a package-lock.json."""
        await self._npm(["install", "--package-lock-only", "--include=dev", *_SOON], folder, node, emit)

    async def install_npm_lock(self, folder: Path, node: NodeToolchain, emit: Emit, *, dev: bool) -> None:
        """Install exactly what the package-lock.json in the folder says, checked against the hashes in it."""
        await self._npm(
            ["ci", "--prefer-offline", "--include=dev" if dev else "--omit=dev", *_SOON], folder, node, emit
        )

    async def lock_wheels(self, folder: Path, wanted: str, locked: str, emit: Emit) -> None:
        """Settle the versions of the requirements in the file `wanted` of the folder: leaves them, and all that they
        need, in the file `locked`, each with its hashes, for every system."""
        options = ["--python", self._base_program, "--universal", "--generate-hashes", "--only-binary", ":all:"]
        options += ["--quiet", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
        place = self._seen(folder)
        await self._uv(["pip", "compile", *options, "-o", f"{place}/{locked}", f"{place}/{wanted}"], folder, emit)

    async def export_wheels(self, folder: Path, locked: str, emit: Emit) -> None:
        """Write what the uv.lock and the pyproject.toml in the folder pin into the file `locked`, as requirements."""
        options = ["--frozen", "--offline", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate", "--quiet"]
        place = self._seen(folder)
        options += ["--python", self._base_program, "--project", place, "-o", f"{place}/{locked}"]
        await self._uv(["export", *options], folder, emit, network=False)

    async def install_wheel_lock(self, folder: Path, locked: str, emit: Emit) -> None:
        """Put exactly the requirements in the file `locked` into the virtual environment of the folder."""
        options = ["--no-deps", "--require-hashes", "-r", f"{self._seen(folder)}/{locked}"]
        # With several indexes uv looks no further than the first that has heard of a package. What has to have a known
        # hash may come from any of them.
        await self._install_wheels(folder, ["--index-strategy", "unsafe-best-match", *options], emit)

    async def _install_wheels(self, folder: Path, what: list[str], emit: Emit) -> None:
        options = ["--python", f"{self._seen(folder)}/bin/python", "--link-mode", "copy", "--only-binary", ":all:"]
        await self._uv(["pip", "install", *options, *what], folder, emit)
        compiler = [self._base_program, "-I", "-S", "-m", "compileall", "-q", "-j", "0", f"{self._seen(folder)}/lib"]
        # Not all that is in a package has to compile; what does not is compiled, and complained of, when imported.
        await self._run(compiler, self._environment({}), folder, emit, mounts=(self._base,), network=False)

    async def _npm(self, command: list[str], folder: Path, node: NodeToolchain, emit: Emit) -> None:
        binary = Mount(node.program, inside_name(node.program, "/anchor/node/bin/node"))
        npm = Mount(node.npm.parent.parent, inside_name(node.npm.parent.parent, "/anchor/npm"))
        cache = Mount(self._state / "npm-cache", "/anchor/cache", writable=True, counted=False)
        program = binary.seen(self._confinement)
        command = [program, f"{npm.seen(self._confinement)}/bin/npm-cli.js", *command, "--ignore-scripts"]
        command += ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=notice"]
        command += ["--cache", cache.seen(self._confinement), "--prefix", self._seen(folder)]
        env = self._environment(installer_environment(), str(Path(program).parent))
        await self._checked(command, env, folder, emit, mounts=(binary, npm, cache))

    def _seen(self, folder: Path) -> str:
        return Mount(folder, _FOLDER).seen(self._confinement)

    async def _uv(self, arguments: list[str], folder: Path, emit: Emit, *, network: bool = True) -> None:
        binary = Mount(Path(uv_program()), inside_name(Path(uv_program()), "/anchor/bin/uv"))
        cache = Mount(self._state / "uv-cache", "/anchor/cache", writable=True, counted=False)
        told = {"UV_CACHE_DIR": cache.seen(self._confinement), "UV_PYTHON_DOWNLOADS": "never"}
        env = self._environment({**uv_environment(), **told})
        await self._checked(
            [binary.seen(self._confinement), *arguments],
            env,
            folder,
            emit,
            mounts=(self._base, binary, cache),
            network=network,
        )

    def _environment(self, given: Mapping[str, str], path: str = "") -> dict[str, str]:
        if self._confinement.level != "confined":
            return {**given, "PATH": os.pathsep.join(filter(None, [path, given.get("PATH", os.defpath)]))}
        hidden = ("HOME", "XDG_", "PIP_", "TMPDIR")
        env = {name: value for name, value in given.items() if not name.startswith(hidden)}
        env |= {"HOME": _HOME, "PATH": ":".join(filter(None, [path, SYSTEM_PATH])), "LANG": "C.UTF-8"}
        if self._library_path:
            env["LD_LIBRARY_PATH"] = self._library_path
        return env

    async def _checked(
        self,
        command: list[str],
        env: Mapping[str, str],
        folder: Path,
        emit: Emit,
        *,
        mounts: tuple[Mount, ...],
        network: bool = True,
    ) -> None:
        ended, said = await self._run(command, env, folder, emit, mounts=mounts, network=network)
        if ended.cut is FailureCode.TIMEOUT:
            raise CannotInstall(
                f"Installing took longer than {INSTALL_SECONDS} s.", "Name fewer packages, or try again."
            )
        if ended.cut is not None:
            used = {FailureCode.DISK_LIMIT: ended.overfull, FailureCode.MEMORY_LIMIT: f"{INSTALL_MEMORY_MIB} MiB"}
            raise CannotInstall(
                f"Installing went beyond its limit ({used.get(ended.cut) or ended.cut}).", "Name fewer packages."
            )
        if ended.code != 0:
            raise CannotInstall(
                explanation(said) or f"The installer ended with code {ended.code}.", "Check the names and versions."
            )

    async def _run(
        self,
        command: list[str],
        env: Mapping[str, str],
        folder: Path,
        emit: Emit,
        *,
        mounts: tuple[Mount, ...],
        network: bool,
    ) -> tuple[Ended, str]:
        output = BoundedOutput(emit, INSTALL_OUTPUT_BYTES)
        said: list[str] = []

        def write(_: str, text: str) -> bool:
            said.append(self._without_paths(text, folder))
            del said[:-200]
            output.write("progress", said[-1])
            return True

        settings = _settings(env) if network else ()
        program = Program(
            argv=command,
            env=env,
            cell=Cell(
                directory=Mount(folder, _FOLDER, writable=True),
                mounts=foreign((*mounts, *settings)),
                memory_mib=INSTALL_MEMORY_MIB,
                disk_mib=INSTALL_DISK_MIB,
                network=network,
            ),
            timeout_seconds=INSTALL_SECONDS,
        )
        ended = await supervise(self._confinement, program, write)
        if ended.never_started:
            raise CannotInstall(
                "The sandbox for the installer could not be set up.",
                "Run `anchor doctor` on the node.",
                FailureCode.RUNTIME_UNAVAILABLE,
            )
        return ended, "".join(said)

    def _without_paths(self, text: str, folder: Path) -> str:
        for path in (folder, self._state, Path.home(), _FOLDER, "/anchor"):
            text = text.replace(str(path), "…")
        return _CREDENTIALS.sub(r"\1", text)


def inside_name(path: Path, name: str) -> str:
    """The name in a cell for a path of the machine: its own if the cell has the system's part it lies in, else `name`,
    which keeps the owner's folders out of sight."""
    return str(path) if path.is_relative_to("/usr") or path.is_relative_to("/nix/store") else name


def foreign(mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """The mounts that a cell does not have already as a part of the system."""
    system = (Path("/usr"), Path("/nix/store"), Path("/etc/ssl/certs"))
    return tuple(
        mount
        for mount in mounts
        if mount.inside != str(mount.outside) or not any(map(mount.outside.is_relative_to, system))
    )


def explanation(said: str) -> str:
    """The lines of an installer's output that say why it failed, without its boilerplate."""
    lines = []
    for raw in said.splitlines():
        line = _NOISE.sub("", raw).strip()
        if line and not _BOILERPLATE.match(line) and line not in lines:
            lines.append(line)
    if len(lines) > _EXPLANATION_HEAD + _EXPLANATION_TAIL:
        # Both ends matter: resolvers begin with what they know and close with what follows from it.
        lines[_EXPLANATION_HEAD:-_EXPLANATION_TAIL] = ["…"]
    return "\n".join(lines)[:_EXPLANATION_CHARACTERS]


def _settings(env: Mapping[str, str]) -> tuple[Mount, ...]:
    """The owner's settings for installers: their files, and the files and folders that they and the environment name
    (certificates, packages kept on disk). Of the home directory only these."""
    home = Path.home()
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = {
        f"{_HOME}/.npmrc": Path(os.environ.get("NPM_CONFIG_USERCONFIG") or home / ".npmrc"),
        f"{_HOME}/.netrc": home / ".netrc",
        f"{_HOME}/.config/uv/uv.toml": config / "uv/uv.toml",
        "/etc/uv/uv.toml": Path("/etc/uv/uv.toml"),
        "/etc/npmrc": Path("/etc/npmrc"),
    }
    there = {inside: path for inside, path in files.items() if path.is_file()}
    texts = [value for name, value in env.items() if name.lower().startswith(_NAMING)]
    texts += [path.read_text(errors="replace") for path in there.values()]
    # An index on disk is a folder of lists that lead to archives beside it.
    named = {Path(path).parent if url else Path(path) for text in texts for url, path in _PATH.findall(text)}
    kept = sorted(path for path in named if path.exists() and path not in (home, Path("/"), *home.parents))
    return (*(Mount(path, inside) for inside, path in there.items()), *(Mount(path, str(path)) for path in kept))


_NAMING = ("uv_", "npm_config_", "ssl_cert", "node_extra_ca_certs", "requests_ca_bundle", "curl_ca_bundle")
"""Beginnings of the variables in which installers are told of files."""
