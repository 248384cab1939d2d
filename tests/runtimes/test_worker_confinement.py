"""Workers whose engine is broken: whatever runs in one reaches nothing of the machine, the agent or its siblings."""

import asyncio
import json
import os
import socket
import sys
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from anchor.agent.job import Ran
from anchor.agent.sandbox import landlock, seccomp
from anchor.agent.workers.frames import Source
from anchor.agent.workers.pool import Pool
from anchor.agent.workers.running import run_in
from anchor.core.attempt import Outcome
from anchor.core.errors import FailureCode

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        landlock.version() == 0 or seccomp.worker_filter(1) is None,
        reason="this kernel or processor cannot confine workers: no Landlock or no filter of system calls",
    ),
]
BROKEN = {"python": "tests.runtimes.broken_engine"}

BREAK_OUT = """
libc = ctypes.CDLL(None, use_errno=True)
work_pipe = 3
done = []
def attempt(name, act):
    try:
        act()
    except (OSError, AttributeError):
        return
    done.append(name)
def call(name, *args):
    from anchor.agent.sandbox import seccomp
    import platform
    answer = libc.syscall(seccomp._NUMBERS[name][seccomp._COLUMN[platform.machine()]], *args)
    if answer < 0:
        raise OSError(ctypes.get_errno(), name)
def checked(answer):
    if answer != 0:
        raise OSError(ctypes.get_errno(), "refused")
given = json.loads(work.given)
attempt("tcp", lambda: socket.create_connection(("127.0.0.1", given["port"]), 1))
attempt("unix socket", lambda: socket.socket(socket.AF_UNIX).connect(given["unix"]))
attempt("datagram pair", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", given["unix"]))
for file in ("/etc/passwd", "/etc/hostname", "/proc/self/environ", "/proc/self/maps", "/proc/1/cmdline",
             f"/proc/{given['agent']}/mem", f"/proc/{given['agent']}/environ", given["secret"], given["sibling"]):
    attempt(f"read {file}", lambda: open(file, "rb").read(1))
attempt("read through a link", lambda: (os.symlink(given["secret"], stage.directory / "link"),
                                        open(stage.directory / "link").read()))
attempt("hard link", lambda: os.link(given["secret"], stage.directory / "hard"))
attempt("list the root", lambda: os.listdir("/"))
attempt("list processes", lambda: os.listdir("/proc"))
attempt("write to /tmp", lambda: open("/tmp/anchor-broke-out", "w"))
attempt("write beside", lambda: open(given["sibling"], "w"))
attempt("fifo", lambda: os.mkfifo(stage.directory / "fifo"))
attempt("device", lambda: os.mknod(stage.directory / "null", 0o020666, os.makedev(1, 3)))
attempt("fork", lambda: os._exit(0) if os.fork() == 0 else None)
attempt("spawn", lambda: os.posix_spawn("/bin/true", ["true"], {}))
attempt("execute", lambda: os.execv("/bin/false", ["false"]))
attempt("signal the agent", lambda: os.kill(given["agent"], 0))
attempt("signal the nursery", lambda: os.kill(given["nursery"], 0))
attempt("signal everybody", lambda: os.kill(-1, 0))
attempt("trace the agent", lambda: checked(libc.ptrace(0x4206, given["agent"], None, None)))
attempt("new namespaces", lambda: checked(libc.unshare(0x10000000)))
attempt("mount", lambda: checked(libc.mount(b"none", bytes(stage.directory), b"tmpfs", 0, None)))
attempt("chroot", lambda: os.chroot(stage.directory))
attempt("outlive the agent", lambda: checked(libc.prctl(1, 0, 0, 0, 0)))
attempt("another cpu share", lambda: os.sched_setaffinity(0, {0}))
attempt("open another's file to all", lambda: os.chmod(given["secret"], 0o777))
attempt("give another's file away", lambda: os.chown(given["secret"], os.getuid(), os.getgid()))
attempt("mark another's file", lambda: os.setxattr(given["secret"], "user.anchor", b"1"))
attempt("slow its siblings down", lambda: os.setpriority(os.PRIO_PROCESS, given["worker"], 19))
attempt("slow all of the user down", lambda: os.setpriority(os.PRIO_USER, 0, 19))
attempt("have the kernel signal the agent", lambda: fcntl.fcntl(work_pipe, fcntl.F_SETOWN, given["agent"]))
attempt("have the kernel signal the nursery", lambda: fcntl.ioctl(work_pipe, 0x8901, bytes(4)))
attempt("have the kernel send SIGKILL", lambda: fcntl.fcntl(work_pipe, 10, 9))
attempt("memory that is nobody's", lambda: os.memfd_create("x"))
attempt("watch others' files", lambda: checked(min(0, libc.inotify_init1(0))))
attempt("queues of the kernel", lambda: checked(min(0, libc.msgget(0, 0o1600))))
for name in ("keyctl", "io_uring_setup", "bpf", "userfaultfd", "perf_event_open", "process_vm_readv", "setns"):
    attempt(name, lambda: call(name, 0, 0, 0, 0, 0))
result = done
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def broken_pool(state: Path, **options: Any) -> AsyncIterator[Pool]:
    pool = Pool(state, engines=BROKEN, **{"warm": 1, "spare": 0, **options})
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()
    assert pool.pids == []
    assert not (state / "workers").exists()


async def run(
    pool: Pool, source: str, given: Any = None, directory: Path | None = None, seconds: float = 10.0, disk_mib: int = 0
) -> Ran:
    work = Source(source, json.dumps(given), [], {}, b"", 64, seconds, 1 << 16, disk_mib=disk_mib)
    return await run_in(pool, work, lambda stream, text: None, directory)


def nursery_of(pool: Pool) -> psutil.Process:
    [worker] = {psutil.Process(pid).ppid() for pid in pool.pids}
    return psutil.Process(worker)


def threads_of(pid: int) -> list[dict[str, str]]:
    texts = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line) for text in texts]


async def test_a_worker_whose_engine_is_broken_reaches_nothing(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("the agent's secrets")
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "input").write_text("given")
    unix = tmp_path / "socket"
    async with broken_pool(tmp_path, warm=2) as pool:
        assert (await pool.confinement()).level == "confined"
        with (
            socket.create_server(("127.0.0.1", 0)) as tcp,
            socket.socket(socket.AF_UNIX) as listening,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        ):
            listening.bind(str(unix))
            listening.listen()
            await run(pool, "pass")
            given = {
                "agent": os.getpid(),
                "nursery": nursery_of(pool).pid,
                "worker": pool.pids[0],
                "port": tcp.getsockname()[1],
                "unix": str(unix),
                "secret": str(tmp_path / "journal.db"),
                "sibling": str(tmp_path / "workers" / "another"),
            }
            ran = await run(pool, "import json\n" + BREAK_OUT, given, tmp_path / "job")
    assert ran.outcome is Outcome.SUCCEEDED, ran.reason
    assert json.loads(bytes(ran.value)) == []
    assert (tmp_path / "job" / "input").read_text() == "given"


async def test_a_worker_uses_the_directory_of_its_job_and_it_comes_back(tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    (job / "input").write_text("four")
    async with broken_pool(tmp_path) as pool:
        source = """
assert sorted(os.listdir(stage.directory)) == ["input"]
(stage.directory / "below").mkdir()
(stage.directory / "below" / "output").write_text((stage.directory / "input").read_text() * 2)
os.rename(stage.directory / "below" / "output", stage.directory / "output")
"""
        assert (await run(pool, source, directory=job)).outcome is Outcome.SUCCEEDED
        assert (job / "output").read_text() == "fourfour"
        ran = await run(pool, "import time; (stage.directory / 'half').touch(); time.sleep(60)", None, job, seconds=0.2)
        assert ran.outcome is Outcome.TIMED_OUT
        assert (job / "half").exists()
        task = asyncio.create_task(run(pool, "(stage.directory / 'more').touch(); time.sleep(60)", None, job))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(os.listdir(job)) == ["below", "half", "input", "more", "output"]


@pytest.mark.parametrize(
    "left",
    [
        "os.rename(stage.directory, stage.directory.parent / 'away'); os.symlink('/etc', stage.directory)",
        "os.rename(stage.directory, stage.directory.parent / 'away'); stage.directory.write_text('a file')",
        "os.rename(stage.directory, stage.directory.parent / 'away')",
        "os.rename(stage.directory, stage.directory.parent / 'away'); os.mkdir(stage.directory, 0)",
    ],
)
async def test_whatever_a_worker_leaves_for_its_job_s_directory_a_directory_comes_back(
    tmp_path: Path, left: str
) -> None:
    job = tmp_path / "job"
    job.mkdir()
    async with broken_pool(tmp_path) as pool:
        assert (await run(pool, left, directory=job)).outcome is Outcome.SUCCEEDED
        assert job.is_dir()
        assert not job.is_symlink()
        job.chmod(0o700)


async def test_memory_taken_in_any_way_is_the_limit_s_and_the_next_task_has_a_worker_already(tmp_path: Path) -> None:
    bombs = [
        "held = []\nwhile True: held.append(bytearray(1 << 20))",
        "held = [mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(10_000)]",
        "os.kill(os.getpid(), signal.SIGILL)",
        "os.kill(os.getpid(), signal.SIGTRAP)",
    ]
    async with broken_pool(tmp_path, warm=2, spare=2) as pool:
        rans = await asyncio.gather(*(run(pool, bomb) for bomb in bombs))
        assert [ran.reason and ran.reason.code for ran in rans[2:]] == [FailureCode.MEMORY_LIMIT] * 2
        for ran in rans[:2]:
            assert ran.outcome is not Outcome.SUCCEEDED
            assert ran.usage.peak_memory_mb < 64 + 96
        assert (await run(pool, "result = 1")).value == b"1"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("held = mmap.mmap(-1, 1 << 30)\nfor at in range(0, 1 << 30, 4096): held[at] = 1", FailureCode.MEMORY_LIMIT),
        (
            "resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))\nheld = []\nwhile True: held.append(b'x' * (8 << 20))",
            FailureCode.MEMORY_LIMIT,
        ),
        (
            "resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))\nthreading.stack_size(1 << 15)\n"
            "try:\n while True: threading.Thread(target=time.sleep, args=(30,), daemon=True).start()\n"
            "except RuntimeError: result = len(os.listdir('/'))",
            (FailureCode.PROCESS_LIMIT, FailureCode.CRASHED),
        ),
        (
            "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\nfile = open(PLACE / 'mine', 'wb')\n"
            "while True: file.write(bytes(1 << 20)); time.sleep(0.01)",
            FailureCode.DISK_LIMIT,
        ),
    ],
    ids=["shared memory", "memory after its limit was lifted", "threads", "files without a directory"],
)
async def test_a_worker_that_lifts_its_own_limits_is_ended_from_outside(
    tmp_path: Path, source: str, code: FailureCode | tuple[FailureCode, ...]
) -> None:
    async with broken_pool(tmp_path) as pool:
        await run(pool, "pass")
        [place] = (tmp_path / "workers").iterdir()
        ran = await run(pool, source.replace("PLACE", f"Path({str(place)!r})"))
        assert ran.reason is not None, ran.value
        assert ran.reason.code in (code if isinstance(code, tuple) else (code,)), ran.reason
        assert ran.usage.wall_seconds < 5
        assert (await run(pool, "result = 'next'")).value == b'"next"'


async def test_what_work_leaves_running_in_a_worker_is_found_while_nobody_works(tmp_path: Path) -> None:
    spin = """
def spin():
    while True: held.append(b"x" * (4 << 20)); time.sleep(0.005)
held = []
resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))
threading.Thread(target=spin, daemon=True).start()
"""
    async with broken_pool(tmp_path) as pool:
        assert (await run(pool, spin)).outcome is Outcome.SUCCEEDED
        [spinning] = pool.pids
        async with asyncio.timeout(10):
            while spinning in pool.pids or not pool.pids:  # noqa: ASYNC110 - the pool tells nobody
                await asyncio.sleep(0.05)
        assert (await run(pool, "result = 'next'")).value == b'"next"'


@pytest.mark.parametrize(
    "forged",
    [
        "Ended(value=b'1', cpu_seconds=float('nan'), peak_memory_mib=float('inf'), fuel=2**64 - 1)",
        "Ended(value=b'1', cpu_seconds=-1.0, peak_memory_mib=1e300, fuel=-1)",
    ],
)
async def test_figures_that_a_worker_makes_up_can_still_be_added_to_others(tmp_path: Path, forged: str) -> None:
    async with broken_pool(tmp_path) as pool:
        ran = await run(pool, f"stage.say_last = None\nos.write(3, frame({forged}))")
        assert ran.value == b"1"
        assert 0 <= ran.usage.cpu_seconds < 10
        assert 0 <= ran.usage.peak_memory_mb < 10_000
        assert 0 <= ran.usage.fuel < 2**63


@pytest.mark.parametrize(
    "words",
    [
        "frame(Printed('stdout', 'x' * 100_000))",
        "frame(Printed('stdout', '')) * 100_000",
        "frame(Printed('stdout', '😀' + 'x' * (1 << 20)))",
        "frame(Ready([b'ab'] * (1 << 20), 0.0, 0.0))",
        "frame(Ended(FailureCode.SCRIPT_ERROR, '😀' + 'x' * (1 << 20)))",
    ],
    ids=["more than it may", "nothing, often", "one word", "modules", "a message"],
)
async def test_words_that_would_cost_the_agent_more_than_they_are_worth_end_the_worker(
    tmp_path: Path, words: str
) -> None:
    async with broken_pool(tmp_path) as pool:
        ran = await run(
            pool, f"data = {words}\nwhile data: data = data[os.write(3, data):]\ntime.sleep(30)", seconds=20.0
        )
        assert ran.reason is not None
        assert ran.reason.code == FailureCode.CRASHED
        assert "protocol" in ran.reason.message
        assert ran.usage.wall_seconds < 5


async def test_a_large_result_is_held_once_and_made_into_nothing_else(tmp_path: Path) -> None:
    source = """
data = frame(Ended(value=b"[" + b"[]," * 5_000_000 + b"[]]"))
while data: data = data[os.write(3, data):]
"""
    async with broken_pool(tmp_path) as pool:
        tracemalloc.start()
        try:
            work = Source(source, "null", [], {}, b"", 128, 10.0, 1 << 16)
            ran = await run_in(pool, work, lambda stream, text: None)
            assert len(ran.value) == 15_000_004
            assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("levels", [200, 3000])
async def test_files_deeper_than_paths_reach_are_found_and_removed(tmp_path: Path, levels: int) -> None:
    """As a wasm module or whoever broke out can make them: each folder by its parent's descriptor."""
    source = f"""
here = os.open(stage.directory.parent, os.O_RDONLY)
for _ in range({levels}):
    os.mkdir("d" * 50, dir_fd=here)
    here, above = os.open("d" * 50, os.O_RDONLY, dir_fd=here), here
    os.close(above)
time.sleep(30)
"""
    (tmp_path / "job").mkdir()
    async with broken_pool(tmp_path) as pool:
        ran = await run(pool, source, directory=tmp_path / "job", disk_mib=64, seconds=20.0)
        assert ran.reason is not None
        assert ran.reason.code == FailureCode.DISK_LIMIT
        assert (await run(pool, "result = 'next'")).value == b'"next"'


async def test_files_of_a_job_are_bounded_one_by_one_and_together(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    many = """
for number in range(1000):
    with open(stage.directory / str(number), "wb") as file:
        file.write(bytes(1 << 20))
    time.sleep(0.02)
"""
    one = """
try:
    with open(stage.directory / "one", "wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
except OSError as error:
    result = error.strerror
"""
    async with broken_pool(tmp_path) as pool:
        ran = await run(pool, one, directory=tmp_path / "job", disk_mib=8)
        assert ran.value == b'"File too large"'
        ran = await run(pool, many, directory=tmp_path / "job", disk_mib=16)
        assert ran.reason is not None
        assert ran.reason.code == FailureCode.DISK_LIMIT
        assert ran.usage.wall_seconds < 3


async def test_the_nursery_s_end_is_noticed_and_another_one_takes_over(tmp_path: Path) -> None:
    async with broken_pool(tmp_path) as pool:
        await run(pool, "pass")
        nursery = nursery_of(pool)
        busy = asyncio.create_task(run(pool, "time.sleep(60)", seconds=60))
        await asyncio.sleep(0.1)
        nursery.kill()
        ran = await asyncio.wait_for(busy, 5)
        assert ran.reason is not None
        assert ran.reason.code in (FailureCode.CRASHED, FailureCode.MEMORY_LIMIT)
        assert (await asyncio.wait_for(run(pool, "result = 'again'"), 10)).value == b'"again"'
        assert nursery_of(pool).pid != nursery.pid


async def test_nothing_is_left_of_workers_that_were_killed(tmp_path: Path) -> None:
    async with broken_pool(tmp_path) as pool:
        await run(pool, "pass")
        nursery = nursery_of(pool)
        held, theirs = len(os.listdir("/proc/self/fd")), nursery.num_fds()
        for _ in range(5):
            assert (await run(pool, "time.sleep(60)", seconds=0.01)).outcome is Outcome.TIMED_OUT
        await run(pool, "pass")
        assert len(os.listdir("/proc/self/fd")) == held
        assert nursery.num_fds() == theirs
        assert len(nursery.children()) == len(pool.pids) == 1
        assert len(os.listdir(tmp_path / "workers")) == 1
    assert not nursery.is_running()


async def test_an_idle_pool_is_small(tmp_path: Path) -> None:
    pool = Pool(tmp_path, warm=2)
    await pool.start()
    try:
        await pool.confinement()
        for _ in range(200):
            await asyncio.sleep(0.02)
            if len(pool.pids) == 2 and all(psutil.Process(pid).num_threads() > 1 for pid in pool.pids):
                break
        processes = [nursery_of(pool), *map(psutil.Process, pool.pids)]
        assert sum(process.memory_full_info().pss for process in processes) < 200 * 2**20
        # Before the deadline of nothing, nobody wakes.
        await asyncio.sleep(0.5)
        before = sum(sum(process.cpu_times()[:2]) for process in processes)
        await asyncio.sleep(1)
        assert sum(sum(process.cpu_times()[:2]) for process in processes) - before <= 0.02
    finally:
        await pool.stop()


async def test_a_killed_agent_s_places_are_swept_by_the_next_one(tmp_path: Path) -> None:
    left = tmp_path / "workers" / "7" / "job" / "closed"
    left.mkdir(parents=True)
    (left / "file").touch()
    left.chmod(0)
    async with broken_pool(tmp_path) as pool:
        await run(pool, "pass")
        assert not left.parent.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_every_worker_carries_all_of_its_confinement(tmp_path: Path) -> None:
    async with broken_pool(tmp_path) as pool:
        await run(pool, "threading.Thread(target=time.sleep, args=(30,), daemon=True).start()")
        [pid] = pool.pids
        for status in threads_of(pid):
            assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
            assert {status[kind] for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        for kind in ("user", "net", "ipc", "uts"):
            assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
