"""What holds on every page: keys and commands, a server that is away, slow or broken, nothing to show, all widths."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, TimeoutError, expect
from tests.server.served import Served

from .harbour import Harbour
from .looks import PATHS, check, go, sideways

WIDTHS = (320, 390, 720, 768, 1440)
"""720 is 1440 at 200 % zoom."""
NOT_LIVE_SECONDS = 5.0
FORMS = {"/tasks/new", "/dags/new", "/clusters/new", "/nodes/add"}
"""Pages that ask before they show: there is something to do on them whatever the server says."""
PROBLEM: dict[str, Any] = {
    "title": "Broken",
    "status": 500,
    "detail": "It broke.",
    "code": "internal_error",
    "hint": "Wait a moment.",
}
LOADING = re.compile(r"^Loading ")
LOADED = "main:not(:has([role=status]:has-text('Loading')))"


@pytest.fixture(scope="module")
def empty(can_be_seen: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server to which nothing has happened yet."""
    served = Served(tmp_path_factory.mktemp("empty"), requests_per_second=10_000)
    served.start()
    yield served
    served.end()


@pytest.fixture
def bare(browser: Browser, empty: Served) -> Iterator[BrowserContext]:
    """A browser before that server."""
    context = browser.new_context(base_url=empty.url, viewport={"width": 1440, "height": 800})
    context.set_default_timeout(10_000)
    yield context
    context.close()


def at_all_widths(page: Page) -> list[str]:
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        found += sideways(page)
    return found


def look(page: Page, axe: str, where: str) -> list[str]:
    """What is around the page is the same on every one: it is looked at once, by day and by night, wide and narrow."""
    found = check(page, axe, where, "html" if where.startswith("/,") else "main")
    return [*found, *at_all_widths(page)]


def shows(what: Locator) -> bool:
    try:
        what.wait_for(timeout=3000)
    except TimeoutError:
        return False
    return True


def test_an_empty_server_is_explained_on_every_page(bare: BrowserContext, axe: str) -> None:
    page = bare.new_page()
    page.goto("/")
    wrong: list[str] = []
    for path in PATHS:
        go(page, path)
        if not shows(page.locator(LOADED)):
            wrong.append(f"{path} never stops loading")
        main = page.locator("main")
        said = main.inner_text()
        # More than a title, and something that can be done: a link, a button, a field, or a command to type.
        if len(said) < 60 or main.locator("a, .button, input, select, .mono, pre").count() == 0:
            wrong.append(f"{path} says no more than {said!r}")
        wrong += look(page, axe, f"{path}, empty")
    assert wrong == []


def test_a_slow_server_is_waited_for_in_words(bare: BrowserContext, axe: str) -> None:
    page = bare.new_page()
    waiting: list[Route] = []
    page.route(
        re.compile(r"/api/|/health"),
        lambda route: route.continue_() if route.request.url.endswith("/api/session") else waiting.append(route),
    )
    page.route_web_socket(re.compile(r"/live/"), lambda _: None)
    page.goto("/")
    wrong: list[str] = []
    for path in PATHS:
        go(page, path)
        if path not in FORMS and not shows(page.locator("main [role=status]").filter(has_text=LOADING).first):
            wrong.append(f"{path} does not say that it loads: {page.locator('main').inner_text()!r}")
        wrong += look(page, axe, f"{path}, loading")
    for route in waiting:
        route.continue_()
    page.unroute_all()
    for path in reversed(PATHS):
        go(page, path)
        if not shows(page.locator(LOADED)):
            wrong.append(f"{path} never stops loading")
    assert wrong == []


def test_a_server_that_makes_mistakes_is_asked_again(bare: BrowserContext, axe: str) -> None:
    page = bare.new_page()
    page.route(
        re.compile(r"/api/"),
        lambda route: (
            route.continue_()
            if route.request.url.endswith("/api/session")
            else route.fulfill(status=500, content_type="application/problem+json", body=json.dumps(PROBLEM))
        ),
    )
    page.route_web_socket(re.compile(r"/live/"), lambda _: None)
    page.goto("/")
    wrong: list[str] = []
    for path in PATHS:
        go(page, path)
        alert = page.locator("main").get_by_role("alert").filter(has_text=PROBLEM["detail"]).first
        if path not in FORMS and not shows(alert.get_by_role("button", name="Try again")):
            wrong.append(f"{path} does not say that it failed: {page.locator('main').inner_text()!r}")
        wrong += look(page, axe, f"{path}, failed")
    page.unroute_all()
    page.evaluate("document.querySelectorAll('main [role=alert] button').forEach((again) => again.click())")
    expect(page.locator("main").get_by_role("alert")).to_have_count(0)
    assert wrong == []


def test_a_server_that_is_away_is_said_to_be_and_is_back_by_itself(browser: Browser, tmp_path: Path) -> None:
    harbour = Harbour(tmp_path)
    harbour.start()
    page = browser.new_page(base_url=harbour.url)
    away = page.get_by_text("Not live since")
    try:
        page.goto("/")
        page.wait_for_selector("canvas")
        page.evaluate("window.before = true")
        task = harbour.submit("one")
        tasks = page.get_by_role("navigation").get_by_role("link", name="Tasks")
        expect(tasks).to_contain_text("1")
        ink = page.evaluate("getComputedStyle(document.querySelector('main h1')).color")

        harbour.fall_silent()
        silent = time.monotonic()
        expect(away).to_be_visible(timeout=NOT_LIVE_SECONDS * 1000)
        assert time.monotonic() - silent <= NOT_LIVE_SECONDS
        assert page.evaluate("getComputedStyle(document.querySelector('main h1')).color") != ink
        expect(page.get_by_text("◌ not live")).to_be_visible()
        harbour.speak_again()
        expect(away).to_have_count(0)

        go(page, "/tasks")
        page.wait_for_selector("[role=row] a")
        harbour.kill()
        expect(away).to_be_visible(timeout=NOT_LIVE_SECONDS * 1000)
        go(page, "/tasks?q=state:failed")
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
        go(page, "/")
        harbour.start()
        expect(away).to_have_count(0, timeout=NOT_LIVE_SECONDS * 1000)
        harbour.submit("two")
        expect(tasks).to_contain_text("2")
        assert page.evaluate("getComputedStyle(document.querySelector('main h1')).color") == ink
        go(page, f"/tasks/{task}")
        expect(page.locator("h1")).to_have_text("one")
        assert page.evaluate("window.before")
    finally:
        page.close()
        harbour.stop()


def test_commands_find_pages_things_and_ids_and_the_keys_are_listed(page: Page, harbour: Harbour, axe: str) -> None:
    with harbour.client() as client:
        [node] = client.get("/api/nodes").json()
    wrong: list[str] = []
    page.goto("/")
    page.wait_for_selector("canvas")
    for typed, shows in (
        ("gotasks", "Tasks"),
        (node["nodeId"].lower(), node["nodeId"]),
        (harbour.tasks["broken"], "broken"),
        ("add a no", "Add a node"),
        ("label:nonesuch", "Tasks"),
    ):
        page.keyboard.press("Control+k")
        page.get_by_role("combobox").fill(typed)
        expect(page.get_by_role("option").first).to_be_visible()
        page.keyboard.press("Enter")
        expect(page.locator("main h1")).to_contain_text(shows)
        expect(page.get_by_role("dialog")).to_have_count(0)
    assert "label%3Anonesuch" in page.url
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill("theme")
    wrong += check(page, axe, "commands")
    wrong += at_all_widths(page)
    page.keyboard.press("Escape")
    go(page, f"/tasks/{harbour.tasks['broken']}")
    page.keyboard.press("?")
    keys = page.get_by_role("dialog")
    expect(keys).to_contain_text("On this page")
    expect(keys).to_contain_text("Everywhere")
    wrong += check(page, axe, "keys")
    wrong += at_all_widths(page)
    page.keyboard.press("Escape")
    expect(keys).to_have_count(0)
    page.keyboard.press("n")
    expect(page.locator("h1")).to_have_text("Run a task")
    page.set_viewport_size({"width": 390, "height": 800})
    go(page, "/")
    page.get_by_role("button", name="Pages").click()
    expect(page.get_by_role("link", name="Add a node")).to_be_visible()
    wrong += check(page, axe, "pages, on a phone")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Add a node")).to_be_hidden()
    assert wrong == []


def test_every_place_has_its_keys(page: Page, harbour: Harbour) -> None:
    del harbour
    page.goto("/")
    page.wait_for_selector("canvas")
    for keys, path in {"t": "tasks", "d": "dags", "a": "apps", "n": "nodes", "v": "cases", "e": "events"}.items():
        page.keyboard.type(f"g{keys}")
        page.wait_for_url(f"**/{path}")
    for keys, path in {"u": "usage", "k": "keys", "s": "settings", "w": ""}.items():
        page.keyboard.type(f"g{keys}")
        page.wait_for_url(f"**/{path}")


def test_forced_colours_and_less_motion_are_heeded(browser: Browser, harbour: Harbour) -> None:
    context = browser.new_context(
        base_url=harbour.url, forced_colors="active", reduced_motion="reduce", viewport={"width": 1280, "height": 800}
    )
    page = context.new_page()
    try:
        for path in ("/", "/tasks"):
            page.goto(path)
            expect(page.locator("h1")).to_be_visible()
            moving = "document.getAnimations().filter((one) => one.playState === 'running').length"
            assert page.evaluate(moving) == 0
        # Where all colours are the machine's, the page one is on is told by the weight of its name.
        weight = "(link) => getComputedStyle(link).fontWeight"
        links = page.get_by_role("navigation").get_by_role("link")
        assert links.filter(has_text="Tasks").evaluate(weight) > links.filter(has_text="Watch").evaluate(weight)
        expect(links.filter(has_text="Tasks")).to_have_attribute("aria-current", "page")
    finally:
        context.close()
