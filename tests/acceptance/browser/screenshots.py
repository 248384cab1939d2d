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
from importlib.resources import files
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright, sync_playwright
from tests.acceptance.browser.conftest import CHROMIUM
from tests.acceptance.browser.looks import SOURCE_PATHS
from tests.acceptance.browser.standing import TODAY, standing

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
HIDE_PULSE = """
() => {
  for (const one of document.querySelectorAll("footer span")) {
    if (/( behind|frames\\/s.*|events\\/s)$/.test(one.textContent)) one.style.visibility = "hidden";
  }
}
"""
"""How the live link does is another thing each second."""
STILL_SECONDS = 0.4
STREAM_SECONDS = 2.5
"""The rows of the task stream are chosen anew every two seconds."""
PATIENCE_SECONDS = 20.0


@contextmanager
def browser_at(playwright: Playwright, url: str) -> Iterator[Browser]:
    """A browser for which this server is HOST."""
    there = url.removeprefix("http://")
    args = ["--no-sandbox", "--disable-dev-shm-usage", f"--host-resolver-rules=MAP localhost:80 {there}", *SAME_DRAWING]
    with closing(playwright.chromium.launch(executable_path=CHROMIUM, args=args)) as browser:
        yield browser


@contextmanager
def tab(browser: Browser, size: str, theme: str) -> Iterator[Page]:
    """A page of this size and theme, for which it is always the same moment."""
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
        yield page


def picture(page: Page, path: str) -> bytes:
    """What a page looks like once everything is there: when it has looked the same for a while."""
    page.goto(path)
    page.locator("main h1").wait_for()
    page.locator(LOADED).wait_for()
    page.evaluate("document.fonts.ready.then(() => null)")
    return drawn(page, path)


def drawn(page: Page, path: str) -> bytes:
    """The same of a page that is open already."""
    until = time.monotonic() + PATIENCE_SECONDS
    seen, since = b"", time.monotonic()
    still_seconds = STREAM_SECONDS if path == "/" else STILL_SECONDS
    while time.monotonic() - since < still_seconds:
        assert time.monotonic() < until, f"{path} never stands still"
        page.wait_for_timeout(100)
        page.evaluate(HIDE_PULSE)
        now = page.screenshot(animations="disabled")
        if now != seen:
            seen, since = now, time.monotonic()
    return seen


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
                with tab(browser, size, theme) as page:
                    for name, path in paths_of(fleet.ids).items():
                        (folder / f"{name}-{size}-{theme}.png").write_bytes(picture(page, path))
    print(f"{len(list(folder.glob('*.png')))} pictures are in {folder}")  # noqa: T201 - it is a command


if __name__ == "__main__":
    main()
