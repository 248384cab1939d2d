"""The working directories of jobs, with everything that goes into them and comes out of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import msgspec

from anchor.agent.budget import Budget
from anchor.agent.files import outputs, staging
from anchor.agent.files.inputs import Inputs
from anchor.agent.files.named import spliced
from anchor.agent.files.outputs import OutputProblem
from anchor.agent.files.removal import remove
from anchor.agent.files.room import inputs_bytes_max, jobs_mib_max
from anchor.agent.job import Job, Ran, failed
from anchor.agent.parcels import Parcels
from anchor.agent.threads import in_thread
from anchor.core.attempt import OutputFile
from anchor.core.errors import FailureCode
from anchor.core.file_names import clash_among, fault_in_name, fault_in_pattern
from anchor.core.pieces import piece_of
from anchor.core.spec import MIB, Payload, ResolvedLimits

_OPEN_TO_READ = 0o755


class JobFiles:
    """The files of all jobs of one agent. `jobs` holds their directories, and is emptied at start; `inputs` what is
    kept of their input files. `disk_mib` is the owner's share of the disk, None where nothing was said."""

    def __init__(self, parcels: Parcels, jobs: Path, inputs: Path, *, disk_mib: int | None = None) -> None:
        self._parcels = parcels
        self._jobs = jobs
        self.share = None if disk_mib is None else Budget(jobs_mib_max(disk_mib))
        """What the directories of jobs, and of apps, share; None where the owner has set no share."""
        self._inputs = Inputs(inputs, parcels, bytes_max=inputs_bytes_max(disk_mib))
        remove(jobs)
        jobs.mkdir(parents=True, exist_ok=True)

    def place(self, task: int, attempt: int) -> Path:
        """Where the directory of an attempt is, or would be."""
        return self._jobs / f"{task}-{attempt}"

    async def module(self, digest: str) -> bytes:
        """The bytes of a module that is a blob, kept as input files are. Unavailable, NoRoom."""
        return await self._inputs.read(digest)

    async def values(self, payload: Payload) -> bytes | Ran:
        """A payload's inputs by name as one JSON object, empty where there are none; or why the task cannot run.

        Unavailable where a blob cannot be fetched, NoRoom or OSError where the disk does not take it.
        """
        return await spliced(payload.inputs, self._inputs) if payload.inputs else b""

    def within_share(self, limits: ResolvedLimits) -> ResolvedLimits:
        """Limits cut to what the owner lets a job have of the disk."""
        most = limits.disk_mib if self.share is None else min(limits.disk_mib, self.share.whole_mib)
        return limits if most == limits.disk_mib else msgspec.structs.replace(limits, disk_mib=most)

    @asynccontextmanager
    async def directory(self, job: Job) -> AsyncIterator[None]:
        """The directory of a job, gone when the context is left, with whatever the job has put there. It waits for its
        turn where the limits of those that are there cover the owner's share of the disk."""
        async with nullcontext() if self.share is None else self.share.share(job.limits.disk_mib):
            try:
                await in_thread(job.directory.mkdir, _OPEN_TO_READ)
                yield
            finally:
                await in_thread(remove, job.directory)

    async def bring(self, job: Job) -> int | Ran:
        """Copy the input files of a job into its directory; how many bytes they are, or why it cannot run.

        Unavailable where one cannot be fetched, NoRoom or OSError where the disk does not take them.
        """
        files = job.payload.files
        if (wrong := _fault_in(job.payload)) is not None:
            return failed(FailureCode.INVALID_PAYLOAD, wrong)
        if not files:
            return 0
        pieces = {name: piece.name for name, reference in files.items() if (piece := piece_of(reference)) is not None}
        async with self._inputs.held(pieces.values()) as held:
            size = sum(held[piece][1] for piece in pieces.values())
            if size > job.limits.disk_mib * MIB:
                return failed(
                    FailureCode.DISK_LIMIT,
                    f"The input files have {size / MIB:.1f} MiB, more than the limit of {job.limits.disk_mib} MiB.",
                    "Raise limits.diskMb, or bring less.",
                )
            await self._inputs.require_room(size)
            sources = {name: held[piece][0] for name, piece in pieces.items()}
            try:
                await in_thread(staging.stage, job.directory, sources)
            except FileExistsError as error:
                return failed(FailureCode.INVALID_PAYLOAD, f"Two input files have one name here: {error.filename}.")
        return size

    async def keep(self, job: Job) -> tuple[OutputFile, ...] | Ran:
        """Bring what a job that succeeded has left for it to the server; the files, or why they cannot be kept."""
        try:
            return await outputs.keep(
                job.directory, job.payload.outputs, self._parcels, bytes_max=job.limits.disk_mib * MIB
            )
        except OutputProblem as problem:
            return failed(problem.code, problem.message, problem.hint)


def _fault_in(payload: Payload) -> str | None:
    """What is wrong with names and patterns: the server has looked at them, and is not the owner of this machine."""
    for name, blob in payload.files.items():
        if (wrong := fault_in_name(name)) is not None:
            return f"The input file name {name!a} {wrong}."
        if piece_of(blob) is None:
            return f"The input file {name} is not sha256:… of a blob, nor a piece of one."
    if (clash := clash_among(payload.files)) is not None:
        return f"The input file {clash[0]} is also the folder of {clash[1]}."
    for pattern in payload.outputs:
        if (wrong := fault_in_pattern(pattern)) is not None:
            return f"The output pattern {pattern!a} {wrong}."
    return None
