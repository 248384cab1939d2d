"""Apps that mean harm, on a node that hosts them: held, told of clearly, and no neighbour hears of it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.agent.stage_of_apps import PYTHON, Stage, staged

from anchor.agent.apps import app_log, doors, hosting, replica
from anchor.agent.sandbox.probe import probe
from anchor.wire.link import HostItem

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(probe().level != "confined", reason=probe().why or "confined"),
]
SERVE = f"exec {PYTHON} -u server.py"
OUTER_PROCESSES_MAX = 1500
_PIDS = Path("/sys/fs/cgroup/pids")
REACH = """
import os, pathlib, socket, sys
secret, port, agent, name = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

def tried(what, act):
    try:
        act()
    except Exception as error:
        return
    print("reached", what, flush=True)

def connected(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.settimeout(1)
        one.connect(address)

tried("loopback", lambda: connected(socket.AF_INET, ("127.0.0.1", port)))
tried("loopback 6", lambda: connected(socket.AF_INET6, ("::1", port)))
tried("any", lambda: connected(socket.AF_INET, ("0.0.0.0", port)))
tried("metadata", lambda: connected(socket.AF_INET, ("169.254.169.254", 80)))
tried("the outside", lambda: connected(socket.AF_INET, ("192.0.2.1", 80)))
tried("another app", lambda: connected(socket.AF_INET, ("127.0.0.1", 8080)))
tried("an abstract socket", lambda: connected(socket.AF_UNIX, chr(0) + name))
tried("a secret", lambda: pathlib.Path(secret).read_bytes())
tried("the agent", lambda: os.kill(agent, 0))
tried("the memory of the agent", lambda: open(f"/proc/{agent}/mem", "rb"))
tried("other replicas", lambda: os.listdir(os.path.dirname(os.path.dirname(secret))))
tried("a write to the system", lambda: open("/usr/x", "w"))
tried("a trace of the inlet", lambda: open("/proc/2/mem", "r+b").write(b"x"))
print("tried all", sorted(os.listdir("/")), flush=True)
"""


async def neighbourly(stage: Stage, neighbour: HostItem) -> float:
    """The longest that a neighbour takes to answer, of some times."""
    worst = 0.0
    for _ in range(10):
        began = time.perf_counter()
        assert await stage.asked(neighbour) == "web.0 of 1 /"
        worst = max(worst, time.perf_counter() - began)
    return worst


@pytest.mark.anyio
async def test_hostile_apps_are_held_and_their_neighbour_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "LAST_SECONDS", 0.5)
    monkeypatch.setattr(doors, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(replica, "BACKOFF_SECONDS", (0.05,))
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("precious")
    os.chmod(precious, 0o700)
    name = f"anchor-hostile-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as abstract,
    ):
        abstract.bind(f"\0{name}")
        abstract.listen()
        port = listener.getsockname()[1]
        processes = {
            "neighbour": {"web": SERVE},
            "reaching": {
                "web": SERVE,
                "worker": f"{PYTHON} reach.py {tmp_path}/precious/file {port} {os.getpid()} {name}; exec sleep 60",
            },
            "flooding": {"worker": "yes 'a flood of words that nobody wants to read'"},
            "one-line": {"worker": "cat /dev/zero | tr '\\0' x"},
            "stubborn": {"worker": "trap '' TERM HUP INT; echo here; while :; do sleep 1; done"},
            "filling-memory": {
                "worker": "head -c 400000000 /dev/zero > /dev/shm/x; head -c 400000000 /dev/zero > /tmp/x; exit 9"
            },
            "linking": {
                "worker": f"ln -s {precious} out; mkdir -p a/b; ln -s / a/b/root; chmod 000 a; echo linked; sleep 60"
            },
            "unaccepting": {
                "web": f"exec {PYTHON} -c 'import os, socket, time; s = socket.socket();"
                ' s.bind(("127.0.0.1", int(os.environ["PORT"]))); s.listen(0); time.sleep(60)\''
            },
        }
        async with staged(tmp_path / "stage", probe(), processes) as stage:
            (tmp_path / "stage" / "source" / "reach.py").write_text(REACH)
            neighbour = stage.item("neighbour")
            items = {
                one: stage.item(one, process="web" if "worker" not in processes[one] else "worker") for one in processes
            }
            items["reaching web"] = stage.item("reaching", 2)
            stage.hosting.want(list(items.values()))
            await stage.until_state(neighbour, "healthy")
            worst = await neighbourly(stage, neighbour)

            # A flood is cut to what a log may be, said so, and costs no neighbour its answers.
            began = time.monotonic()
            await stage.until(lambda: "were dropped here" in stage.log(items["flooding"]))
            await stage.until(lambda: "cut at" in stage.log(items["one-line"]))
            most = app_log.BURST_BYTES + (time.monotonic() - began + 5) * app_log.BYTES_PER_SECOND
            for flood in ("flooding", "one-line"):
                assert len(stage.log(items[flood])) < most

            # Nothing but itself is reached.
            await stage.until(lambda: "tried all" in stage.log(items["reaching"]))
            assert "reached" not in stage.log(items["reaching"])

            # It is not accepted what an app does not accept, and nobody waits for it.
            await stage.until(
                lambda: any(one.app == items["unaccepting"].app and one.state == "healthy" for one in stage.statuses)
            )

            async def until_refused() -> None:
                kept = []
                try:
                    while True:
                        kept.append(await stage.hosting.connect(items["unaccepting"].app, 1))
                finally:
                    for one in kept:
                        one.close()

            with pytest.raises(TimeoutError):
                await until_refused()

            await stage.until(lambda: "linked" in stage.log(items["linking"]))
            await stage.until(lambda: "here" in stage.log(items["stubborn"]))
            status = await stage.until_state(items["filling-memory"], "failed")
            assert status.reason is not None
            assert status.reason.code in ("memory_limit", "crash_loop")
            assert max(worst, await neighbourly(stage, neighbour)) < 2
            before = time.monotonic()
        assert time.monotonic() - before < 10, "whoever does not want to end is ended"
        assert (precious / "file").read_text() == "precious"
        assert os.listdir(tmp_path / "stage" / "agent" / "apps" / "replicas") == []
        assert (tmp_path / "stage" / "agent" / "apps").stat().st_mode & 0o077 == 0
        left = [one.info["cmdline"] for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"]]
        assert not [line for line in left if "a flood of words that nobody wants to read" in line]


BOMB = """
import asyncio, sys
from pathlib import Path
from tests.agent.stage_of_apps import PYTHON, staged
from anchor.agent.sandbox.probe import probe

async def main(folder):
    assert Path(probe().cgroup["pids"]).name.startswith("bomb-"), probe().cgroup
    small = "for n in 1 2 3; do sleep 60 & done; wait"
    bomb = "b() { b | b & }; b; sleep 60"
    serve = f"exec {PYTHON} -u server.py"
    processes = {"small": {"worker": small}, "bomb": {"worker": bomb}, "web": {"web": serve}}
    async with staged(folder, probe(), processes) as stage:
        web = stage.item("web")
        stage.hosting.want([web, stage.item("small", process="worker")])
        await stage.until_state(web, "healthy")
        await stage.until_state(stage.item("small"), "healthy")
        stage.hosting.want([web, stage.item("bomb", process="worker")])
        await stage.until(lambda: (one := stage.status(stage.item("bomb"))) is not None and one.restarts > 0)
        reason = stage.status(stage.item("bomb")).reason
        assert reason.code == "process_limit", reason
        assert "more than 512 processes and threads" in reason.message
        assert await stage.asked(web) == "web.0 of 1 /"
        stage.hosting.want([web])
        await stage.until_state(stage.item("bomb"), "stopped")

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def outer() -> Iterator[Path]:
    if os.geteuid() != 0 or not os.access(_PIDS, os.W_OK):
        pytest.skip("a fork bomb is only let off by root, inside a pids control group (version 1) of its own")
    group = _PIDS / f"bomb-{os.getpid()}"
    group.mkdir()
    (group / "pids.max").write_text(str(OUTER_PROCESSES_MAX))
    yield group
    group.rmdir()


def test_an_app_that_forks_without_end_is_bounded(tmp_path: Path, outer: Path) -> None:
    enter = ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(outer / "cgroup.procs")]
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [*enter, sys.executable, "-c", BOMB, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])},
    )
    assert ran.returncode == 0, ran.stderr
    assert (outer / "cgroup.procs").read_text() == ""
    assert [path for path in outer.iterdir() if path.is_dir()] == []
