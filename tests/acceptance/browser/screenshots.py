"""Pictures of every page in both themes, wide, at 200 % zoom and on a phone, of a real server that stands still.

    python -m tests.acceptance.browser.screenshots [FOLDER]

One commit's pictures are the same each time, so that those of two can be compared (compare.py). Needs Chromium and a
build of the dashboard.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Playwright, Request, sync_playwright
from tests.acceptance.browser.conftest import CHROMIUM
from tests.acceptance.browser.looks import SOURCE_PATHS
from tests.acceptance.browser.standing import standing
from tests.acceptance.browser.standing_machines import TODAY

SIZES = {"wide": (1440, 900, 1), "zoomed": (720, 450, 2), "phone": (390, 844, 1)}
"""Width and height of the window, and how many pixels are drawn for one of it."""
THEMES = ("day", "night")
HOST = "http://localhost"
"""What the server is called, whatever its port: pages show where they come from."""
SAME_DRAWING = (
    "--disable-partial-raster",
    "--disable-skia-runtime-opts",
    "--disable-checker-imaging",
    "--disable-threaded-scrolling",
    "--num-raster-threads=1",
)
"""Short of these, corners and dotted lines are now and then a little different ones."""
LOADED = "main:not(:has([role=status]:has-text('Loading')))"
HOLD = """
() => {
  for (const one of document.querySelectorAll("footer span")) {
    if (/( behind|frames\\/s.*|events\\/s)$/.test(one.textContent)) one.style.visibility = "hidden";
  }
  for (const one of document.querySelectorAll("[role=columnheader] *, th *")) {
    if (getComputedStyle(one).textDecorationStyle === "dotted") one.style.textDecorationStyle = "solid";
  }
}
"""
"""How the live link does is another thing each second, and where a dotted line begins is left to the browser."""
STILL_SECONDS = 0.3
STREAM_SECONDS = 2.5
"""The rows of the task stream are chosen anew every two seconds."""
PATIENCE_SECONDS = 30.0


@contextmanager
def browser_at(playwright: Playwright, url: str) -> Iterator[Browser]:
    """A browser for which this server is HOST."""
    there = url.removeprefix("http://")
    args = ["--no-sandbox", "--disable-dev-shm-usage", f"--host-resolver-rules=MAP localhost:80 {there}", *SAME_DRAWING]
    with closing(playwright.chromium.launch(executable_path=CHROMIUM, args=args)) as browser:
        yield browser


@dataclass(frozen=True)
class Tab:
    """A page, and what it has asked for and not got yet; streams, which have no end, are none of it."""

    page: Page
    under_way: set[Request] = field(default_factory=set)

    def listen(self) -> None:
        """Know from now on what is under way."""
        self.page.on("request", lambda one: self.under_way.add(one) if one.resource_type != "eventsource" else None)
        self.page.on("requestfinished", lambda one: self.under_way.discard(one))
        self.page.on("requestfailed", lambda one: self.under_way.discard(one))

    def picture(self, path: str) -> bytes:
        """What a page looks like once everything is there."""
        self.under_way.clear()
        self.page.goto(path)
        self.page.locator("main h1").wait_for()
        self.page.locator(LOADED).wait_for()
        self.page.evaluate("document.fonts.ready.then(() => null)")
        return self.drawn()

    def drawn(self) -> bytes:
        """The same of a page that is open: when nothing is under way and it has looked the same for a while."""
        until = time.monotonic() + PATIENCE_SECONDS
        seen, since = b"", time.monotonic()
        still_seconds = STREAM_SECONDS if urlsplit(self.page.url).path == "/" else STILL_SECONDS
        while time.monotonic() - since < still_seconds:
            assert time.monotonic() < until, f"{self.page.url} never stands still"
            self.page.wait_for_timeout(100)
            self.page.evaluate(HOLD)
            now = self.page.screenshot(animations="disabled")
            if now != seen or self.under_way:
                seen, since = now, time.monotonic()
        return seen


@contextmanager
def tab(browser: Browser, size: str, theme: str) -> Iterator[Tab]:
    """A tab of this size and theme, for which it is always the same moment."""
    width, height, scale = SIZES[size]
    context = browser.new_context(
        base_url=HOST,
        color_scheme="dark" if theme == "night" else "light",
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        locale="en-GB",
        timezone_id="Europe/Lisbon",
    )
    with closing(context):
        page = context.new_page()
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        page.clock.set_fixed_time(TODAY)
        one = Tab(page)
        one.listen()
        yield one


def paths_of(ids: dict[str, str]) -> dict[str, str]:
    """The pages there is something to see on, by the names of their pictures."""
    kinds = {
        "/tasks/$id": "task",
        "/dags/$id": "run",
        "/clusters/$id": "app",
        "/nodes/$id": "node",
        "/cases/$id": "case",
    }
    found = {}
    for path in SOURCE_PATHS:
        kind = kinds.get(path)
        if kind is None:
            found[path.strip("/").replace("/", "-") or "watch"] = path
        else:
            found[kind] = path.replace("$id", ids[kind])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("screenshots"))
    folder: Path = parser.parse_args().folder
    if CHROMIUM is None or not (files("anchor") / "web" / "index.html").is_file():
        parser.error("it takes Chromium (apt-get install chromium) and a build of the dashboard (python build_web.py)")
    folder.mkdir(parents=True, exist_ok=True)
    for size in SIZES:
        for theme in THEMES:
            for old in folder.glob(f"*-{size}-{theme}.png"):
                old.unlink()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        fleet = stack.enter_context(standing(directory))
        browser = stack.enter_context(browser_at(stack.enter_context(sync_playwright()), fleet.url))
        for size in SIZES:
            for theme in THEMES:
                with tab(browser, size, theme) as shown:
                    for name, path in paths_of(fleet.ids).items():
                        (folder / f"{name}-{size}-{theme}.png").write_bytes(shown.picture(path))
    print(f"{len(list(folder.glob('*.png')))} pictures are in {folder}")  # noqa: T201 - it is a command


if __name__ == "__main__":
    main()
