"""What holds on every page: keys and commands, a server that is away, slow or broken, nothing to show, all widths."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, TimeoutError, ViewportSize, expect
from tests.server.served import Served
from tests.system.fleet import free_port

from .conftest import PATIENCE_MS, opened
from .harbour import Harbour
from .looks import PATHS, at_all_widths, check, go, sideways, slack

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
COMPOSED = """
(field) => field.dispatchEvent(
  new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true }))
"""
TWO_HOURS_LATE = """
const now = Date.now.bind(Date);
Date.now = () => now() + 7_200_000;
"""
LOADING = re.compile(r"^Loading ")
PHONE: ViewportSize = {"width": 320, "height": 800}
DESK: ViewportSize = {"width": 1440, "height": 800}
TO_DO = "a, .button, input, select, .mono, pre"
LOADED = "main:not(:has([role=status]:has-text('Loading')))"


@pytest.fixture(scope="module")
def empty(can_be_seen: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server to which nothing has happened yet."""
    served = Served(tmp_path_factory.mktemp("empty"), requests_per_second=10_000)
    served.start()
    yield served
    served.end()


@pytest.fixture(scope="module")
def bare(browser: Browser, empty: Served) -> Iterator[BrowserContext]:
    """A browser before that server."""
    with opened(browser, empty.url, width=1440) as context:
        yield context


def shows(what: Locator) -> bool:
    try:
        what.wait_for(timeout=PATIENCE_MS)
    except TimeoutError:
        return False
    return True


def explains(page: Page) -> bool:
    """More than a title, and something that can be done: a link, a button, a field, or a command to type."""
    main = page.locator("main")
    until = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < until:
        loaded = page.locator(LOADED).count() == 1
        if loaded and len(main.inner_text()) >= 60 and main.locator(TO_DO).count() > 0:
            return True
        page.wait_for_timeout(20)
    return False


def test_an_empty_server_is_explained_on_every_page(bare: BrowserContext, axe: str) -> None:
    page = bare.new_page()
    page.goto("/")
    wrong: list[str] = []
    for path in PATHS:
        go(page, path)
        if not explains(page):
            wrong.append(f"{path} says no more than {page.locator('main').inner_text()!r}")
        # What is around the page is the same on every one: it is looked at once.
        wrong += [*check(page, axe, path, "html" if path == "/" else "main"), *sideways(page)]
        page.set_viewport_size(PHONE)
        wrong += sideways(page)
        page.set_viewport_size(DESK)
    page.close()
    assert wrong == []


def test_a_slow_server_is_waited_for_in_words(bare: BrowserContext, axe: str) -> None:
    page = bare.new_page()
    page.set_viewport_size(PHONE)
    waiting: list[Route] = []
    page.route(
        re.compile(r"/api/|/health"),
        lambda route: route.continue_() if route.request.url.endswith("/api/session") else waiting.append(route),
    )
    page.route_web_socket(re.compile(r"/live/"), lambda _: None)
    page.goto("/")
    wrong: list[str] = []
    for path in reversed(PATHS):
        go(page, path)
        if path not in FORMS and not shows(page.locator("main [role=status]").filter(has_text=LOADING).first):
            wrong.append(f"{path} does not say that it loads: {page.locator('main').inner_text()!r}")
        wrong += [*check(page, axe, f"{path}, loading", "main"), *sideways(page)]
    for route in waiting:
        route.continue_()
    page.unroute_all()
    assert explains(page)
    page.close()
    assert wrong == []


def test_a_server_that_makes_mistakes_is_asked_again(bare: BrowserContext, axe: str) -> None:
    page = bare.new_page()
    page.set_viewport_size(PHONE)
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
        wrong += [*check(page, axe, f"{path}, failed", "main"), *sideways(page)]
    page.unroute_all()
    page.evaluate("document.querySelectorAll('main [role=alert] button').forEach((again) => again.click())")
    expect(page.locator("main").get_by_role("alert")).to_have_count(0)
    page.close()
    assert wrong == []


@pytest.fixture
def frail(can_be_seen: None, tmp_path: Path) -> Iterator[Served]:
    """A server that comes back to where it was."""
    served = Served(tmp_path, port=free_port())
    served.start()
    yield served
    served.end()


def test_a_server_that_is_away_is_said_to_be_and_is_back_by_itself(browser: Browser, frail: Served) -> None:
    page = browser.new_page(base_url=frail.url)
    page.set_default_timeout(PATIENCE_MS)
    away = page.get_by_text("Not live since")
    tasks = page.get_by_role("navigation").get_by_role("link", name="Tasks")
    page.goto("/")
    expect(page.get_by_text("● live")).to_be_visible()
    page.evaluate("window.before = true")
    task = frail.submit(name="one")
    expect(tasks).to_contain_text("1")
    expect(page.get_by_text("1 task waits, and there is no node to take it.")).to_be_visible()
    ink = page.evaluate("getComputedStyle(document.querySelector('main h1')).color")

    os.kill(frail.pid, signal.SIGSTOP)  # it neither answers nor hangs up
    try:
        soon(away)
        assert page.evaluate("getComputedStyle(document.querySelector('main h1')).color") != ink
        expect(page.get_by_text("◌ not live")).to_be_visible()
    finally:
        os.kill(frail.pid, signal.SIGCONT)
    expect(away).to_have_count(0)

    go(page, "/tasks")
    page.wait_for_selector("[role=row] a")
    frail.kill()
    soon(away)
    go(page, "/tasks?q=state:failed")
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
    go(page, "/")
    frail.start()
    expect(away).to_have_count(0)
    frail.submit(name="two")
    expect(tasks).to_contain_text("2")
    assert page.evaluate("getComputedStyle(document.querySelector('main h1')).color") == ink
    go(page, f"/tasks/{task}")
    expect(page.locator("h1")).to_have_text("one")
    assert page.evaluate("window.before")
    page.close()


def soon(away: Locator) -> None:
    """It is said within five seconds; a machine with much else to do may take as much longer."""
    begun = time.monotonic()
    expect(away).to_be_visible()
    assert time.monotonic() - begun <= NOT_LIVE_SECONDS * slack()


def test_without_the_live_link_it_is_said_that_it_is_asked_for(browser: Browser, harbour: Harbour) -> None:
    with opened(browser, harbour.url) as context:
        context.route_web_socket("**/live/**", lambda link: link.close())
        page = context.new_page()
        page.goto("/")
        expect(page.get_by_role("contentinfo")).to_contain_text("without the live link")
        expect(page.locator("h1")).to_have_text("The watch")
        page.keyboard.type("gn")
        expect(page.get_by_role("main", name="Nodes")).to_be_focused()


def test_commands_and_keys_lead_everywhere_and_are_listed(page: Page, harbour: Harbour, axe: str) -> None:
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
    page.get_by_role("combobox").fill("settings")
    # An Enter that ends the writing of a word by an input method is none for us.
    page.get_by_role("combobox").evaluate(COMPOSED)
    page.get_by_role("combobox").fill("theme")
    wrong += check(page, axe, "commands")
    wrong += at_all_widths(page)
    page.keyboard.press("Escape")
    go(page, f"/tasks/{harbour.tasks['broken']}")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem").first.wait_for()
    page.keyboard.type("gtn")  # in a menu, letters find what begins with them
    expect(page.get_by_role("menuitem").first).to_be_visible()
    assert page.url.endswith(harbour.tasks["broken"])
    page.keyboard.press("Escape")
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
    for keys, path in {"t": "tasks", "d": "dags", "a": "apps", "n": "nodes", "v": "cases", "e": "events"}.items():
        page.keyboard.type(f"g{keys}")
        page.wait_for_url(f"**/{path}")
    for keys, path in {"u": "usage", "k": "keys", "s": "settings", "w": ""}.items():
        page.keyboard.type(f"g{keys}")
        page.wait_for_url(f"**/{path}")
    assert wrong == []


def test_a_clock_that_is_wrong_makes_nothing_old(browser: Browser, harbour: Harbour) -> None:
    with opened(browser, harbour.url) as context:
        context.add_init_script(TWO_HOURS_LATE)
        page = context.new_page()
        page.goto("/tasks?q=broken")
        expect(page.locator("[role=row]").get_by_role("gridcell").last).to_have_text(
            re.compile(r"^[\d.]+ (ms|s|min) ago$")
        )


def test_forced_colours_less_motion_and_paper_are_heeded(browser: Browser, harbour: Harbour) -> None:
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
        edge = "(link) => getComputedStyle(link).borderLeftColor"
        assert links.filter(has_text="Tasks").evaluate(edge) != links.filter(has_text="Watch").evaluate(edge)
        page.set_viewport_size({"width": 1280, "height": 300})
        main = page.get_by_role("main")
        assert main.evaluate("(main) => main.scrollHeight > main.clientHeight")
        page.emulate_media(media="print")  # the page alone, and all of it
        expect(page.get_by_role("navigation")).to_be_hidden()
        assert main.evaluate("(main) => main.scrollHeight <= main.clientHeight")
    finally:
        context.close()
