"""The container engine of this machine, Podman or Docker, by its command line: one container at a time."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from anchor.agent.sandbox.confinement import FILES_OPEN_MAX, PROCESSES_MAX

ANSWER_SECONDS: Final = 10
"""How long an engine may take to say what it is."""
TRIAL_SECONDS: Final = 20
REMOVE_SECONDS: Final = 30
NOT_FOUND: Final = 127
"""What an engine ends with whose container has no such program."""
LABEL: Final = "anchor.agent"
DIRECTORY: Final = "/job"
INPUTS: Final = "/anchor/inputs.json"
TMP_MIB: Final = 64
NOBODY: Final = 65534
_WHAT_PODMAN_IS: Final = "{{json .Host.CgroupControllers}} {{.Host.Security.Rootless}} {{.Version.Version}}"
_WHAT_DOCKER_IS: Final = "{{.MemoryLimit}} {{.PidsLimit}} {{.ServerVersion}}"


class Engine(msgspec.Struct, frozen=True):
    """An engine that answers. `rootless` is a Podman of an ordinary user, whose containers map that user's own id."""

    kind: Literal["podman", "docker"]
    path: str
    version: str
    rootless: bool = False

    @property
    def user(self) -> tuple[int, int]:
        """Whom a task's processes are, and whose the files in its directory have to be: never root."""
        return (os.getuid(), os.getgid()) if os.getuid() else (NOBODY, NOBODY)


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: `command` goes to the image's entry point; `variables` is a file of NAME=value lines; `inputs` one
    that the program finds at INPUTS."""

    name: str
    label: str
    image: str
    command: Sequence[str]
    directory: Path
    variables: Path
    memory_mib: int
    timeout_seconds: float
    network: bool
    has_stdin: bool
    inputs: Path | None = None


def find() -> Engine | str:
    """The engine of this machine, Podman first, or why there is none. Runs programs: call it in a thread."""
    if os.name != "posix":
        return "containers are for Linux and macOS in this version"
    whys = []
    for kind, ask in (("podman", _podman), ("docker", _docker)):
        path = shutil.which(kind)
        if path is None:
            continue
        found = ask(path)
        if isinstance(found, Engine):
            return found
        whys.append(f"{kind} {found}")
    return "; ".join(whys) or "neither podman nor docker is installed; install one of them if you want containers"


def _podman(path: str) -> Engine | str:
    said = _info(path, _WHAT_PODMAN_IS)
    if isinstance(said, Exception):
        return f"does not answer ({said})"
    controllers, rootless, version = said.rsplit(" ", 2)
    missing = {"memory", "pids"} - set(json.loads(controllers) or [])
    if missing:
        return f"cannot limit {' and '.join(sorted(missing))} here; it needs control groups delegated to its user"
    return Engine("podman", path, version, rootless == "true")


def _docker(path: str) -> Engine | str:
    said = _info(path, _WHAT_DOCKER_IS)
    if isinstance(said, Exception):
        return f"does not answer ({said})"
    memory, pids, version = said.split(" ", 2)
    if (memory, pids) != ("true", "true"):
        return "cannot limit memory and processes here; its daemon needs control groups"
    return Engine("docker", path, version)


def trouble(engine: Engine) -> str:
    """What is in the way of running containers here, though the engine answers; empty if nothing is. Docker cannot be
    asked without an image. Runs programs: call it in a thread."""
    if engine.kind != "podman":
        return ""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as nothing:
        line = [engine.path, "run", "--rm", *_limits(64, 16), "--network", "none", "--rootfs", nothing, "/nothing"]
        try:
            tried = subprocess.run(line, capture_output=True, text=True, timeout=TRIAL_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"podman cannot run a container here: {error}"
    if tried.returncode == NOT_FOUND:
        return ""  # so it came as far as looking for the program
    said = (tried.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("Error: ")
    return f"podman cannot run a container here: {said}"


def _limits(memory_mib: int, processes: int) -> list[str]:
    """What holds every container, as options."""
    memory = f"{memory_mib}m"
    line = ["--cap-drop", "all", "--security-opt", "no-new-privileges"]
    line += ["--memory", memory, "--memory-swap", memory, "--pids-limit", str(processes)]
    line += ["--ulimit", "core=0:0", "--ulimit", f"nofile={FILES_OPEN_MAX}:{FILES_OPEN_MAX}"]
    return [*line, "--ulimit", f"nproc={2 * PROCESSES_MAX}:{2 * PROCESSES_MAX}", "--log-driver", "none"]


def _info(path: str, wanted: str) -> str | Exception:
    try:
        asked = subprocess.run(
            [path, "info", "--format", wanted], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return error
    if asked.returncode != 0 or asked.stdout.count(" ") < 2:
        return OSError((asked.stderr.strip().splitlines() or ["no message"])[-1])
    return asked.stdout.strip()


def run_line(engine: Engine, container: Container) -> list[str]:
    """The command that runs a container with nothing but its image, its directory and a small /tmp."""
    uid, gid = engine.user
    line = [engine.path, "run", "--rm", "--name", container.name, "--label", f"{LABEL}={container.label}"]
    line += ["--pull", "never", "--hostname", "anchor", "--user", f"{uid}:{gid}"]
    if engine.rootless:
        line += ["--userns", "keep-id"]
    line += ["--read-only", *_limits(container.memory_mib, PROCESSES_MAX)]
    # Podman would give it the content and the rights of the image's own /tmp.
    own = ",notmpcopyup" if engine.kind == "podman" else ""
    line += ["--tmpfs", f"/tmp:rw,nosuid,nodev,mode=1777,size={min(TMP_MIB, container.memory_mib)}m{own}"]
    line += ["--volume", f"{container.directory}:{DIRECTORY}", "--workdir", DIRECTORY]
    line += ["--env-file", str(container.variables)]
    if container.inputs is not None:
        line += ["--volume", f"{container.inputs}:{INPUTS}:ro"]
    if not container.network:
        line += ["--network", "none"]
    if container.has_stdin:
        line.append("--interactive")
    if engine.kind == "podman":
        # For the case that the agent is killed and nobody else looks at the time.
        line += ["--timeout", str(int(container.timeout_seconds) + 5), "--image-volume", "ignore"]
    return [*line, "--", container.image, *container.command]


async def tell(engine: Engine, *words: str, seconds: float = REMOVE_SECONDS) -> tuple[int, str]:
    """Have the engine do something; its exit code and its last line. A code of -1 is one that took too long."""
    process = await asyncio.create_subprocess_exec(
        engine.path,
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(seconds):
            said, _ = await process.communicate()
    except (TimeoutError, asyncio.CancelledError) as given_up:
        with contextlib.suppress(ProcessLookupError):  # it may have ended in this very moment
            process.kill()
        await process.communicate()
        if isinstance(given_up, TimeoutError):
            return -1, f"it took more than {seconds:g} s"
        raise
    lines = said.decode(errors="replace").strip().splitlines()
    return process.returncode or 0, lines[-1] if lines else ""


async def remove(engine: Engine, name: str) -> None:
    """Kill a container with all that is in it, and leave nothing of it; nothing happens where there is none."""
    # Podman's rm asks politely first and waits ten seconds for an answer.
    await tell(engine, "kill", "--signal", "KILL", name)
    await tell(engine, "rm", "--force", "--volumes", name)


async def sweep(engine: Engine, label: str) -> None:
    """Remove the containers that an agent with this label left when it was killed."""
    process = await asyncio.create_subprocess_exec(
        *(engine.path, "ps", "--all", "--quiet", "--filter", f"label={LABEL}={label}"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    said, _ = await process.communicate()
    for name in said.decode().split():
        await remove(engine, name)
