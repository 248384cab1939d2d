"""Worker processes: many at once, killed, cancelled, replaced, orphaned; and the frames they are spoken to in."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.agent.job import Job, Ran
from anchor.agent.runtimes.isolate.runtime import Isolate
from anchor.agent.runtimes.wasm.runtime import Wasm
from anchor.agent.workers import running as running_module
from anchor.agent.workers.frames import (
    WORD_BYTES_MAX,
    Ended,
    FrameError,
    Program,
    Script,
    Source,
    frame,
    read_word,
    read_work,
)
from anchor.agent.workers.pool import Pool
from anchor.agent.workers.process import Worker
from anchor.agent.workers.running import run_in
from anchor.agent.workers.worker import WORK_PER_WORKER_MAX
from anchor.core.attempt import Outcome
from anchor.core.errors import FailureCode
from anchor.core.spec import Payload, ResolvedLimits

pytestmark = pytest.mark.anyio

FOREVER = "console.log('begun'); for (;;);"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def job(source: str, *, seconds: float = 20.0, memory: int = 64, **payload: Any) -> Job:
    return Job(
        task="task_000000000000h",
        attempt=1,
        payload=Payload(source_code=source, **payload),
        limits=ResolvedLimits(memory, seconds, 1 << 20),
        directory=Path("/nowhere"),
    )


def ignore(stream: str, text: str) -> None:
    assert stream in ("stdout", "stderr")


@asynccontextmanager
async def running(pool: Pool) -> Any:
    runtime = Isolate(pool)
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.stop()
    assert pool.pids == []


async def until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    for _ in range(round(seconds * 100)):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{what} did not happen within {seconds} s")


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def begin(runtime: Isolate, source: str = FOREVER) -> "asyncio.Task[Ran]":
    """A run that is certainly under way: it has printed something."""
    begun = asyncio.Event()
    task = asyncio.create_task(runtime.run(job(source), lambda stream, text: begun.set()))
    async with asyncio.timeout(10):
        await begun.wait()
    return task


async def test_twenty_scripts_at_once_each_get_their_own_answer() -> None:
    async with running(Pool(warm=2)) as runtime:
        source = "console.log(input); await new Promise((go) => setTimeout(go, 20)); return input * input"
        said: list[tuple[int, str]] = []

        def emit_of(number: int) -> Callable[[str, str], None]:
            return lambda stream, text: said.append((number, text))

        rans = await asyncio.gather(*(runtime.run(job(source, input=i), emit_of(i)) for i in range(20)))
        assert [json.loads(ran.value) for ran in rans] == [i * i for i in range(20)]
        assert sorted(said) == [(i, f"{i}\n") for i in range(20)]


async def test_a_worker_killed_in_the_middle_is_a_crash_of_that_attempt_only() -> None:
    pool = Pool(warm=1, spare=0)
    async with running(pool) as runtime:
        victim = await begin(runtime)
        [pid] = pool.pids
        beside = asyncio.create_task(runtime.run(job("return 'unharmed'"), ignore))
        os.kill(pid, signal.SIGKILL)
        ran = await victim
        assert ran.outcome is Outcome.CRASHED
        assert ran.reason is not None
        assert ran.reason.code == FailureCode.CRASHED
        assert ran.reason.message == "The worker process was ended by SIGKILL in the middle of the task."
        assert (await beside).value == b'"unharmed"'
        assert pid not in pool.pids


async def test_an_idle_worker_that_dies_is_never_handed_out() -> None:
    pool = Pool(warm=1, spare=0)
    async with running(pool) as runtime:
        assert (await runtime.run(job("return 1"), ignore)).value == b"1"
        [pid] = pool.pids
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not alive(pid), "the end of the worker")
        await asyncio.sleep(0)
        assert (await runtime.run(job("return 2"), ignore)).value == b"2"


async def test_cancelling_lets_go_only_when_the_process_is_gone() -> None:
    pool = Pool(warm=1, spare=0)
    async with running(pool) as runtime:
        task = await begin(runtime)
        [pid] = pool.pids
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not psutil.pid_exists(pid)
        assert (await runtime.run(job("return 1"), ignore)).value == b"1"


async def test_cancelling_a_job_that_still_waits_for_a_worker_loses_no_worker() -> None:
    pool = Pool(warm=1, spare=0)
    async with running(pool) as runtime:
        waiting = [asyncio.create_task(runtime.run(job("return 1"), ignore)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in waiting[:2]:
            task.cancel()
        assert (await waiting[2]).value == b"1"
        assert (await asyncio.gather(*waiting[:2], return_exceptions=True)) != [None, None]
        assert (await runtime.run(job("return 2"), ignore)).value == b"2"


async def test_a_worker_is_replaced_after_its_hundredth_task_without_anyone_noticing() -> None:
    pool = Pool(warm=1, spare=0)
    async with running(pool) as runtime:
        assert (await runtime.run(job("return 0"), ignore)).value == b"0"
        first = pool.pids
        for i in range(1, len(first) * WORK_PER_WORKER_MAX + 2):
            assert (await runtime.run(job("return input", input=i), ignore)).value == str(i).encode()
        await until(lambda: not set(first) & set(pool.pids), "the replacement of the first worker")


async def test_a_worker_that_ends_by_itself_as_its_work_does_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    run_work = running_module._run
    first: list[int] = []

    async def and_ends(pool: Pool, worker: Worker, *rest: Any) -> Ended:
        ended = await run_work(pool, worker, *rest)
        first.append(worker.pid)
        os.kill(worker.pid, signal.SIGKILL)
        await until(lambda: not worker.alive, "the end of the worker")
        return ended

    pool = Pool(warm=1, spare=0)
    async with running(pool) as runtime:
        monkeypatch.setattr(running_module, "_run", and_ends)
        assert (await runtime.run(job("return 1"), ignore)).value == b"1"
        monkeypatch.undo()
        await until(lambda: first[0] not in pool.pids, "the worker to be forgotten")
        assert (await runtime.run(job("return 2"), ignore)).value == b"2"


@pytest.mark.parametrize("source", ["for (;;);", "await new Promise(() => {})", "new ArrayBuffer(3e9)"])
async def test_a_worker_is_replaced_after_a_breach(source: str) -> None:
    pool = Pool(warm=1, spare=0)
    async with running(pool) as runtime:
        assert (await runtime.run(job("return 1"), ignore)).value == b"1"
        before = pool.pids
        ran = await runtime.run(job(source, seconds=0.3), ignore)
        assert ran.outcome is not Outcome.SUCCEEDED
        assert (await runtime.run(job("return 2"), ignore)).value == b"2"
        assert pool.pids != before


async def test_two_runtimes_share_the_workers_until_the_last_one_stops() -> None:
    pool = Pool(warm=1, spare=0)
    isolate, wasm = Isolate(pool), Wasm(pool)
    await isolate.start()
    await wasm.start()
    assert (await isolate.run(job("return 1"), ignore)).value == b"1"
    pids = pool.pids
    await isolate.stop()
    assert pool.pids == pids
    assert all(alive(pid) for pid in pids)
    await wasm.stop()
    assert pool.pids == []
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_stopping_fails_whoever_waits_and_leaves_no_process() -> None:
    pool = Pool(warm=1, spare=0)
    runtime = Isolate(pool)
    await runtime.start()
    running_one = await begin(runtime)
    waiting = asyncio.create_task(runtime.run(job("return 1"), ignore))
    await asyncio.sleep(0)
    pids = pool.pids
    await runtime.stop()
    assert (await waiting).outcome is Outcome.REJECTED
    assert (await running_one).outcome is Outcome.CRASHED
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_stopping_while_workers_start_leaves_no_process() -> None:
    before = set(psutil.Process().children())
    for turns in range(6):
        runtime = Isolate(Pool(warm=2))
        await runtime.start()
        for _ in range(turns):
            await asyncio.sleep(0.002)
        await runtime.stop()
        assert set(psutil.Process().children()) <= before


async def test_where_no_worker_can_be_started_the_job_is_rejected_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(Pool(warm=0)) as runtime:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        ran = await runtime.run(job("return 1"), ignore)
        assert (ran.outcome, ran.reason.code) == (Outcome.REJECTED, FailureCode.RUNTIME_UNAVAILABLE)
        assert "/nowhere/python" in ran.reason.message
        monkeypatch.setattr(sys, "executable", "/bin/false")
        ran = await runtime.run(job("return 1"), ignore)
        assert ran.outcome is Outcome.REJECTED
        assert "ended with code 1" in ran.reason.message
        monkeypatch.undo()
        assert (await runtime.run(job("return 1"), ignore)).value == b"1"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc and relies on the parent-death signal")
async def test_workers_die_with_their_agent_even_in_the_middle_of_a_loop() -> None:
    program = f"""
import asyncio
from pathlib import Path
from anchor.agent.job import Job
from anchor.agent.runtimes.isolate.runtime import Isolate
from anchor.agent.workers.pool import Pool
from anchor.core.spec import Payload, ResolvedLimits
async def main():
    pool = Pool(warm=2)
    runtime = Isolate(pool)
    await runtime.start()
    busy = Job(task="t", attempt=1, payload=Payload(source_code={FOREVER!r}), directory=Path("/"),
               limits=ResolvedLimits(64, 60.0, 1000))
    await runtime.run(busy, lambda stream, text: print(*pool.pids, flush=True))
asyncio.run(main())
"""
    agent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
    assert agent.stdout is not None
    pids = [int(word) for word in (await agent.stdout.readline()).split()]
    agent.kill()
    await agent.wait()
    assert len(pids) == 2
    await until(lambda: not any(alive(pid) for pid in pids), "the end of the orphans", seconds=2)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
async def test_a_worker_has_given_away_what_it_does_not_need() -> None:
    pool = Pool(warm=1, spare=0)
    async with running(pool) as runtime:
        task = await begin(runtime)
        [pid] = pool.pids
        proc = Path(f"/proc/{pid}")
        assert "NoNewPrivs:\t1" in (proc / "status").read_text()
        assert (proc / "environ").read_bytes() == b""
        assert [os.readlink(proc / "fd" / fd) for fd in "012"] == ["/dev/null"] * 3
        assert os.getpgid(pid) == os.getsid(pid) == pid
        limits = {line[:25].strip(): line[25:].split()[:2] for line in (proc / "limits").read_text().splitlines()}
        assert limits["Max core file size"] == ["0", "0"]
        assert int(limits["Max open files"][0]) <= 64
        at_work = int(limits["Max data size"][0])
        mapped = next(
            int(line.split()[1]) * 1024 for line in (proc / "status").read_text().splitlines() if line[:6] == "VmData"
        )
        assert mapped < at_work < mapped + (64 + 64 + 16) * 1024 * 1024
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def read(data: bytes) -> Any:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return await read_word(stream)


async def test_a_frame_above_the_cap_is_refused_before_it_is_read() -> None:
    with pytest.raises(FrameError, match="above the limit"):
        await read((WORD_BYTES_MAX + 1).to_bytes(4, "big"))


async def test_half_a_frame_is_an_end_and_a_whole_one_is_a_word() -> None:
    data = frame(Ended(value=b"[1]", message="é"))
    assert await read(data) == Ended(value=b"[1]", message="é")
    assert [await read(data[:cut]) for cut in range(len(data))] == [None] * len(data)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_whatever_a_worker_says_is_a_word_an_end_or_a_frame_error(body: bytes) -> None:
    async def attempt() -> None:
        with suppress(FrameError):
            await read(len(body).to_bytes(4, "big") + body)

    asyncio.run(attempt())


def test_work_arrives_as_it_was_sent() -> None:
    for work in (
        Script("return 'é'", "{}", 128, 30.0, 1000),
        Program(b"d" * 32, b"\0asm", None, ["a", 1, 2.5], {"A": "b"}, b"\xff", 256, 60.0, 1000),
    ):
        ours, theirs = os.pipe()
        os.write(theirs, frame(work))
        os.close(theirs)
        assert read_work(ours) == work
        assert read_work(ours) is None
        os.close(ours)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (r"b'\0\0\0\3abc'", FailureCode.CRASHED),
        (r"b'\xff\xff\xff\xff'", FailureCode.CRASHED),
        ("frame(Ready([], 0.0, 0.0))", FailureCode.CRASHED),
        ("frame(Compiled(b'code that nobody asked for'))", FailureCode.CRASHED),
        ("frame(Ended(value=b'{not json'))", FailureCode.RESULT_INVALID),
        ("frame(Ended(value=b'[' * 100_000))", FailureCode.RESULT_INVALID),
    ],
)
async def test_a_worker_that_says_nonsense_is_told_of_and_never_believed(said: str, code: FailureCode) -> None:
    pool = Pool(warm=0, engines={"python": "tests.runtimes.broken_engine"})
    await pool.start()
    source = f"from anchor.agent.workers.frames import *; os.write(3, {said}); time.sleep(60)"
    try:
        ran = await run_in(pool, Source(source, "{}", [], {}, b"", 64, 10.0, 1000), ignore)
        assert ran.reason is not None
        assert ran.reason.code == code
        if code is FailureCode.CRASHED:
            assert ran.reason.message.startswith("The worker process broke its protocol")
            assert pool.pids == []
    finally:
        await pool.stop()


async def test_an_emit_that_fails_takes_its_worker_with_it() -> None:
    def broken(stream: str, text: str) -> None:
        raise RuntimeError("the journal is full")

    pool = Pool(warm=1, spare=0)
    async with running(pool) as runtime:
        await runtime.run(job("return 1"), ignore)
        [pid] = pool.pids
        with pytest.raises(RuntimeError, match="journal"):
            await runtime.run(job(FOREVER), broken)
        assert not psutil.pid_exists(pid)
