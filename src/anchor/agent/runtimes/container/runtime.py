"""The container runtime: a program in an image, confined by the container engine that this machine has."""

import asyncio
import hashlib
import os
import re
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Final

import msgspec

from anchor.agent.job import BoundedOutput, Emit, Job, Ran, failed
from anchor.agent.runtimes.container.engine import INPUTS, NOT_FOUND, Container, Engine, find, sweep, tell, trouble
from anchor.agent.runtimes.container.process import contain
from anchor.agent.runtimes.native import answer
from anchor.agent.runtimes.under_way import UnderWay
from anchor.agent.sandbox.supervise import Ended
from anchor.agent.workers import endings
from anchor.core.errors import FailureCode
from anchor.core.spec import Payload

PULL_SECONDS: Final = 600.0
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
_ENGINE_FAILED, _NOT_RUNNABLE = 125, 126


def offer() -> tuple[str | None, str]:
    """The engine and its version, or None and what to do. Runs programs: call it in a thread."""
    found = find()
    if isinstance(found, str):
        return None, found
    wrong = trouble(found)
    return (None, wrong) if wrong else (f"{found.kind} {found.version}", "")


class Containers:
    """Runs programs in containers. `state` is the agent's directory; `network` is whether its owner lets tasks have the
    network, which is also what images are fetched by."""

    name = "container"

    def __init__(self, state: Path, *, network: bool = False) -> None:
        self._runs = state / "containers"
        self._label = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:16]
        self._network = network
        self._engine: Engine | None = None
        self._under_way = UnderWay()
        self._pulls: dict[str, asyncio.Lock] = {}

    def wants_directory(self, _: Payload) -> bool:
        """Always: it is where a program starts."""
        return True

    async def start(self) -> None:
        """Find the engine, and clear what an agent that was killed has left."""
        found = await asyncio.to_thread(find)
        shutil.rmtree(self._runs, ignore_errors=True)
        self._runs.mkdir(parents=True)
        if isinstance(found, Engine):
            self._engine = found
            await sweep(found, self._label)

    async def run(self, job: Job, emit: Emit) -> Ran:
        """Run one container to its end; fetching its image first does not count against its time."""
        return await self._under_way.run(self._run(job, emit))

    async def stop(self) -> None:
        """End every running container; their `run` answers `released`."""
        await self._under_way.stop()

    async def _run(self, job: Job, emit: Emit) -> Ran:
        engine, payload = self._engine, job.payload
        if engine is None:
            return failed(FailureCode.RUNTIME_UNAVAILABLE, "No container engine answers on this node.")
        if (wrong := _fault_in(payload)) is not None:
            return failed(FailureCode.INVALID_PAYLOAD, wrong)
        if payload.network and not self._network:
            return failed(FailureCode.RUNTIME_UNAVAILABLE, "The owner of this node gives tasks no network.")
        image = payload.image or ""
        if (lack := await self._fetched(engine, image)) is not None:
            return lack
        output = BoundedOutput(emit, job.limits.output_bytes)

        def write(stream: str, text: str) -> bool:
            output.write(stream, text)
            return not output.truncated

        with tempfile.TemporaryDirectory(dir=self._runs) as folder:
            control = Path(folder)
            await asyncio.to_thread(_hand_over, engine, job, control)
            container = Container(
                name=f"anchor-{uuid.uuid4().hex}",
                label=self._label,
                image=image,
                command=[*(payload.command or ()), *map(str, payload.args)],
                directory=job.directory,
                variables=control / "variables",
                memory_mib=job.limits.memory_mib,
                timeout_seconds=job.limits.timeout_seconds,
                network=payload.network,
                has_stdin=(control / "stdin").exists(),
                inputs=control / "inputs.json" if job.inputs else None,
            )
            ended = await contain(engine, container, control / "stdin" if container.has_stdin else None, write)
        ran = await asyncio.to_thread(_judged, job, ended)
        return msgspec.structs.replace(ran, usage=ended.usage, output_truncated=output.truncated)

    async def _fetched(self, engine: Engine, image: str) -> Ran | None:
        """Make sure that the image is here; what to answer if it is not to be had."""
        async with self._pulls.setdefault(image, asyncio.Lock()):
            if (await tell(engine, "image", "inspect", "--format", "{{.Id}}", "--", image))[0] == 0:
                return None
            if not self._network:
                return failed(
                    FailureCode.DEPENDENCY_ERROR,
                    f"The image {image} is not on this node, and its owner does not let it be fetched.",
                    f"On the node: `{engine.kind} pull {image}`, or allow_network.",
                )
            code, said = await tell(engine, "pull", "--quiet", "--", image, seconds=PULL_SECONDS)
        if code == 0:
            return None
        return failed(FailureCode.DEPENDENCY_ERROR, f"The image {image} could not be fetched: {said[:500]}")


def _fault_in(payload: Payload) -> str | None:
    if payload.image is None:
        return "A container task needs payload.image."
    if not _IMAGE.fullmatch(payload.image):
        return f"{payload.image!r} is not the name of an image; write name:tag or registry/name@sha256:…."
    if payload.source_code is not None:
        return "A container runs a command of its image; sourceCode goes with the other runtimes."
    if any("\n" in value or "\r" in value for value in payload.env.values()):
        return "An environment variable of a container cannot hold a line break."
    return None


def _hand_over(engine: Engine, job: Job, control: Path) -> None:
    """Write what goes in, and make the job's directory that of the user the container runs as."""
    payload = job.payload
    own = {"HOME": "/tmp", "TMPDIR": "/tmp", "ANCHOR_TASK": job.task, "ANCHOR_ATTEMPT": str(job.attempt)}
    if job.inputs:
        own["ANCHOR_INPUTS"] = INPUTS
        (control / "inputs.json").write_bytes(job.inputs)
        (control / "inputs.json").chmod(0o644)
    lines = [f"{name}={value}\n" for name, value in {**payload.env, **own}.items()]
    (control / "variables").write_text("".join(lines), "utf-8")
    if payload.stdin is not None:
        (control / "stdin").write_bytes(payload.stdin.encode())
    elif payload.input is not None:
        (control / "stdin").write_bytes(msgspec.json.encode(payload.input))
    if os.getuid() == 0:
        for path in (job.directory, *job.directory.rglob("*")):
            os.chown(path, *engine.user, follow_symlinks=False)


def _judged(job: Job, ended: Ended) -> Ran:
    last = (ended.stderr_tail.strip().splitlines() or [""])[-1].strip()[:500]
    if ended.cut is FailureCode.MEMORY_LIMIT:
        ending = endings.out_of_memory(job.limits.memory_mib)
        return failed(FailureCode.MEMORY_LIMIT, ending.message, ending.hint)
    if ended.cut is None and ended.code in (_NOT_RUNNABLE, NOT_FOUND, _ENGINE_FAILED):
        what = (job.payload.command or ["the image's own command"])[0]
        if ended.code == NOT_FOUND:
            return failed(FailureCode.SCRIPT_ERROR, f"{what} was not found in the image (exit code 127).")
        if ended.code == _NOT_RUNNABLE and not last.startswith("Error: OCI runtime error"):
            return failed(FailureCode.SCRIPT_ERROR, f"{what} cannot be run in the image (exit code 126).")
        return failed(FailureCode.CRASHED, f"The container engine could not run it: {last.removeprefix('Error: ')}")
    command = job.payload.command or [job.payload.image or ""]
    with_command = msgspec.structs.replace(job, payload=msgspec.structs.replace(job.payload, command=command))
    return answer.read(with_command, ended, job.directory / "none")
