"""The command line as a process, and what a starting server says."""

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from anchor.cli import main

START_SECONDS = 30.0
ANCHOR = [sys.executable, "-m", "anchor"]


class Seen(NamedTuple):
    """What came of a program at a terminal: its result on stdout, all that was drawn, and the text of that."""

    code: int
    out: bytes
    drawn: bytes
    text: str


class Cli:
    """`anchor` with the environment of one test server."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.url = url

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANCHOR_")}
        return {**kept, "ANCHOR_DATA": str(self.directory / "data"), "ANCHOR_URL": self.url, **more}

    def __call__(self, *words: str, seconds: float = 60, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*ANCHOR, *words],
            cwd=self.directory,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*ANCHOR, *words],
            cwd=self.directory,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def at_a_terminal(self, *words: str, seconds: float = 60, **more: str) -> Seen:
        """Run it with a terminal for what it says to people; skips where there are no such terminals."""
        pty = pytest.importorskip("pty", reason="there are no such terminals on Windows")
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*ANCHOR, *words],
            cwd=self.directory,
            env=self.environment(TERM="xterm", **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
        )
        os.close(theirs)
        drawn = b""
        # The other end of a terminal whose program has gone is an error to Linux.
        with os.fdopen(ours, "rb", buffering=0) as screen, contextlib.suppress(OSError):
            while piece := screen.read(65_536):
                drawn += piece
        out, _ = process.communicate(timeout=seconds)
        return Seen(process.returncode, out, drawn, re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", drawn).decode())


def url_said_by(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address a starting server writes to its log (a file: nobody has to keep reading it)."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"Anchor is up: (http://\S+)", log.read_text(encoding="utf-8")):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"the server did not start: {log.read_text(encoding='utf-8')}")


def exit_code_in_process(words: list[str], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> int:
    """What `anchor WORDS` exits with, run inside the test: for the many mistakes that need no process."""
    for name in list(os.environ):
        if name.startswith("ANCHOR_"):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["anchor", *words])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code
