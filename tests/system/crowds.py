"""A crowd of simulated agents, as a test sees it."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE_SECONDS = 60.0
PROGRAM = Path(__file__).parent / "crowd.py"


class Crowd:
    """Simulated agents in a process of their own; `events` are [time, node, event, seconds] as crowd.py tells them."""

    def __init__(self, url: str, count: int, **wish: object) -> None:
        self.count = count
        self.connected: set[str] = set()
        self.events: list[tuple[float, str, str, float]] = []
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._tell(json.dumps({"url": url, "count": count, **wish}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(20)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def drop(self) -> float:
        """Cut the lines of all agents at once; when that was."""
        at = time.monotonic()
        self._tell("drop")
        return at

    def wait_until_connected(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Until all of them have a session."""
        self.wait_for(lambda: len(self.connected) == self.count, seconds)

    def wait_for(self, holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        until = time.monotonic() + seconds
        while not holds():
            assert self._process.poll() is None, "the crowd's process has ended"
            assert time.monotonic() < until, f"{len(self.connected)} of {self.count} are connected after {seconds} s"
            time.sleep(0.02)

    def after(self, at: float, event: str) -> list[tuple[float, str, float]]:
        """What happened since then: how many seconds later, to whom, and the seconds told with it."""
        return [(when - at, node, took) for when, node, what, took in list(self.events) if what == event and when >= at]

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at, node, event, seconds = json.loads(line)
            if event == "connected":
                self.connected.add(node)
            elif event == "lost":
                self.connected.discard(node)
            self.events.append((at, node, event, seconds))


def busiest_second(times: list[float]) -> float:
    """The largest share of these moments that lies within one second, wherever it begins."""
    return max(sum(begin <= other < begin + 1 for other in times) for begin in times) / len(times)
