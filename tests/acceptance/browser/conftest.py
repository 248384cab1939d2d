"""A real browser before a real server with a real agent: what is seen is what a user sees."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from .harbour import Harbour

CHROMIUM = os.environ.get("ANCHOR_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_MS = 20_000
"""How long is waited for what has to come: that takes a while on a busy machine. What has to come soon is timed."""
expect.set_options(timeout=PATIENCE_MS)
LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


@pytest.fixture(scope="session")
def can_be_seen() -> None:
    """Skips where there is nothing to look with, or at."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    if not (files("anchor") / "web" / "index.html").is_file():
        pytest.skip("the dashboard was not built into this installation: python build_web.py")


# For a file at a time: while it is there, its event loop runs, and no other test of this process could run one.
@pytest.fixture(scope="module")
def playwright(can_be_seen: None) -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    # Its own sandbox needs more than a container gives, and it is shown nothing but our pages.
    args = ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP *.test 127.0.0.2"]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=args)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def harbour(can_be_seen: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    """A server with one node and a few tasks of each kind, for all tests: no test may disturb it."""
    harbour = Harbour(tmp_path_factory.mktemp("harbour"))
    try:
        harbour.start()
        harbour.seed()
        yield harbour
    finally:
        harbour.stop()


@pytest.fixture(scope="session")
def yard(can_be_seen: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    """Another one, empty at first, where tests run what they like; none counts on more than its own."""
    yard = Harbour(tmp_path_factory.mktemp("yard"))
    try:
        yard.start()
        yield yard
    finally:
        yard.stop()


@contextmanager
def opened(browser: Browser, url: str, width: int = 1280, height: int = 800) -> Iterator[BrowserContext]:
    """A browser before this server. What it has loaded once it keeps, as anybody's does: a file's tests share it."""
    with closing(browser.new_context(base_url=url, viewport={"width": width, "height": height})) as context:
        context.set_default_timeout(PATIENCE_MS)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.add_init_script(LISTEN)
        yield context


@pytest.fixture(scope="module")
def context(browser: Browser, harbour: Harbour) -> Iterator[BrowserContext]:
    with opened(browser, harbour.url) as context:
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab of a browser that remembers nothing; at its end nothing may have been thrown in it, nor its own policy been
    broken."""
    page = context.new_page()
    page.goto("/health")
    page.evaluate("localStorage.clear()")
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    try:
        yield page
        assert thrown == []
        assert page.evaluate("window.violations") == []
    finally:
        for each in context.pages:
            each.close()


@pytest.fixture(scope="session")
def axe() -> str:
    source = Path(__file__).parents[3] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
    if not source.is_file():
        pytest.skip("axe-core is not installed: just web-setup")
    return source.read_text("utf-8")
