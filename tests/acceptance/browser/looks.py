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
WIDE_MS = 1000
"""What is drawn to measure is measured anew a moment after a window has changed."""
SIDEWAYS = """
() => [document.documentElement, document.querySelector("main")]
  .filter((one) => one !== null).map((one) => one.scrollWidth - one.clientWidth)
"""


def check(page: Page, axe: str, where: str, part: str = "html") -> list[str]:
    """What axe has against what is shown: everything by day, the colours by night, too."""
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate(f"{axe}; window.quick = {{ preload: false, resultTypes: ['violations'] }};")
    run = "([part, rules]) => axe.run(part, { runOnly: rules, ...quick })"
    found = page.evaluate(run, [part, RULES])["violations"]
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-theme=night]")
    by_night = page.evaluate(run, [part, ["color-contrast"]])["violations"]
    page.emulate_media(color_scheme="light")
    page.wait_for_selector("html[data-theme=day]")
    return [f"{where}: {one}" for one in [*_said(found), *(f"{one} by night" for one in _said(by_night))]]


def go(page: Page, path: str) -> None:
    """Another page, as a link would go there: nothing is loaded again."""
    page.evaluate("(path) => { history.pushState({}, '', path); dispatchEvent(new PopStateEvent('popstate')); }", path)
    page.wait_for_function("(path) => location.pathname + location.search === path", arg=path)
    page.locator("main h1").wait_for()


def sideways(page: Page) -> list[str]:
    """Says so where the page or its main part stays wider than what is seen of it."""
    # Asked from here: a wait inside the page would evaluate text there, which its policy forbids.
    until = time.monotonic() + WIDE_MS / 1000
    while max(page.evaluate(SIDEWAYS)) > 0:
        if time.monotonic() > until:
            return [f"{page.url} scrolls sideways at {page.viewport_size}"]
        page.wait_for_timeout(50)
    return []


def no_sideways_scroll(page: Page) -> None:
    """Neither the page nor its main part is wider than what is seen of it."""
    assert sideways(page) == []


def _said(found: list[dict[str, Any]]) -> list[str]:
    return [f"{one['id']} at {[node['target'] for node in one['nodes']]}" for one in found]
