"""Real servers and agents as processes of their own, to be killed and started again."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

READY_SECONDS = 5.0
"""A server has to be ready again within this after any crash, counted in its own CPU time: other programs on the
machine may slow it down by any factor."""
GIVE_UP_SECONDS = 60.0
LOG_TAIL = 3000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int) -> None:
    """Until something listens there."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port}")


class Program:
    """A command that can be killed and started again; what it says is kept in a file."""

    def __init__(self, log: Path, *arguments: str, lease_seconds: float = 3, **settings: object) -> None:
        self._log = log
        self._arguments = [sys.executable, "-m", "anchor", *arguments]
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("ANCHOR_")}
        self._environment |= {"ANCHOR_LEASE_SECONDS": str(lease_seconds), "ANCHOR_HEARTBEAT_SECONDS": "0.5"}
        self._environment |= {f"ANCHOR_{name.upper()}": str(value) for name, value in settings.items()}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, failpoint: str = "") -> None:
        """Start it; with a failpoint (`name` or `name:n`) it dies there, this time."""
        armed = {"ANCHOR_TEST_FAILPOINT": failpoint} if failpoint else {}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment | armed
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """kill -9: no handler runs, nothing is flushed."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(GIVE_UP_SECONDS)  # it may be in the middle of a write that the disk is slow with

    def stop(self) -> int:
        """What an operator does: SIGTERM, and wait."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        assert self.process is not None
        return self.process.wait(GIVE_UP_SECONDS)

    def said(self) -> str:
        return self._log.read_text(errors="replace")[-LOG_TAIL:] if self._log.exists() else ""

    def wait_until_it_says(self, words: str) -> None:
        """Wait until it has said something."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while words not in self.said():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)


class Server(Program):
    def __init__(self, directory: Path, *, name: str = "server", lease_seconds: float = 3, **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = directory / name
        super().__init__(
            directory / f"{name}.log",
            "server",
            "--port",
            str(self.port),
            "--data",
            str(self.data),
            lease_seconds=lease_seconds,
            **settings,
        )

    def start_and_wait(self, *, failpoint: str = "") -> float:
        """Start, and the seconds of CPU time it took to be ready."""
        self.start(failpoint=failpoint)
        return self.wait_until_ready()

    def wait_until_ready(self) -> float:
        """The seconds of CPU time it took since it was started."""
        begun = time.monotonic()
        while time.monotonic() - begun < GIVE_UP_SECONDS:
            try:
                if httpx.get(f"{self.url}/ready", timeout=1, trust_env=False).status_code == 200:
                    used = psutil.Process(self.pid).cpu_times()
                    return used.user + used.system
            except httpx.TransportError:
                pass
            if self.process is not None and self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"the server was not ready within {GIVE_UP_SECONDS} s:\n{self.said()}")


class Agent(Program):
    def __init__(self, directory: Path, server: Server, name: str, *options: str, slots: int = 4) -> None:
        self.name = name
        self.node = ""
        self._server = server
        data = directory / name
        super().__init__(
            directory / f"{name}.log", "agent", server.url, "--data", str(data), "--slots", str(slots), *options
        )

    def join(self, *, key: str = "") -> None:
        """Enrol with a fresh join token, made by the holder of this API key, and start."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = httpx.post(f"{self._server.url}/api/nodes/join-tokens", json={}, headers=headers, trust_env=False)
        token = answer.raise_for_status().json()["token"]
        plain = self._arguments
        self._arguments = [*plain, "--token", token]
        self.start()
        self._arguments = plain

    def wait_until_online(self, seconds: float = GIVE_UP_SECONDS) -> str:
        """The id of the node, once the server sees it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            known = re.search(r"node=(\S+)", self.said())
            if known is not None:
                nodes = httpx.get(f"{self._server.url}/api/nodes", trust_env=False).json()
                if any(node["nodeId"] == known.group(1) and node["status"] == "online" for node in nodes):
                    return known.group(1)
            time.sleep(0.05)
        raise AssertionError(f"{self.name} did not come online within {seconds} s:\n{self.said()}")
