"""The dashboard as it is first seen: small, soon there, and easy on everybody's eyes and ears."""

import math
import time

import httpx
from playwright.sync_api import Browser, Page, Response

from .harbour import Harbour
from .looks import at_all_widths, check, go, slack

SCRIPTS_BYTES_MAX = 160_000
FIRST_PAGE_BYTES_MAX = 300_000
FIRST_LOOK_SECONDS_MAX = 1.5


def test_the_first_page_is_small_and_soon_there(browser: Browser, harbour: Harbour) -> None:
    loaded: dict[str, int] = {}

    def note(response: Response) -> None:
        if not response.url.startswith(f"{harbour.url}/api/"):
            loaded[response.url] = int(response.headers["content-length"])
            assert response.headers.get("content-encoding") == "gzip" or not response.url.endswith((".js", ".css"))

    took: list[float] = []
    while len(took) < 3 and min(took, default=math.inf) > FIRST_LOOK_SECONDS_MAX:
        context = browser.new_context()  # nothing cached
        page = context.new_page()
        page.on("response", note)
        begun = time.monotonic()
        page.goto(harbour.url, wait_until="commit")
        page.wait_for_selector("h1")
        took.append(time.monotonic() - begun)
        page.wait_for_load_state("load")
        page.wait_for_selector("canvas")
        assert page.evaluate("document.fonts.ready.then((all) => all.size)") > 0
        context.close()
    scripts = {url: size for url, size in loaded.items() if url.endswith(".js")}
    assert sum(scripts.values()) <= SCRIPTS_BYTES_MAX, scripts
    assert sum(loaded.values()) <= FIRST_PAGE_BYTES_MAX, loaded
    assert min(took) <= FIRST_LOOK_SECONDS_MAX * slack(), took
    # What pages of their own are for is loaded with them: an editor, graphs and how they are laid out.
    source = "".join(httpx.get(url, trust_env=False).text for url in scripts)
    assert [word for word in ("cm-editor", "react-flow", "dagre") if word in source] == []


def test_no_page_keeps_anybody_out(page: Page, harbour: Harbour, axe: str) -> None:
    wrong: list[str] = []

    def look(where: str, path: str, ready: str, *, wide: bool = True) -> None:
        if page.url != f"{harbour.url}{path}":
            go(page, path)
        page.wait_for_selector(ready)
        wrong.extend(check(page, axe, where))
        if wide:
            wrong.extend(at_all_widths(page))

    def click(name: str) -> None:
        page.get_by_role("button", name=name).first.click()

    page.goto("/")
    look("watch", "/", "canvas")
    click("read as a table")
    look("watch as a table", "/", "[role=grid]")
    look("tasks", "/tasks", "[role=row] a")
    click("as curl")
    look("as curl", "/tasks", "dialog pre")
    page.keyboard.press("Escape")
    look("not understood", "/tasks?q=colour:red", "text=not understood", wide=False)
    task = f"/tasks/{harbour.tasks['hostile']}"
    look("task", task, "[role=log] bdi")
    click("More")
    look("menu", task, "[role=menuitem]", wide=False)
    page.keyboard.press("Escape")
    for part in ("Result", "As asked"):
        page.get_by_role("tab", name=part).click()
        wrong += check(page, axe, part)
    assert wrong == []
