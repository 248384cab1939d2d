"""Does the work of one attempt: brings what it needs, runs it in its runtime, and keeps what it leaves."""

import base64
import errno
from collections.abc import Callable, Mapping

import msgspec
import structlog

from anchor.agent.files.jobs import JobFiles
from anchor.agent.files.room import NoRoom
from anchor.agent.job import Emit, Job, Ran, Runtime, failed
from anchor.agent.parcels import NotTaken, Parcels
from anchor.core.attempt import Outcome, OutputFile, Result
from anchor.core.errors import AnchorError, FailureCode
from anchor.core.ids import wire_id
from anchor.core.spec import Payload, blob_of
from anchor.wire.link import Assignment

log = structlog.get_logger("anchor.work")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_payload = msgspec.json.Decoder(Payload).decode

Count = Callable[[int], None]
"""Told how many bytes more were brought, also for an attempt that comes to nothing."""


class Work:
    """What the attempts of this node are done with: its runtimes, its way to the server's blobs, its disk."""

    def __init__(self, runtimes: Mapping[str, Runtime], parcels: Parcels, files: JobFiles) -> None:
        self._runtimes = runtimes
        self._parcels = parcels
        self.files = files

    async def do(self, item: Assignment, emit: Emit, count_in: Count) -> tuple[Ran, Result | None]:
        """How it ended, whatever happens, and with which result. Cancelling it kills what it started."""
        try:
            return await self._do(item, emit, count_in)
        except NoRoom as error:
            ran = failed(FailureCode.RUNTIME_UNAVAILABLE, error.message, error.hint)
        except NotTaken as error:
            ran = failed(FailureCode.RESULT_TOO_LARGE, f"The result was not kept. {error.message}", error.hint)
        except AnchorError as error:
            ran = failed(FailureCode.INPUT_UNAVAILABLE, error.message, error.hint)
        except Exception as error:
            log.exception("runtime failed", task=item.task, runtime=item.runtime)
            if isinstance(error, OSError) and error.errno in _FULL:
                ran = failed(FailureCode.RUNTIME_UNAVAILABLE, "This node's disk is full.")
            else:
                ran = failed(FailureCode.CRASHED, f"The {item.runtime} runtime failed on this node.")
        return ran, None

    async def _do(self, item: Assignment, emit: Emit, count_in: Count) -> tuple[Ran, Result | None]:
        content = item.payload or await self._parcels.fetch(item.payload_blob)
        count_in(len(content))
        if item.runtime == "noop":
            return Ran(outcome=Outcome.SUCCEEDED), await self._parcels.pack(echo(content).json)
        runtime = self._runtimes.get(item.runtime)
        if runtime is None:
            return failed(FailureCode.RUNTIME_UNAVAILABLE, f"This node has no runtime {item.runtime}."), None
        payload = _payload(content)
        inputs = await self.files.values(payload)
        if isinstance(inputs, Ran):
            return inputs, None
        count_in(len(inputs))
        job = Job(
            task=wire_id("task", item.task),
            attempt=item.attempt,
            payload=payload,
            limits=self.files.within_share(item.limits),
            directory=self.files.place(item.task, item.attempt),
            module=await self._module(payload.module, count_in) if payload.module is not None else b"",
            gpu=item.gpu,
            inputs=inputs,
        )
        if not (job.has_directory or runtime.wants_directory(payload)):
            return await self._perform(job, runtime, emit, count_in)
        async with self.files.directory(job):
            return await self._perform(job, runtime, emit, count_in)

    async def _module(self, module: str, count_in: Count) -> bytes:
        """The bytes of a module given as base64 or as the name of a blob."""
        digest = blob_of(module)
        if digest is None:
            return base64.b64decode(module)
        content = await self.files.module(digest)
        count_in(len(content))
        return content

    async def _perform(self, job: Job, runtime: Runtime, emit: Emit, count_in: Count) -> tuple[Ran, Result | None]:
        """Run a job between its input files and its output files."""
        if job.has_directory:
            brought = await self.files.bring(job)
            if isinstance(brought, Ran):
                return brought, None
            count_in(brought)
        ran = await runtime.run(job, emit)
        if ran.outcome is not Outcome.SUCCEEDED:
            return ran, None
        files: tuple[OutputFile, ...] = ()
        if job.payload.outputs:
            kept = await self.files.keep(job)
            if isinstance(kept, Ran):
                return msgspec.structs.replace(kept, usage=ran.usage, output_truncated=ran.output_truncated), None
            files = kept
        return ran, msgspec.structs.replace(await self._parcels.pack(ran.value), files=files)


class _NoopPayload(msgspec.Struct):
    input: msgspec.Raw = msgspec.Raw(b"null")


_noop = msgspec.json.Decoder(_NoopPayload).decode


def echo(payload: bytes) -> Result:
    """The result of a noop: its input."""
    value = bytes(_noop(payload).input)
    return Result(json=value, size=len(value))
