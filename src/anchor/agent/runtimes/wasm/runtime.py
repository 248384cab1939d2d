"""The wasm runtime: WASI commands and exported functions by wasmtime, in a worker process of the pool."""

import asyncio
import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Final

import msgspec

from anchor.agent.job import Emit, Job, Ran, failed
from anchor.agent.runtimes.wasm.kept import KeptModules
from anchor.agent.runtimes.wasm.profiles import name_of, profile_of
from anchor.agent.threads import in_thread
from anchor.agent.workers.frames import MIB, MODULE_BYTES_MAX, Program
from anchor.agent.workers.pool import Pool
from anchor.agent.workers.running import run_in
from anchor.core.errors import FailureCode
from anchor.core.spec import Payload

INPUTS: Final = "inputs.json"
"""Where in its working directory a command finds its inputs by name."""


def offer() -> tuple[str | None, str]:
    """The version of the engine, or None and why it is missing."""
    if importlib.util.find_spec("wasmtime") is None:
        return None, "wasmtime is not installed; run `pip install wasmtime`."
    return f"wasmtime {importlib.metadata.version('wasmtime')}", ""


class Wasm:
    """Runs a module's `_start` as a WASI command, whose stdout is the result (a JSON value, or else its text), or calls
    the exported function that the payload names, whose return value is the result.

    Compiled modules are kept in `folder`, which nobody but this agent may be able to write; None keeps none.
    """

    name = "wasm"

    def __init__(self, pool: Pool, folder: Path | None = None) -> None:
        self._pool = pool
        self._kept = KeptModules(folder)

    def wants_directory(self, payload: Payload) -> bool:
        """Commands do: it is their root and working directory."""
        return payload.function is None

    async def start(self) -> None:
        """Start the pool."""
        await asyncio.to_thread(self._kept.open)
        await self._pool.start()

    async def run(self, job: Job, emit: Emit) -> Ran:
        """Run one program to its end."""
        payload = job.payload
        if not job.module:
            return failed(FailureCode.INVALID_PAYLOAD, "payload.module is missing; wasm runs a compiled module.")
        if len(job.module) > MODULE_BYTES_MAX:
            return failed(
                FailureCode.INVALID_MODULE,
                f"The module has {len(job.module)} bytes; a node compiles at most {MODULE_BYTES_MAX // MIB} MiB.",
                "Strip debug information, or build with size optimisation.",
            )
        try:
            msgspec.msgpack.encode(payload.args)
        except OverflowError:
            return failed(FailureCode.INVALID_PAYLOAD, "payload.args has a whole number of more than 64 bits.")
        has_directory = job.has_directory or self.wants_directory(payload)
        directory = job.directory if has_directory else None
        if job.inputs and payload.function is None:
            if INPUTS in payload.files:
                return failed(FailureCode.INVALID_PAYLOAD, f"A file and the inputs by name are both to be {INPUTS}.")
            await in_thread(_hand_over, job)
        return await run_in(self._pool, _program(job, has_directory), emit, directory, self._kept)

    async def stop(self) -> None:
        """Stop the pool, unless another runtime still uses it."""
        await self._pool.stop()


def _hand_over(job: Job) -> None:
    file = job.directory / INPUTS
    file.write_bytes(job.inputs)
    file.chmod(0o644)


def _program(job: Job, has_directory: bool) -> Program:
    payload = job.payload
    if payload.stdin is not None:
        stdin = payload.stdin.encode()
    else:
        stdin = b"" if payload.input is None else msgspec.json.encode(payload.input)
    profile = profile_of(payload.deterministic, job.limits.fuel)
    return Program(
        digest=name_of(hashlib.sha256(job.module).digest(), profile),
        module=job.module,
        function=payload.function,
        args=payload.args,
        env={**payload.env, "ANCHOR_INPUTS": INPUTS} if job.inputs and payload.function is None else payload.env,
        stdin=stdin,
        memory_mib=job.limits.memory_mib,
        timeout_seconds=job.limits.timeout_seconds,
        output_bytes=job.limits.output_bytes,
        has_directory=has_directory,
        disk_mib=job.limits.disk_mib,
        deterministic=payload.deterministic,
        fuel=job.limits.fuel,
        seed=hashlib.sha256(msgspec.json.encode(payload)).digest() if payload.deterministic else b"",
    )
