"""What a call through a warm worker costs: how long it takes, how many there are a second, and whose time it is.

    python benchmarks/worker_calls.py [seconds]

Without a server: runtimes, pool and workers as an agent has them. `per core` counts the time of agent and worker
together, as if both had to share one core.
"""

import asyncio
import hashlib
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import wasmtime

from anchor.agent.job import Job, Ran
from anchor.agent.runtimes.isolate.runtime import Isolate
from anchor.agent.runtimes.wasm.runtime import Wasm
from anchor.agent.workers.pool import Pool
from anchor.core.attempt import Outcome
from anchor.core.spec import Payload, ResolvedLimits

SECONDS = 2.0
ADD = '(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))'
IDLE_SECONDS = 5.0


def job(payload: Payload, module: bytes = b"") -> Job:
    return Job(
        task="task_000000000000b",
        attempt=1,
        payload=payload,
        limits=ResolvedLimits(64, 10.0, 65536),
        directory=Path("unused"),
        module=module,
    )


def family() -> list[psutil.Process]:
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def cpu_seconds() -> float:
    """Processor time of this process and all it started; what has ended counts for its parent."""
    return sum(sum(process.cpu_times()[:4]) for process in family())


async def measure(name: str, call: Callable[[], Awaitable[Ran]], seconds: float, pause: float) -> None:
    for _ in range(20):
        assert (await call()).outcome is Outcome.SUCCEEDED
    took = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        await asyncio.sleep(pause)
        began = time.perf_counter()
        await call()
        took.append(time.perf_counter() - began)
    took.sort()
    p50, p99 = statistics.median(took), took[len(took) * 99 // 100]
    cpu, count, began = cpu_seconds(), 0, time.perf_counter()
    while time.perf_counter() < began + seconds:
        await call()
        count += 1
    rate = count / (time.perf_counter() - began)
    cpu = (cpu_seconds() - cpu) / count
    print(
        f"{name:28} p50 {p50 * 1e3:6.2f} ms  p99 {p99 * 1e3:6.2f} ms   {rate:7,.0f}/s one after the other"
        f"   {cpu * 1e6:6.0f} us of processor a call = {1 / cpu:7,.0f}/s per core"
    )


def drop(stream: str, text: str) -> None:
    """Output nobody asked for."""


async def idle() -> None:
    await asyncio.sleep(1)
    processes = family()
    before, began = cpu_seconds(), time.perf_counter()
    await asyncio.sleep(IDLE_SECONDS)
    share = (cpu_seconds() - before) / (time.perf_counter() - began)
    sizes = [process.memory_full_info().pss / 2**20 for process in processes]
    print(
        f"idle: {sum(sizes):.0f} MiB proportional in {len(processes)} processes "
        f"({', '.join(f'{size:.0f}' for size in sizes)}), {share:.2%} of a core"
    )


async def main(seconds: float) -> None:
    pool = Pool(warm=2)
    isolate, wasm = Isolate(pool), Wasm(pool)
    await isolate.start()
    await wasm.start()
    began = time.perf_counter()
    level = await pool.confinement()
    took = time.perf_counter() - began
    print(f"workers are {level.level} {level.why} (found out in {took:.2f} s); cores {os.cpu_count()}")
    await idle()
    module = wasmtime.wat2wasm(ADD)
    name = f"sha256:{hashlib.sha256(module).hexdigest()}"
    added = job(Payload(module=name, function="add", args=[2, 3]), bytes(module))
    script = job(Payload(source_code="return 2 + 3"))
    await measure("wasm, exported function", lambda: wasm.run(added, drop), seconds, 0)
    await measure("isolate, one line", lambda: isolate.run(script, drop), seconds, 0.03)
    await isolate.stop()
    await wasm.stop()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS))
