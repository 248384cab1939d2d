"""A server in a process of its own, and what it said on the way: no test may make it say that it made a mistake."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

START_SECONDS = 60.0
STOP_SECONDS = 30.0
ELSEWHERE = "127.0.0.2"
"""An address of this machine that is not the loopback name: there the server wants a token from everybody."""


class Served:
    """`anchor server` on a data directory. `client` asks it as its admin: without a token where it wants none."""

    program: tuple[str, ...] = ("-m", "anchor")
    """What Python is told to run."""

    def __init__(self, directory: Path, *, host: str = "127.0.0.1", port: int = 0, **settings: object) -> None:
        self.data = directory / "data"
        self._said = directory / "said.txt"
        self._arguments = ["--host", host, "--port", str(port), "--data", str(self.data), "--log-format", "json"]
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("ANCHOR_")}
        self._environment |= {f"ANCHOR_{name.upper()}": str(value) for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.client = httpx.Client()

    def start(self) -> None:
        """Start, or start again on the same data."""
        with self._said.open("ab") as said:
            already = said.tell()
            self._process = subprocess.Popen(
                [sys.executable, *self.program, "server", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=self._environment,
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            found = re.search(r"Anchor is up: (http://\S+)", self.said()[already:])
            if found:
                self.url = found[1]
                admin = self.data / "admin-token"
                self.client = self.as_holder_of(admin.read_text() if admin.exists() else None)
                return
            time.sleep(0.02)
        if self._process.poll() is None:
            self.kill()
        raise AssertionError(f"the server did not start:\n{self.said()}")

    def kill(self) -> None:
        """End it as a power failure would."""
        self.client.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def stop(self) -> float:
        """Stop it as an operator does; how many seconds that took."""
        assert self._process is not None
        asked = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(STOP_SECONDS)
        self.client.close()
        return time.monotonic() - asked

    def end(self) -> None:
        """Stop it, and fail where it had to admit a mistake."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        mistakes = self.mistakes()
        assert not mistakes, mistakes

    def said(self) -> str:
        """Everything it printed and logged."""
        return self._said.read_text(encoding="utf-8")

    def mistakes(self) -> list[str]:
        """The lines of its log that speak of an error, and tracebacks from wherever they come."""
        return [line for line in self.said().splitlines() if _is_mistake(line)]

    @property
    def status(self) -> int | None:
        """With what it exited; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def memory_mib(self) -> float:
        """What it holds of this machine's memory."""
        return float(psutil.Process(self.pid).memory_info().rss) / (1 << 20)

    def as_holder_of(self, token: str | None) -> httpx.Client:
        """A client that sends this token, or none; close it."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False, headers=headers)

    def key(self, name: str, role: str) -> str:
        """The secret of a new API key."""
        answer = self.client.post("/api/keys", json={"name": name, "role": role})
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        return token

    def submit(self, **fields: object) -> str:
        """A task that does nothing; its id."""
        answer = self.client.post("/api/tasks", json={"name": "t", "type": "noop", **fields})
        assert answer.status_code == 201, answer.text
        task: str = answer.json()["id"]
        return task

    def task(self, task: str) -> dict[str, Any]:
        """One task, whole."""
        answer = self.client.get(f"/api/tasks/{task}")
        assert answer.status_code == 200, answer.text
        view: dict[str, Any] = answer.json()
        return view

    def tasks(self) -> int:
        """How many tasks it has."""
        return int(self.client.get("/api/tasks", params={"limit": 1}).headers["x-total-count"])

    def is_well(self) -> bool:
        """Whether it says so itself."""
        return bool(self.client.get("/health").json()["status"] == "ok")


def _is_mistake(line: str) -> bool:
    if line.startswith("Traceback"):
        return True
    try:
        return json.loads(line)["level"] in {"error", "critical"}
    except (ValueError, TypeError, KeyError):
        return False


def assert_problem(
    answer: httpx.Response, status: int, code: str, *, says: str = "", hints: str = "", at: str | None = None
) -> None:
    """The answer is a problem document with everything a caller needs, and with nothing of the server's insides."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code), problem
    assert re.search(says, problem["detail"]), problem
    assert re.search(hints or ".", problem["hint"]), problem
    assert re.fullmatch("req_[0-9a-f]{16}", problem["requestId"])
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text
    if at is not None:
        assert [fault["pointer"] for fault in problem["errors"]] == [at], problem
