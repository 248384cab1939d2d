"""The inlet into an app's cell: quick and small, exactly one port, and whoever breaks it cuts off only himself."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.agent.stage_of_apps import PYTHON, Stage, got, running_of, staged

from anchor.agent.apps import inlet
from anchor.agent.apps.doors import Inlet
from anchor.agent.runtimes.native.installer import foreign
from anchor.agent.sandbox.confinement import Cell, Confinement, Mount
from anchor.agent.sandbox.probe import probe
from anchor.agent.sandbox.supervise import Program, supervise
from anchor.wire import box
from anchor.wire.link import HostItem

pytestmark = pytest.mark.skipif(probe().level != "confined", reason=probe().why or "confined")
SERVE = f"exec {PYTHON} -u server.py"
MIB = 1024 * 1024
MEANT = {
    "no socket": "non-socket",
    "unix": "tampered",
    "datagram": "tampered",
    "two": "tampered",
    "closed": "the replica is over",
}
"""What a tampered inlet may hand over instead of one TCP socket, and what is said of it."""


def inlet_of(stage: Stage, item: HostItem) -> psutil.Process:
    """The inlet of a replica, seen from outside."""
    root = psutil.Process(running_of(stage, item)._root)
    return next(one for one in root.children(recursive=True) if any("inlet.py" in part for part in one.cmdline()[:5]))


@pytest.mark.anyio
async def test_connections_are_quick_and_may_be_many_at_once(tmp_path: Path) -> None:
    async with staged(tmp_path, probe(), {"demo": {"web": SERVE}}) as stage:
        web = stage.item("demo")
        stage.hosting.want([web])
        await stage.until_state(web, "healthy")
        took = []
        for _ in range(20):
            began = time.perf_counter()
            (await stage.hosting.connect(web.app, 1)).close()
            took.append(time.perf_counter() - began)
        assert sorted(took)[10] < 0.02, "below a millisecond on a machine that does nothing else"
        # More at once than the socket to the inlet holds, and than the app's own queue.
        answers = await asyncio.gather(*(stage.asked(web, f"/{number}") for number in range(300)))
        assert answers == [f"web.0 of 1 /{number}" for number in range(300)]
        assert inlet_of(stage, web).memory_info().rss < 20 * MIB


@pytest.mark.anyio
async def test_an_inlet_leads_to_its_own_cell_only(tmp_path: Path) -> None:
    # The same port on the machine's loopback is somebody else's: in the cell nobody listens on it.
    with socket.create_server(("127.0.0.1", 0)) as outside:
        door = Inlet(outside.getsockname()[1], probe())
        program = Program(
            argv=[*door.starter(), "sleep", "60"],
            env=door.environment({}),
            cell=Cell(directory=Mount(tmp_path, "/app", writable=True), mounts=foreign(door.mounts), memory_mib=128),
            timeout_seconds=60,
            passed=door.passed,
        )
        running = asyncio.create_task(supervise(probe(), program, lambda stream, text: True))
        with pytest.raises(ConnectionRefusedError):
            await door.connect(0)
        # The agent lets go: then the inlet ends, and with it the cell.
        door.close()
        async with asyncio.timeout(10):
            assert (await running).code == 128 + signal.SIGKILL


@pytest.mark.anyio
async def test_variables_of_an_app_mean_nothing_to_its_inlet(tmp_path: Path) -> None:
    # The C library brings this one, and nobody else loads it.
    library = "libBrokenLocale.so.1"
    look = (
        "grep -l BrokenLocale /proc/[0-9]*/maps; tr '\\0' '\\n' </proc/2/environ | grep ^LD_PRELOAD; echo $LD_PRELOAD"
    )
    async with staged(tmp_path, probe(), {"demo": {"web": f"{look}; echo looked; {SERVE}"}}) as stage:
        given = {"LD_PRELOAD": library, "LD_AUDIT": "", "PYTHONHOME": "/app"}
        env = box.sealed(box.public_of(stage.key), json.dumps(given).encode())
        web = stage.item("demo", env=env)
        stage.hosting.want([web])
        await stage.until(lambda: "looked" in stage.log(web))
        *preloaded, told, _ = stage.log(web, "stdout").splitlines()[1:]
        assert told == library
        assert preloaded, "the app itself has it"
        assert not {"/proc/1/maps", "/proc/2/maps"} & set(preloaded)


@pytest.mark.anyio
async def test_an_app_that_kills_its_inlet_is_started_again(tmp_path: Path) -> None:
    # The shell is the cell's first process, the inlet its second.
    killing = "sleep 0.2; kill -9 2; sleep 60"
    async with staged(tmp_path, probe(), {"bad": {"web": killing}, "demo": {"web": SERVE}}) as stage:
        bad, web = stage.item("bad"), stage.item("demo")
        stage.hosting.want([web, bad])
        await stage.until_state(web, "healthy")
        await stage.until(lambda: (status := stage.status(bad)) is not None and status.restarts >= 1)
        assert await stage.asked(web) == "web.0 of 1 /"


@pytest.mark.anyio
async def test_a_stopped_inlet_answers_nobody_and_holds_up_nobody_else(tmp_path: Path) -> None:
    async with staged(tmp_path, probe(), {"demo": {"web": SERVE}, "other": {"web": SERVE}}) as stage:
        web, other = stage.item("demo"), stage.item("other")
        stage.hosting.want([web, other])
        await stage.until_state(web, "healthy")
        await stage.until_state(other, "healthy")
        inlet_of(stage, web).send_signal(signal.SIGSTOP)
        waiting = asyncio.create_task(stage.hosting.connect(web.app, 1))
        assert await stage.asked(other) == "web.0 of 1 /"
        assert not waiting.done()
        inlet_of(stage, web).send_signal(signal.SIGCONT)
        assert await got(await waiting) == "web.0 of 1 /"


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [*MEANT, "unasked"])
async def test_what_a_tampered_inlet_hands_over_is_looked_at(kind: str) -> None:
    door = Inlet(8080, Confinement("confined"))
    theirs = socket.socket(fileno=os.dup(door.passed[0]))
    read, write = os.pipe()
    one, other = socket.socketpair()
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    before = len(os.listdir("/proc/self/fd"))
    try:
        if kind == "unasked":
            socket.send_fds(theirs, [b"\0"], [one.fileno()])
            for _ in range(3):
                await asyncio.sleep(0)  # the loop looks at its sockets
            with pytest.raises(ConnectionAbortedError):
                await door.connect(0)
            return
        asking = asyncio.create_task(door.connect(0))
        await asyncio.sleep(0)
        assert await asyncio.to_thread(theirs.recv, 1) == inlet.CONNECT
        if kind == "closed":
            theirs.shutdown(socket.SHUT_RDWR)
        else:
            fds = {
                "no socket": [read],
                "unix": [one.fileno()],
                "datagram": [datagram.fileno()],
                "two": [one.fileno(), other.fileno()],
            }
            socket.send_fds(theirs, [b"\0"], fds[kind])
        with pytest.raises(OSError, match=MEANT[kind]):
            await asking
        assert len(os.listdir("/proc/self/fd")) <= before, "nothing that was handed over stays open"
    finally:
        door.close()
        for opened in (theirs, one, other, datagram):
            opened.close()
        os.close(read)
        os.close(write)


AGENT = """
import asyncio, sys
from pathlib import Path
from tests.agent.stage_of_apps import running_of, staged
from anchor.agent.runtimes.native.installer import foreign
from anchor.agent.sandbox.confinement import Cell, Confinement, Mount
from anchor.agent.sandbox.probe import probe

async def main():
    where = probe() if sys.argv[2] == "confined" else Confinement("process")
    async with staged(Path(sys.argv[1]), where, {"demo": {"web": sys.argv[3], "worker": sys.argv[3]}}) as stage:
        items = [stage.item("demo", 1), stage.item("demo", 2, "worker")]
        stage.hosting.want(items)
        await stage.until_state(items[0], "starting")
        await asyncio.sleep(100)

asyncio.run(main())
"""


@pytest.mark.parametrize("level", ["confined", "process"])
def test_nothing_of_an_app_outlives_an_agent_that_is_killed(tmp_path: Path, level: str) -> None:
    # A child, and a daemon of its own session.
    mark = f"30{os.getpid()}"
    command = f"setsid sleep {mark} & sleep {mark}"
    agent = subprocess.Popen([sys.executable, "-c", AGENT, str(tmp_path), level, command])
    try:
        wait_for(lambda: running(mark) == 4)
    finally:
        agent.kill()
        agent.wait()
    wait_for(lambda: running(mark) == 0)


def running(mark: str) -> int:
    found = 0
    for process in psutil.process_iter(["cmdline"]):
        found += process.info["cmdline"] == ["sleep", mark]
    return found


def wait_for(is_so: object) -> None:
    assert callable(is_so)
    deadline = time.monotonic() + 15
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
