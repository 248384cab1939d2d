"""What every page has to pass wherever it is shown: axe in both themes, and no sideways scroll."""

import json
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SOURCE = Path(__file__).parents[3] / "frontend" / "src" / "paths.json"
SOURCE_PATHS: list[str] = json.loads(SOURCE.read_text("utf-8"))
PATHS = [path.replace("$id", "none") for path in SOURCE_PATHS]
"""Every page of the dashboard; where one is about one thing, there is none of that name."""
WIDTHS = (320, 390, 720, 768, 1440)
"""720 is 1440 at 200 % zoom."""
SPIN_SECONDS = 0.1
SLACK_MAX = 10.0
"""However busy a machine is: beyond this a bound would bind nothing."""
PATIENCE_SECONDS = 20.0
WIDE_MS = 5000
"""What is drawn to measure is measured anew a moment after a window has changed."""
ALIKE = [["[role=row]:nth-child(n + 9)"]]
"""Rows that are like those before them: axe would take most of its time with them."""
RUN = "([part, runOnly]) => axe.run(part, { runOnly, preload: false, resultTypes: ['violations'] })"
SIDEWAYS = """
() => [document.documentElement, document.querySelector("main")]
  .filter((one) => one !== null).map((one) => one.scrollWidth - one.clientWidth)
"""


def check(page: Page, axe: str, where: str, part: str = "html") -> list[str]:
    """What axe has against what is shown: everything by day, the colours by night, too."""
    found = faults(page, axe, where, part)
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-theme=night]")
    found += faults(page, axe, f"{where}, by night", part, ["color-contrast"])
    page.emulate_media(color_scheme="light")
    page.wait_for_selector("html[data-theme=day]")
    return found


def faults(page: Page, axe: str, where: str, part: str = "main", rules: list[str] = RULES) -> list[str]:
    """What axe has against what is shown, as it is shown."""
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate(axe)
    found: list[dict[str, Any]] = page.evaluate(RUN, [{"include": [[part]], "exclude": ALIKE}, rules])["violations"]
    return [f"{where}: {one['id']} at {[node['target'] for node in one['nodes']]}" for one in found]


def until(page: Page, holds: str, arg: object = None) -> None:
    """Wait until a function of the page's says yes. It is asked from here each time: Playwright's own wait would
    evaluate text inside the page, which its policy forbids."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not page.evaluate(holds, arg):
        assert time.monotonic() < deadline, holds
        page.wait_for_timeout(50)


def go(page: Page, path: str) -> None:
    """Another page, as a link would go there: nothing is loaded again."""
    page.evaluate("(path) => { history.pushState({}, '', path); dispatchEvent(new PopStateEvent('popstate')); }", path)
    until(page, "(path) => location.pathname + location.search === path", path)
    page.locator("main h1").wait_for()


def sideways(page: Page) -> list[str]:
    """Says so where the page or its main part stays wider than what is seen of it."""
    deadline = time.monotonic() + WIDE_MS / 1000
    while max(page.evaluate(SIDEWAYS)) > 0:
        if time.monotonic() > deadline:
            return [f"{page.url} scrolls sideways at {page.viewport_size}"]
        page.wait_for_timeout(50)
    return []


def at_all_widths(page: Page) -> list[str]:
    """The same, at every width from a phone's to a desk's."""
    before = page.viewport_size
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        found += sideways(page)
    if before is not None:
        page.set_viewport_size(before)
    return found


def slack() -> float:
    """By how much longer than alone on its machine anything may take that is timed: 1 where nothing else runs. What a
    user waits for goes through several programs, and each of them waits for its turn."""
    begun, worked = time.monotonic(), time.process_time()
    while time.process_time() - worked < SPIN_SECONDS:
        pass
    busy = (time.monotonic() - begun) / (time.process_time() - worked)
    return min(SLACK_MAX, max(1.0, busy * busy))


def no_sideways_scroll(page: Page) -> None:
    """Neither the page nor its main part is wider than what is seen of it."""
    assert sideways(page) == []
