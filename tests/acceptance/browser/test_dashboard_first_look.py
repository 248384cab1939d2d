"""The dashboard as it is first seen: small, soon there, and easy on everybody's eyes and ears."""

import time
from collections.abc import Callable

import httpx
from playwright.sync_api import Browser, BrowserContext, Response, expect

from .harbour import Harbour
from .looks import check, no_sideways_scroll

SCRIPTS_BYTES_MAX = 160_000
FIRST_PAGE_BYTES_MAX = 300_000
FIRST_LOOK_SECONDS_MAX = 1.5


def test_the_first_page_is_small_and_soon_there(browser: Browser, harbour: Harbour) -> None:
    loaded: dict[str, int] = {}

    def note(response: Response) -> None:
        if not response.url.startswith(f"{harbour.url}/api/"):
            loaded[response.url] = int(response.headers["content-length"])
            assert response.headers.get("content-encoding") == "gzip" or not response.url.endswith((".js", ".css"))

    took = []
    for _ in range(3):
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
    assert min(took) <= FIRST_LOOK_SECONDS_MAX, took
    # What pages of their own are for is loaded with them: an editor, graphs and how they are laid out.
    source = "".join(httpx.get(url, trust_env=False).text for url in scripts)
    assert [word for word in ("cm-editor", "react-flow", "dagre") if word in source] == []


def test_no_page_keeps_anybody_out(context: BrowserContext, harbour: Harbour, axe: str) -> None:
    page = context.new_page()
    wrong: list[str] = []

    def look(where: str, path: str, ready: str, then: Callable[[], object] = lambda: None) -> None:
        page.goto(path)
        page.wait_for_selector(ready)
        then()
        wrong.extend(check(page, axe, where))

    def click(name: str, shows: str) -> Callable[[], object]:
        return lambda: (page.get_by_role("button", name=name).first.click(), page.wait_for_selector(shows))

    task = f"/tasks/{harbour.tasks['hostile']}"
    look("watch", "/", "canvas")
    look("watch as a table", "/", "canvas", click("read as a table", "[role=grid]"))
    look("tasks", "/tasks", "[role=row] a")
    look("as curl", "/tasks", "[role=row] a", click("as curl", "dialog pre"))
    look("no tasks like this", "/tasks?q=label:none", "text=No task is like this.")
    look("not understood", "/tasks?q=colour:red", "text=not understood")
    look("task", task, "[role=log] bdi")
    look("menu", task, "[role=log] bdi", click("More", "[role=menuitem]"))
    for part in ("Result", "Attempts", "As asked"):
        look(part, task, "[role=log] bdi", lambda part=part: page.get_by_role("tab", name=part).click())
    look("no such task", "/tasks/task_0000000000000", "role=alert")
    assert wrong == []


def test_no_page_scrolls_sideways(context: BrowserContext, harbour: Harbour) -> None:
    page = context.new_page()
    for path in ("/", "/tasks", f"/tasks/{harbour.tasks['hostile']}"):
        page.goto(path)
        expect(page.locator("h1")).to_be_visible()
        for width in (320, 390, 768, 1440):
            page.set_viewport_size({"width": width, "height": 700})
            no_sideways_scroll(page)
