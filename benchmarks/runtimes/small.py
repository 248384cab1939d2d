"""What a small piece of work costs: calls, starts, the second run with packages, and how late a kill comes."""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec
import psutil
import wasmtime
from benchmarks.runtimes.stage import LIMITS, Stage
from py_mini_racer import MiniRacer

from anchor.agent.runtimes.native.toolchains import node_on_path
from anchor.core.spec import Payload, ResolvedLimits

ADD = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
DEADLINE = ResolvedLimits(memory_mib=256, timeout_seconds=0.5, output_bytes=65_536)
SUSTAINED_SECONDS = 6.0
ROUNDS = 3
PACKAGES = {"python": "six", "javascript": "is-number"}


class Figure(msgspec.Struct, rename="camel"):
    """One figure: what it is, its value and unit, and what it is held against."""

    what: str
    value: float
    unit: str
    target: str


async def small(there: Stage, samples: int) -> list[Figure]:
    """Everything here that this machine can run."""
    figures = await _isolate(there, samples) + await _wasm(there, samples)
    if "native" in there.catalogue.runtimes:
        figures += await _native(there, max(5, samples // 10))
    return figures + await _kills(there)


async def _isolate(there: Stage, samples: int) -> list[Figure]:
    trivial = Payload(source_code="return input + 1", input=1)
    taken = [await _one(there, "isolate", trivial) for _ in range(samples)]
    rate = await _sustained(lambda: there.run("isolate", trivial), abreast=2, seconds=SUSTAINED_SECONDS)
    with _on_one_core():
        alone, per_core = [], []
        for _ in range(ROUNDS):
            alone.append(_creations(SUSTAINED_SECONDS / ROUNDS))
            per_core.append(
                await _sustained(lambda: there.run("isolate", trivial), abreast=1, seconds=SUSTAINED_SECONDS / ROUNDS)
            )
    return [
        Figure("isolate: a trivial task, p50", statistics.median(taken) * 1000, "ms", "≤ 5"),
        Figure("isolate: tasks a second", rate, "/s", ""),
        Figure("isolate: tasks a second, agent and workers on one core", statistics.median(per_core), "/s", "aim 150"),
        Figure(
            "mini-racer by itself: isolates made, used once and closed, on one core", statistics.median(alone), "/s", ""
        ),
        Figure(
            "isolate: the former over the latter",
            statistics.median(ours / theirs for ours, theirs in zip(per_core, alone, strict=True)),
            "",
            "≥ 0.9",
        ),
    ]


def _creations(seconds: float) -> float:
    """Isolates that mini-racer itself makes, uses once and closes in a second."""
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        with MiniRacer() as isolate:
            isolate.eval("1")
        count += 1
    return count / (time.perf_counter() - begun)


async def _wasm(there: Stage, samples: int) -> list[Figure]:
    module = bytes(wasmtime.wat2wasm(ADD))
    call = Payload(function="add", args=[1, 2])
    taken = []
    for _ in range(samples):
        ran, seconds = await there.run("wasm", call, module=module)
        assert ran.value == b"3", ran
        taken.append(seconds)
    with _on_one_core():
        rate = await _sustained(lambda: there.run("wasm", call, module=module), abreast=1, seconds=SUSTAINED_SECONDS)
    return [
        Figure("wasm: a call of a cached module, p50", statistics.median(taken) * 1000, "ms", "≤ 1"),
        Figure("wasm: calls a second, agent and workers on one core", rate, "/s", "≥ 3,000"),
    ]


async def _sustained(run: Callable[[], Awaitable[object]], *, abreast: int, seconds: float) -> float:
    """Runs a second."""
    count, begun = 0, time.perf_counter()

    async def go() -> None:
        nonlocal count
        while time.perf_counter() - begun < seconds:
            await run()
            count += 1

    await asyncio.gather(*(go() for _ in range(abreast)))
    return count / (time.perf_counter() - begun)


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Everything of this process and below it on one and the same core; what begins meanwhile begins there."""
    before = os.sched_getaffinity(0)
    _keep_on({min(before)})
    try:
        yield
    finally:
        _keep_on(before)


def _keep_on(cores: set[int]) -> None:
    everybody = [psutil.Process(os.getpid()), *psutil.Process(os.getpid()).children(recursive=True)]
    for thread in (thread for process in everybody for thread in process.threads()):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(thread.id, cores)


async def _native(there: Stage, samples: int) -> list[Figure]:
    python = getattr(sys, "_base_executable", sys.executable)
    node = node_on_path()
    bare: dict[str, tuple[str, list[str]]] = {"python": ("result = 1", [python, "-c", "1"])}
    if node is not None:
        bare["javascript"] = ("return 1", [str(node.program), "-e", "1"])
    figures = []
    for language, (source, command) in bare.items():
        payload = Payload(source_code=source, language=language)  # type: ignore[arg-type]
        await there.value("native", payload)
        overheads = []
        for _ in range(samples):
            ours = await _one(there, "native", payload)
            begun = time.perf_counter()
            await (await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)).wait()
            overheads.append(ours - (time.perf_counter() - begun))
        figures.append(Figure(f"native: start over bare {language}", statistics.median(overheads) * 1000, "ms", "≤ 25"))
        wanted = msgspec.structs.replace(payload, dependencies=[PACKAGES[language]])
        await there.value("native", wanted)
        again = []
        for _ in range(samples):
            ours = await _one(there, "native", wanted)
            again.append(ours - await _one(there, "native", payload))
        figures.append(Figure(f"native: {language}, second run with a package", statistics.median(again), "s", "≤ 0.3"))
    return figures


async def _kills(there: Stage) -> list[Figure]:
    loop_module = bytes(wasmtime.wat2wasm('(module (func (export "spin") (loop (br 0))))'))
    cases = {
        "isolate": (Payload(source_code="for (;;);"), b""),
        "wasm": (Payload(function="spin"), loop_module),
        "python": (Payload(source_code="while True: pass"), b""),
        "native": (Payload(source_code="while True: pass", language="python"), b""),
    }
    late = []
    for runtime, (payload, module) in cases.items():
        if runtime not in there.catalogue.runtimes:
            continue
        for _ in range(5):
            ran, _ = await there.run(runtime, payload, module=module, limits=DEADLINE)
            assert ran.reason is not None, ran
            assert ran.reason.code == "timeout", ran
            late.append(ran.usage.wall_seconds - DEADLINE.timeout_seconds)
    return [Figure("any: over after the deadline, the latest of all", max(late) * 1000, "ms", "≤ 250")]


async def _one(there: Stage, runtime: str, payload: Payload) -> float:
    ran, seconds = await there.run(runtime, payload, limits=LIMITS)
    assert ran.reason is None, ran
    return seconds
