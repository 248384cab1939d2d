"""What the dashboard makes of very many: figures of the browser, beside a real server.

    python -m benchmarks.ui [--seconds 30] [--nodes 1000] [--events 5000] [--only watch|tasks|graphs|pages]

The Watch is shown a fleet and events that are made up (benchmarks/ui_source.py) over the real /live, and so are the
pages that are looked at while nothing happens; a long list of tasks and large graphs are real. Needs Chromium and a
build of the dashboard.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright
from tests.acceptance.browser.gauge import Gauge, LiveLink
from tests.acceptance.browser.harbour import Harbour
from tests.acceptance.browser.test_dashboard_tasks import fill, look_at_the_end
from tests.acceptance.browser.test_dashboard_workflows import BLOCKED_MS_MAX, USABLE_SECONDS_MAX, look_at_many

SETTLE_SECONDS = 3.0
TASKS = 100_000
STEPS = 2_000
IDLE_SECONDS = 10.0
PLACES = ("/", "/tasks", "/dags", "/apps", "/nodes", "/cases", "/events", "/usage", "/keys", "/settings")
"""Those of frontend/src/shell/places.ts."""
# A page cannot be hidden in a browser that has no screen: it is told that it is, and has no frames then, as in any.
HIDE = """
let hidden = false;
const kept = [];
const frame = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (draw) => (hidden ? -kept.push(draw) : frame(draw));
Object.defineProperty(document, "hidden", { get: () => hidden });
Object.defineProperty(document, "visibilityState", { get: () => (hidden ? "hidden" : "visible") });
window.hide = (so) => {
  hidden = so;
  if (!so) for (const draw of kept.splice(0)) frame(draw);
  document.dispatchEvent(new Event("visibilitychange"));
};
"""


@dataclass(frozen=True)
class Wish:
    """How long the Watch is looked at, with how many nodes and events a second."""

    seconds: float
    nodes: int
    events: int


@dataclass(frozen=True)
class Source:
    """A server with a made-up fleet."""

    url: str
    process: "subprocess.Popen[str]"

    def play(self, rate: int) -> None:
        """So many events a second from now on."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{rate}\n")
        self.process.stdin.flush()

    def counts(self) -> dict[str, int]:
        """What the server says that runs, waits and ended."""
        tasks = httpx.get(f"{self.url}/api/queue/stats", trust_env=False).json()["tasks"]
        return {"running": tasks["active"], "waiting": tasks["waiting"], "total": sum(
            tasks[state] for state in ("waiting", "active", "delayed", "completed", "failed", "cancelled")
        )}  # fmt: skip

    def cpu_seconds(self) -> float:
        """The processor time it used so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)


@contextmanager
def source(nodes: int) -> Iterator[Source]:
    """A server with so many nodes, at rest."""
    with tempfile.TemporaryDirectory() as directory:
        call = ["server", "--port", "0", "--data", directory, "--log-level", "warning"]
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.ui_source", "--nodes", str(nodes), "--", *call],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            url = next(line.split()[3] for line in process.stderr if "Anchor is up" in line)
            yield Source(url, process)
        finally:
            process.terminate()
            process.communicate(timeout=20)


def shown(page: Page) -> dict[str, int]:
    """The same, as the page says it."""
    figures = dict(
        zip(
            page.locator("dl dt").all_inner_texts(),
            [text.split("\n")[0] for text in page.locator("dl dd").all_inner_texts()],
            strict=True,
        )
    )
    number = {name.lower(): value.replace(",", "") for name, value in figures.items()}
    total = page.locator("nav a", has_text="Tasks").inner_text().split()[-1].replace(",", "")
    return {"running": int(number["running"]), "waiting": int(number["waiting"]), "total": int(total)}


def watch(browser: Browser, wish: Wish) -> None:
    """The Watch under load: what it costs, and whether it tells the truth when it is over."""
    with source(wish.nodes) as server, tab(browser, server.url) as page:
        link = LiveLink(page)
        gauge = Gauge(page, link)
        page.goto("/")
        page.wait_for_selector("canvas")
        server.play(wish.events)
        page.wait_for_timeout(SETTLE_SECONDS * 1000)
        gauge.begin()
        cpu = server.cpu_seconds()
        page.wait_for_timeout(wish.seconds * 1000)
        cpu = server.cpu_seconds() - cpu
        reading = gauge.end()
        said = page.locator("footer").inner_text().replace("\n", "  ")
        server.play(0)
        until = time.monotonic() + 5
        while shown(page) != server.counts() and time.monotonic() < until:
            page.wait_for_timeout(50)
        told, true = shown(page), server.counts()
        per_second = reading.received / reading.seconds
        print(f"watch    {wish.nodes:,} nodes, {wish.events:,} events/s for {reading.seconds:.0f} s; it says: {said}")
        print(f"screen   {reading.fps:.1f} fps, longest frame {reading.longest_ms:.0f} ms")
        print(f"thread   {100 * reading.busy:.1f} % busy")
        print(f"heap     {reading.heap_mb:+.1f} MB")
        print(f"link     {per_second / 1000:.0f} kB/s, {link.lost()} frames lost, joins {link.joins}")
        print(f"server   {100 * cpu / reading.seconds:.1f} % of a core, the making up of events included")
        print(f"counts   {'equal' if told == true else 'DIFFERENT'}: page {told}, server {true}")


def tasks(browser: Browser, _: Wish) -> None:
    """A list of 100,000 tasks: from the key End to the last row being there."""
    with harbour() as server, tab(browser, server.url) as page:
        fill(server, TASKS)
        looks = [look_at_the_end(page, TASKS, "part 0") for _ in range(3)]
        times = ", ".join(f"{look['ms']:.0f}" for look in looks)
        print(f"tasks    {TASKS:,}: End shows the last row after {times} ms, {looks[0]['most']} row elements at most")


def graphs(browser: Browser, _: Wish) -> None:
    """Graphs of 2,000 steps: an assertion fails where one is not usable in time, or blocks the page."""
    with harbour() as server, tab(browser, server.url) as page:
        look_at_many(page, server, STEPS)
        bounds = f"within {USABLE_SECONDS_MAX:g} s, never blocked for over {BLOCKED_MS_MAX} ms"
        print(f"graphs   {STEPS:,} steps: usable {bounds}")


def pages(browser: Browser, wish: Wish) -> None:
    """What a page costs that is open while nothing happens, in sight and hidden: shares of a core."""
    with source(wish.nodes) as server:
        time.sleep(SETTLE_SECONDS)
        before = server.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        alone = (server.cpu_seconds() - before) / IDLE_SECONDS
        print(f"pages    {wish.nodes:,} nodes at rest; the server alone: {100 * alone:.1f} % of a core")
        print("page            seen: server  thread    kB/s   hidden: server  thread    kB/s")
        for place in PLACES:
            with tab(browser, server.url) as page:
                page.add_init_script(HIDE)
                page.goto(place)
                page.wait_for_timeout(SETTLE_SECONDS * 1000)
                seen = idle(page, server, alone)
                page.evaluate("hide(true)")
                page.wait_for_timeout(SETTLE_SECONDS * 1000)
                print(f"{place:<14} {seen}          {idle(page, server, alone)}", flush=True)


def idle(page: Page, server: Source, alone: float) -> str:
    """What the server and the page do because of the page, and what it fetches."""
    fetched = {"bytes": 0}
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    cdp.send("Network.enable")

    def came(more: int) -> None:
        fetched["bytes"] += more

    cdp.on("Network.loadingFinished", lambda it: came(it["encodedDataLength"]))
    cdp.on("Network.webSocketFrameReceived", lambda it: came(len(it["response"]["payloadData"])))
    cpu, busy = server.cpu_seconds(), task_seconds(cdp)
    page.wait_for_timeout(IDLE_SECONDS * 1000)
    cpu, busy = server.cpu_seconds() - cpu, task_seconds(cdp) - busy
    cdp.detach()
    share = max(0.0, cpu / IDLE_SECONDS - alone)
    return f"{100 * share:9.1f} % {100 * busy / IDLE_SECONDS:5.1f} % {fetched['bytes'] / IDLE_SECONDS / 1000:7.1f}"


def task_seconds(cdp: CDPSession) -> float:
    """What the main thread of a page has worked so far."""
    metrics = cdp.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


@contextmanager
def tab(browser: Browser, url: str) -> Iterator[Page]:
    """A tab of its own on a server."""
    context = browser.new_context(base_url=url, viewport={"width": 1440, "height": 960})
    context.set_default_timeout(60_000)
    try:
        yield context.new_page()
    finally:
        context.close()


@contextmanager
def harbour() -> Iterator[Harbour]:
    """A server with a node."""
    with tempfile.TemporaryDirectory() as directory:
        server = Harbour(Path(directory))
        try:
            server.start()
            yield server
        finally:
            server.stop()


BENCHES = {"watch": watch, "tasks": tasks, "graphs": graphs, "pages": pages}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=30.0)
    arguments.add_argument("--nodes", type=int, default=1000)
    arguments.add_argument("--events", type=int, default=5000)
    arguments.add_argument("--only", choices=BENCHES, action="append")
    given = arguments.parse_args()
    wish = Wish(given.seconds, given.nodes, given.events)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage", "--enable-precise-memory-info"]
        )
        failed = False
        for name in given.only or BENCHES:
            try:
                BENCHES[name](browser, wish)
            except AssertionError as error:
                failed = True
                print(f"{name:<8} NOT WITHIN ITS BOUNDS: {error}")
        browser.close()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
