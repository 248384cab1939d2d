"""Measures a page from the outside: frames of the screen, the main thread, memory, and what came over the live link."""

import json
import re
from dataclasses import dataclass
from itertools import pairwise

from playwright.sync_api import Page, WebSocket

COUNT_FRAMES = """
() => {
  const seen = (window.gauge = { frames: 0, longest: 0, begun: performance.now(), last: performance.now() });
  const step = (now) => {
    seen.frames += 1;
    seen.longest = Math.max(seen.longest, now - seen.last);
    seen.last = now;
    requestAnimationFrame(step);
  };
  requestAnimationFrame((now) => { seen.last = seen.begun = now; requestAnimationFrame(step); });
}
"""
READ_FRAMES = "() => ({ ...window.gauge, lasted: window.gauge.last - window.gauge.begun })"


@dataclass(frozen=True)
class Reading:
    """What was measured over `seconds`: frames of the screen a second, the longest between two (ms), the share of time
    the main thread was busy, what the heap grew by (MB), and the bytes that came over the link."""

    seconds: float
    fps: float
    longest_ms: float
    busy: float
    heap_mb: float
    received: int


class LiveLink:
    """What a page is sent over /live: frames by room in the order of their numbers, and how often it had to join."""

    def __init__(self, page: Page) -> None:
        self.frames: dict[str, list[int]] = {}
        self.joins: dict[str, int] = {}
        self.received = 0
        page.on("websocket", self._opened)

    def lost(self) -> int:
        """Frames whose number does not follow that of the one before."""
        return sum(after != before + 1 for numbers in self.frames.values() for before, after in pairwise(numbers))

    def _opened(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda content: self._came(str(content)))
        socket.on("framesent", lambda content: self._went(str(content)))

    def _came(self, text: str) -> None:
        self.received += len(text)
        if text.startswith('42["frame",'):
            frame = json.loads(text[2:])[1]
            self.frames.setdefault(frame["room"], []).append(frame["seq"])

    def _went(self, text: str) -> None:
        wish = re.search(r'\["join",\{"room":"([^"]+)"', text)
        if wish is not None:
            self.joins[wish[1]] = self.joins.get(wish[1], 0) + 1


class Gauge:
    """Measures a page while something else happens."""

    def __init__(self, page: Page, link: LiveLink) -> None:
        self._page = page
        self._link = link
        self._cdp = page.context.new_cdp_session(page)
        self._cdp.send("Performance.enable")
        self._before: dict[str, float] = {}
        self._received = 0

    def begin(self) -> None:
        """Measure from now on."""
        self._cdp.send("HeapProfiler.collectGarbage")
        self._page.evaluate(COUNT_FRAMES)
        self._received = self._link.received
        self._before = self._metrics()

    def end(self) -> Reading:
        """What was measured."""
        after = self._metrics()
        seen = self._page.evaluate(READ_FRAMES)
        self._cdp.send("HeapProfiler.collectGarbage")
        grown = self._metrics()["JSHeapUsedSize"] - self._before["JSHeapUsedSize"]
        seconds = after["Timestamp"] - self._before["Timestamp"]
        return Reading(
            seconds=seconds,
            fps=1000 * seen["frames"] / seen["lasted"],
            longest_ms=seen["longest"],
            busy=(after["TaskDuration"] - self._before["TaskDuration"]) / seconds,
            heap_mb=grown / 1e6,
            received=self._link.received - self._received,
        )

    def _metrics(self) -> dict[str, float]:
        metrics = self._cdp.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in metrics}
