"""What every runtime is: it takes a Job, says what it prints, and ends in exactly one Outcome."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from anchor.core.attempt import Outcome, Reason, Usage
from anchor.core.errors import FailureCode
from anchor.core.spec import Payload, ResolvedLimits

Emit = Callable[[str, str], None]
"""Called with a stream (`stdout`, `stderr` or `progress`) and text, from the agent's event loop. A share of the work
done is a progress text made by `core.progress.progress_text`."""

RESULT_BYTES_MAX = 16 * 1024 * 1024
"""The largest JSON result an attempt may return."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt as a runtime sees it. `module` holds the bytes of a wasm module, `inputs` the values of
    `payload.inputs` as one JSON object (empty where there are none).

    `directory` is the job's own working directory with its input files in it. The executor makes it where there are
    files to bring or to keep, or where the runtime `wants_directory`; it collects the outputs and removes it.
    """

    task: str
    attempt: int
    payload: Payload
    limits: ResolvedLimits
    directory: Path
    module: bytes = b""
    gpu: bool = False
    inputs: bytes = b""

    @property
    def has_directory(self) -> bool:
        """Whether the directory is there only for what the payload says of files."""
        return bool(self.payload.files or self.payload.outputs)

    @property
    def inputs_as_json(self) -> msgspec.Raw:
        """The inputs as code meets them where all it is given is JSON: an empty object where there are none."""
        return msgspec.Raw(self.inputs or b"{}")


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended. `value` is the result as JSON bytes (b"null" where the code returned nothing) on success; a view
    of them spares a large one's copy."""

    outcome: Outcome
    value: bytes | memoryview = b"null"
    reason: Reason | None = None
    usage: Usage = Usage()
    output_truncated: bool = False


class Runtime(Protocol):
    """Runs jobs. `run` never raises for anything the job did: that is an Outcome with a reason.

    Cancelling the coroutine kills everything the job started before the cancellation is let through; so does running
    past `limits.timeout_seconds`, which ends as TIMED_OUT. Output beyond `limits.output_bytes` is dropped and marked,
    and never an error by itself.
    """

    name: str

    def wants_directory(self, payload: Payload) -> bool:
        """Whether jobs with this payload need a working directory even without files to bring or to keep."""

    async def start(self) -> None:
        """Make ready (pre-start workers); called once before the first job."""

    async def run(self, job: Job, emit: Emit) -> Ran:
        """Run one job to its end."""

    async def stop(self) -> None:
        """End every process this runtime started."""


class Offer(msgspec.Struct, frozen=True):
    """What a machine can run: version text by runtime, for each runtime it lacks why and what to install, and for each
    it has how well its tasks are confined."""

    runtimes: dict[str, str]
    missing: dict[str, str]
    confinement: dict[str, str] = {}


def failed(code: FailureCode, message: str, hint: str = "", usage: Usage = Usage()) -> Ran:  # noqa: B008
    """A Ran for a failure; the outcome follows from the code."""
    outcome = {
        FailureCode.TIMEOUT: Outcome.TIMED_OUT,
        FailureCode.MEMORY_LIMIT: Outcome.LIMIT_EXCEEDED,
        FailureCode.OUTPUT_LIMIT: Outcome.LIMIT_EXCEEDED,
        FailureCode.PROCESS_LIMIT: Outcome.LIMIT_EXCEEDED,
        FailureCode.DISK_LIMIT: Outcome.LIMIT_EXCEEDED,
        FailureCode.FUEL_LIMIT: Outcome.LIMIT_EXCEEDED,
        FailureCode.CRASHED: Outcome.CRASHED,
        FailureCode.RUNTIME_UNAVAILABLE: Outcome.REJECTED,
    }.get(code, Outcome.ERRORED)
    return Ran(outcome=outcome, reason=Reason(code, message, hint), usage=usage)


class BoundedOutput:
    """Passes output on until the job's budget is spent, then drops the rest and remembers that it did."""

    def __init__(self, emit: Emit, budget_bytes: int) -> None:
        self._emit = emit
        self._left = budget_bytes
        self.truncated = False

    def write(self, stream: str, text: str) -> None:
        """Pass `text` on as far as the budget reaches."""
        size = len(text.encode(errors="replace"))
        if size > self._left:
            self.truncated = True
            text = text.encode(errors="replace")[: self._left].decode(errors="ignore")
            size = self._left
        self._left -= size
        if text:
            self._emit(stream, text)
