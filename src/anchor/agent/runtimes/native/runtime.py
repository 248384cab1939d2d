"""The native runtime: JavaScript with npm packages, Python with pip packages, or any program, confined as well as the
machine allows."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from anchor.agent.files.removal import remove
from anchor.agent.job import BoundedOutput, Emit, Job, Ran, failed
from anchor.agent.policy import Policy
from anchor.agent.runtimes.native import answer, progress
from anchor.agent.runtimes.native.environments import Environments
from anchor.agent.runtimes.native.installer import SYSTEM_PATH, CannotInstall, foreign
from anchor.agent.runtimes.native.languages import provided
from anchor.agent.runtimes.native.toolchains import Toolchains, python_toolchain
from anchor.agent.runtimes.under_way import UnderWay
from anchor.agent.sandbox import cgroup
from anchor.agent.sandbox.confinement import Cell, Confinement, Mount
from anchor.agent.sandbox.probe import probe
from anchor.agent.sandbox.supervise import Program, supervise
from anchor.core.errors import FailureCode
from anchor.core.spec import Payload

REPORT = "report.json"
"""What the runner of a script writes; beside the job's directory, so that a task does not meet it by chance."""
_PROGRESS = "progress"


def offer(state: Path, policy: Policy = Policy()) -> tuple[str | None, str]:  # noqa: B008 - it is frozen
    """The versions native tasks get here, or None and why there are none. Runs programs: call it in a thread."""
    confinement = probe()
    if (why := refusal(confinement, policy)) is not None:
        return None, why
    node = Toolchains(state / "toolchains").installed_node()
    versions = [f"node {node.version}" if node else "node on demand", f"python {python_toolchain().version}"]
    return ", ".join([*versions, confinement.level]), confinement.why


def refusal(confinement: Confinement, policy: Policy) -> str | None:
    """Why neither native tasks nor apps run with this confinement; None if they do."""
    if confinement.level == "confined" or (confinement.level == "process" and policy.unconfined):
        return None
    return f"{confinement.why}. {confinement.fix}".strip() if confinement.fix else confinement.why


class Native:
    """Runs native jobs. `state` is the agent's directory for toolchains, environments, caches and running jobs.

    Without full confinement they run only where `policy` says so. `confinement` and `path` (where Node is looked for)
    are found out if not given.
    """

    name = "native"

    def __init__(
        self,
        state: Path,
        *,
        policy: Policy = Policy(),  # noqa: B008 - it is frozen
        confinement: Confinement | None = None,
        path: str | None = None,
    ) -> None:
        self._state = state
        self._runs = state / "runs"
        self._policy = policy
        self._confinement = confinement or Confinement("none", "the agent has not started them")
        self._probes = confinement is None
        self._path = path
        self._environments: Environments | None = None
        self._under_way = UnderWay()

    def wants_directory(self, _: Payload) -> bool:
        """Always: it is where a program starts."""
        return True

    async def start(self) -> None:
        """Find out how tasks can be confined, and clear what an agent that was killed has left."""
        if self._probes:
            self._confinement = await asyncio.to_thread(probe)
        self._environments = Environments(self._state, self._confinement, path=self._path)
        await asyncio.to_thread(self._clear, self._environments)

    def _clear(self, environments: Environments) -> None:
        remove(self._runs)
        self._runs.mkdir(parents=True)
        environments.prepare()
        cgroup.sweep(self._confinement.cgroup)

    async def run(self, job: Job, emit: Emit) -> Ran:
        """Run one job to its end; installing its packages first does not count against its time."""
        return await self._under_way.run(self._run(job, emit))

    async def stop(self) -> None:
        """End every running job; their `run` answers `released`."""
        await self._under_way.stop()

    async def _run(self, job: Job, emit: Emit) -> Ran:
        environments = self._environments
        why = refusal(self._confinement, self._policy)
        if why is not None or environments is None:
            hint = "Run `anchor doctor` on the node."
            return failed(FailureCode.RUNTIME_UNAVAILABLE, f"Native tasks do not run here: {why}", hint)
        if (wrong := _fault_in(job)) is not None:
            return failed(FailureCode.INVALID_PAYLOAD, wrong)
        if (forbidden := _forbidden(job, self._policy)) is not None:
            return forbidden
        output = BoundedOutput(emit, job.limits.output_bytes)

        def write(stream: str, text: str) -> bool:
            output.write(stream, text)
            return not output.truncated

        with self._control() as control, progress.listening(control / _PROGRESS, emit):
            try:
                async with self._program(job, control, environments, emit) as program:
                    ended = await supervise(self._confinement, program, write)
            except CannotInstall as error:
                return failed(error.code, error.message, error.hint)
            ran = await asyncio.to_thread(answer.read, job, ended, control / REPORT)
        return msgspec.structs.replace(ran, usage=ended.usage, output_truncated=output.truncated)

    @contextlib.contextmanager
    def _control(self) -> Iterator[Path]:
        """A folder for what passes between a runner and the agent. What cannot be removed is when the agent starts."""
        folder = Path(tempfile.mkdtemp(dir=self._runs))
        try:
            yield folder
        finally:
            remove(folder)

    @asynccontextmanager
    async def _program(self, job: Job, control: Path, environments: Environments, emit: Emit) -> AsyncIterator[Program]:
        """What to start for a job; its packages are kept while the context is open."""
        payload = job.payload
        directory = Mount(job.directory, "/job", writable=True)
        argv = [*(payload.command or ()), *map(str, payload.args)]
        pipe = Mount(control / _PROGRESS, f"/anchor/io/{_PROGRESS}", writable=True, counted=False)
        mounts: tuple[Mount, ...] = (pipe,)
        path: tuple[str, ...] = ()
        env = {"HOME": directory.seen(self._confinement), "LANG": "C.UTF-8", "USER": "anchor", "LOGNAME": "anchor"}
        env["TMPDIR"] = "/tmp" if self._confinement.level == "confined" else str(control)
        ours = {"ANCHOR_TASK": job.task, "ANCHOR_ATTEMPT": str(job.attempt)}
        if payload.command is not None and job.inputs:
            inputs = _inputs_file(job, control)
            mounts += (inputs,)
            ours["ANCHOR_INPUTS"] = inputs.seen(self._confinement)
        async with AsyncExitStack() as stack:
            if payload.command is None or payload.dependencies:
                language = payload.language or "javascript"
                ready = await stack.enter_async_context(provided(language, job, environments, self._confinement, emit))
                mounts, path = (*mounts, *ready.mounts), ready.path
                env |= ready.env
                if payload.command is None:
                    files = _script_files(job, control, ready.runner)
                    mounts += files
                    argv = [*ready.starter, *(file.seen(self._confinement) for file in files), *argv]
            env["PATH"] = ":".join([*path, SYSTEM_PATH])
            yield Program(
                argv=argv,
                env={**env, **payload.env, **ours, progress.VARIABLE: pipe.seen(self._confinement)},
                cell=Cell(
                    directory=directory,
                    mounts=foreign(mounts),
                    memory_mib=job.limits.memory_mib,
                    disk_mib=job.limits.disk_mib,
                    network=payload.network,
                    gpu=job.gpu,
                ),
                timeout_seconds=job.limits.timeout_seconds,
                stdin=_stdin(job, control),
            )


def _fault_in(job: Job) -> str | None:
    payload = job.payload
    if payload.command is None and payload.source_code is None:
        return "A native task needs sourceCode or command."
    if payload.command is not None and payload.dependencies and payload.language is None:
        return "A command with dependencies needs a language, which says where they come from."
    return None


def _forbidden(job: Job, policy: Policy) -> Ran | None:
    """The refusal of a job that wants what this node's owner does not give; another node may."""
    payload = job.payload
    wanted = ""
    if payload.network and not policy.network:
        wanted = "the network"
    elif job.gpu and not policy.gpu:
        wanted = "the GPU"
    elif payload.command and policy.programs is not None and payload.command[0] not in policy.programs:
        wanted = f"the program {payload.command[0]}"
    if not wanted:
        return None
    return failed(
        FailureCode.RUNTIME_UNAVAILABLE,
        f"The owner of this node does not let tasks use {wanted}.",
        "It may run on another node; the owner can allow it in the agent's policy.",
    )


def _script_files(job: Job, control: Path, runner: str) -> tuple[Mount, ...]:
    """The runner, what it is told, and the file for its answer; in the order of its arguments."""
    told = {
        "source": job.payload.source_code,
        "input": job.payload.input,
        "inputs": job.inputs_as_json,
        "anchor": {"task": job.task, "attempt": job.attempt},
    }
    (control / "job.json").write_bytes(msgspec.json.encode(told))
    (control / REPORT).touch()
    return (
        Mount(Path(__file__).parent / runner, f"/anchor/run/{runner}"),
        Mount(control / "job.json", "/anchor/io/job.json"),
        Mount(control / REPORT, f"/anchor/io/{REPORT}", writable=True),
    )


def _inputs_file(job: Job, control: Path) -> Mount:
    """Where a command finds its inputs by name."""
    (control / "inputs.json").write_bytes(job.inputs)
    return Mount(control / "inputs.json", "/anchor/io/inputs.json")


def _stdin(job: Job, control: Path) -> Path | None:
    payload = job.payload
    if payload.stdin is not None:
        text = payload.stdin.encode()
    elif payload.command is not None and payload.input is not None:
        text = msgspec.json.encode(payload.input)
    else:
        return None
    file = control / "stdin"
    file.write_bytes(text)
    return file
