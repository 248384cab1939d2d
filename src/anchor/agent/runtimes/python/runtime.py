"""The python runtime: CPython in WebAssembly, in a worker process of the pool."""

import contextlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from anchor.agent.job import Emit, Job, Ran, failed
from anchor.agent.runtimes.python import files
from anchor.agent.workers.frames import Source
from anchor.agent.workers.pool import Pool
from anchor.agent.workers.running import run_in
from anchor.core.errors import FailureCode
from anchor.core.spec import Payload

PYTHON_NEEDED: Final = (3, 12)
TRY_SECONDS: Final = 60
_TRY: Final = "import eryx\nprint(eryx.Sandbox().execute('import sys; result = sys.version.split()[0]').result)"


def offer(folder: Path | None = None) -> tuple[str | None, str]:
    """The versions of engine and interpreter, or None and why there are none. Runs a program: call it in a thread.

    `folder` is where the engine keeps its files; they are unpacked there now, while nothing is confined.
    """
    if importlib.util.find_spec("eryx") is None:
        if sys.version_info < PYTHON_NEEDED:
            has = f"this agent runs on {sys.version_info.major}.{sys.version_info.minor}"
            return None, f"it needs an agent on Python 3.12 or newer, and {has}; install one and the agent in it"
        return None, "pyeryx is not installed; run `pip install pyeryx` (there is none for some platforms)"
    try:
        version = _try(files.folder() if folder is None else folder)
    except (OSError, subprocess.SubprocessError) as error:
        return None, f"pyeryx does not run here: {error}"
    return f"pyeryx {importlib.metadata.version('pyeryx')}, Python {version}", ""


def _try(folder: Path) -> str:
    """The version of the interpreter, by starting it. What it unpacks is all there, or not there at all."""
    files.use(folder)
    if (folder / files.UNPACKED).is_dir():
        return _started(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        version = _started(Path(fresh))
        # Another agent may have been faster.
        with contextlib.suppress(OSError):
            (Path(fresh) / files.UNPACKED).rename(folder / files.UNPACKED)
    return version


def _started(folder: Path) -> str:
    tried = subprocess.run(
        [sys.executable, "-I", "-c", _TRY],
        capture_output=True,
        text=True,
        timeout=TRY_SECONDS,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    if tried.returncode != 0:
        raise OSError((tried.stderr.strip().splitlines() or [f"exit code {tried.returncode}"])[-1])
    return tried.stdout.strip()


class Python:
    """Runs Python with `input`, `inputs`, `print`, the standard library, the job's files and `anchor`.

    The result is what the source assigned to `result`, or else what its `main` returns.
    """

    name = "python"

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def wants_directory(self, _: Payload) -> bool:
        """Always: it is where a script starts."""
        return True

    async def start(self) -> None:
        """Start the pool."""
        await self._pool.start()

    async def run(self, job: Job, emit: Emit) -> Ran:
        """Run one script to its end."""
        payload = job.payload
        if payload.source_code is None:
            return failed(FailureCode.INVALID_PAYLOAD, "payload.sourceCode is missing; python runs Python source.")
        anchor = {"task": job.task, "attempt": job.attempt}
        given = {"input": payload.input, "inputs": job.inputs_as_json, "anchor": anchor}
        source = Source(
            source=payload.source_code,
            given=msgspec.json.encode(given).decode(),
            args=[str(arg) for arg in payload.args],
            env=payload.env,
            stdin=(payload.stdin or "").encode(),
            memory_mib=job.limits.memory_mib,
            timeout_seconds=job.limits.timeout_seconds,
            output_bytes=job.limits.output_bytes,
            has_directory=job.directory.exists(),
            disk_mib=job.limits.disk_mib,
        )
        return await run_in(self._pool, source, emit, job.directory if source.has_directory else None)

    async def stop(self) -> None:
        """Stop the pool, unless another runtime still uses it."""
        await self._pool.stop()
