"""What connected agents that have nothing to do cost a server: its CPU time and memory, agents by the hundred.

    python benchmarks/idle_agents.py [--agents 1000] [--seconds 30]

Real sockets, signatures and heartbeats at the default interval; the agents live in a process of their own, which is
not counted.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
START_SECONDS = 120.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--agents", type=int, default=1000)
    arguments.add_argument("--seconds", type=float, default=30.0)
    wish = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = subprocess.Popen(
            [sys.executable, "-m", "anchor", "server", "--port", "0", "--data", directory, "--log-level", "warning"],
            stderr=subprocess.PIPE,
            text=True,
        )
        crowd = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "system" / "crowd.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            measure(server, crowd, wish.agents, wish.seconds)
        finally:
            for process in (crowd, server):
                process.terminate()
                process.wait(20)


def measure(server: "subprocess.Popen[str]", crowd: "subprocess.Popen[str]", agents: int, seconds: float) -> None:
    assert server.stderr is not None
    assert crowd.stdin is not None
    url = next(line.split()[3] for line in server.stderr if "Anchor is up" in line)
    process = psutil.Process(server.pid)
    empty = process.memory_info().rss
    crowd.stdin.write(json.dumps({"url": url, "count": agents}) + "\n")
    crowd.stdin.flush()
    rounds: list[float] = []
    connected: set[str] = set()

    def listen() -> None:
        assert crowd.stdout is not None
        for line in crowd.stdout:
            _, node, event, took = json.loads(line)
            if event == "connected":
                connected.add(node)
            elif event == "lost":
                connected.discard(node)
            elif event == "renewed":
                rounds.append(took)

    threading.Thread(target=listen, daemon=True).start()
    begun = time.monotonic()
    while len(connected) < agents:
        if time.monotonic() - begun > START_SECONDS:
            raise SystemExit(f"only {len(connected)} of {agents} agents are connected")
        time.sleep(0.1)
    print(f"{agents} agents joined and connected in {time.monotonic() - begun:.1f} s")
    time.sleep(5)
    rounds.clear()
    before, at = process.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after, took = process.cpu_times(), time.monotonic() - at
    in_kernel = after.system - before.system
    used = after.user - before.user + in_kernel
    lasted = sorted(rounds)
    print(
        f"CPU      {100 * used / took:.1f} % of a core ({1e6 * used / len(lasted):.0f} µs a heartbeat; "
        f"{100 * in_kernel / used:.0f} % of it in the kernel)"
    )
    print(f"memory   {process.memory_info().rss / 2**20:.0f} MiB ({empty / 2**20:.0f} MiB without agents)")
    print(f"beats    {len(lasted) / took:.0f} a second, answered in {1000 * lasted[len(lasted) // 2]:.0f} ms (median), "
          f"{1000 * lasted[len(lasted) * 99 // 100]:.0f} ms (p99)")  # fmt: skip
    print(f"load     {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {len(connected)} connected at the end")


if __name__ == "__main__":
    main()
