"""What an agent costs that has nothing to do: memory with shared pages divided among their users, and CPU time."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from benchmarks.runtimes.small import Figure

SETTLE_SECONDS = 10.0
START_SECONDS = 60.0


def idle(seconds: float) -> list[Figure]:
    """The agent of an `anchor up` and everything below it, over `seconds`."""
    with tempfile.TemporaryDirectory() as directory:
        server = subprocess.Popen(
            [sys.executable, "-m", "anchor", "up", "--port", "0", "--data", directory, "--log-level", "warning"],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            return _measured(_agent_of(server), seconds)
        finally:
            server.terminate()
            server.wait(20)


def _agent_of(server: "subprocess.Popen[str]") -> psutil.Process:
    assert server.stderr is not None
    next(line for line in server.stderr if "Anchor is up" in line)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for child in psutil.Process(server.pid).children():
            if "anchor.wiring.own_agent" in child.cmdline():
                return child
        time.sleep(0.1)
    raise SystemExit("the agent did not start")


def _measured(agent: psutil.Process, seconds: float) -> list[Figure]:
    time.sleep(SETTLE_SECONDS)
    before, begun = _cpu_seconds(agent), time.monotonic()
    time.sleep(seconds)
    used, took = _cpu_seconds(agent) - before, time.monotonic() - begun
    everybody = [agent, *agent.children(recursive=True)]
    return [
        Figure("idle agent with its pool: memory (PSS)", sum(map(_pss_mib, everybody)), "MiB", "≤ 250"),
        Figure("idle agent with its pool: processor", 100 * used / took, "% of a core", "≤ 1"),
    ]


def _cpu_seconds(agent: psutil.Process) -> float:
    times = [process.cpu_times() for process in (agent, *agent.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def _pss_mib(process: psutil.Process) -> float:
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
