"""Programs of ours as processes that start in a tenth of the usual time: forked from one that has loaded the code."""

import importlib
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx

from anchor import failpoints

START_SECONDS = 60.0
END_SECONDS = 30.0
LOADED = [
    "anchor.cli.app",
    "anchor.cli.server",
    "anchor.cli.agent",
    "anchor.cli.backup",
    "anchor.cli.restore",
    "anchor.adapters.gridfs.blobs",
    "anchor.adapters.mongo.store",
    "anchor.adapters.redis.hints",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "uvloop",
    "typer._adapters",
]
"""What is loaded before forking; a name that is not there is passed over and costs nothing but time."""
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(LOADED)

_one_at_a_time = threading.Lock()
"""Whoever starts a process asks after all others as well, and an exit code can be read once."""


class Died(Exception):
    """The program ended while it was needed; the argument is its exit code."""


class Program:
    """`anchor …` as a process of its own, with settings as keyword arguments; what it says is kept in a file."""

    def __init__(self, log: Path, *arguments: str, **settings: object) -> None:
        self.log = log
        self.arguments = list(arguments)
        self.settings = {f"ANCHOR_{name.upper()}": str(value) for name, value in settings.items()}
        self.process: ForkServerProcess | None = None

    def start(self, *more: str, failpoint: str = "", **settings: object) -> None:
        """Start it; it dies at the failpoint (`name` or `name:n`), if any. `more` arguments and `settings` hold for
        this start only."""
        environment = self.settings | {f"ANCHOR_{name.upper()}": str(value) for name, value in settings.items()}
        if failpoint:
            environment["ANCHOR_TEST_FAILPOINT"] = failpoint
        self.process = _context.Process(target=_run, args=([*self.arguments, *more], environment, str(self.log)))
        with _one_at_a_time:
            self.process.start()

    @property
    def alive(self) -> bool:
        return self.process is not None and _exit_code(self.process) is None

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop (or kill it); its exit code."""
        if self.process is not None and self.process.pid is not None and self.alive:
            os.kill(self.process.pid, how)
        return self.wait()

    def wait(self, seconds: float = END_SECONDS) -> int:
        """Its exit code, once it has ended."""
        assert self.process is not None
        until = time.monotonic() + seconds
        while (code := _exit_code(self.process)) is None:
            if time.monotonic() > until:
                self.process.kill()
                raise AssertionError(f"{self.arguments[0]} did not end within {seconds} s:\n{self.said()}")
            time.sleep(0.005)
        return code

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-6000:] if self.log.exists() else ""


class Server(Program):
    """`anchor server` (or `up`) on a port of its own; `client` asks it as its admin."""

    def __init__(
        self, directory: Path, port: int, *, command: str = "server", host: str = "127.0.0.1", **settings: object
    ) -> None:
        self.data = directory / "data"
        address = ["--host", host, "--port", str(port)]
        super().__init__(
            directory / "server.log", command, *address, "--data", str(self.data), "--log-format", "json", **settings
        )
        self.url = f"http://{host}:{port}"
        self.client = self._new_client()

    def start(self, *more: str, failpoint: str = "", **settings: object) -> None:
        """Start it and wait until it is up; Died where it does not get there."""
        said = self.log.stat().st_size if self.log.exists() else 0
        super().start(*more, failpoint=failpoint, **settings)
        until = time.monotonic() + START_SECONDS
        while True:
            with self.log.open("rb") if self.log.exists() else open(os.devnull, "rb") as log:
                log.seek(said)
                if re.search(rb"Anchor is up", log.read()):
                    break
            if not self.alive:
                raise Died(self.wait())
            assert time.monotonic() < until, f"the server did not start:\n{self.said()}"
            time.sleep(0.01)
        self.client.close()
        self.client = self._new_client()

    def ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        """Its answer; Died where it ended instead of giving one."""
        try:
            return self.client.request(method, path, **what)
        except httpx.TransportError:
            raise self.explained() from None

    def explained(self) -> Exception:
        """Why it does not answer."""
        return Died(self.wait())

    def mistakes(self) -> Sequence[str]:
        """Lines of its log that speak of a mistake of its own."""
        return [line for line in self.said().splitlines() if line.startswith("Traceback") or '"level": "error"' in line]

    def _new_client(self) -> httpx.Client:
        token = self.data / "admin-token"
        headers = {"Authorization": f"Bearer {token.read_text()}"} if token.exists() else {}
        return httpx.Client(base_url=self.url, timeout=20, trust_env=False, headers=headers)


def _exit_code(process: ForkServerProcess) -> int | None:
    with _one_at_a_time:
        return process.exitcode


def call(function: Callable[..., object], *arguments: object, failpoint: str = "") -> int:
    """Call a function in a process of its own; the exit code."""
    process = _context.Process(target=_call, args=(function, arguments, failpoint))
    with _one_at_a_time:
        process.start()
    while (code := _exit_code(process)) is None:
        time.sleep(0.005)
    return code


def _call(function: Callable[..., object], arguments: tuple[object, ...], failpoint: str) -> None:
    os.environ["ANCHOR_TEST_FAILPOINT"] = failpoint
    importlib.reload(failpoints)
    function(*arguments)


def _run(arguments: list[str], environment: dict[str, str], log: str) -> None:
    os.setsid()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    sys.stdout, sys.stderr = (open(stream, "w", buffering=1, encoding="utf-8", closefd=False) for stream in (1, 2))  # noqa: SIM115
    for name in [name for name in os.environ if name.startswith("ANCHOR_")]:
        del os.environ[name]
    os.environ |= environment
    importlib.reload(failpoints)  # reads the environment as a new process does
    sys.argv = ["anchor", *arguments]
    from anchor.cli.app import main  # noqa: PLC0415

    main()
