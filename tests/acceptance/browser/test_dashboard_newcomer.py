"""What somebody meets who has never seen Anchor, on a slow machine, and with what people get wrong."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from .conftest import opened
from .harbour import Harbour

WRITTEN = "const names = ['one', 'two']; console.log(names); return names.length"
# A key for each turn of the page's loop of events: between two of them it draws no more than a part of itself anew.
TYPE_QUICKLY = """
async (text) => {
  const { port1, port2 } = new MessageChannel();
  const turn = () => new Promise((go) => { port1.onmessage = go; port2.postMessage(null); });
  for (const one of text) { document.execCommand("insertText", false, one); await turn(); }
}
"""


@pytest.fixture(scope="session")
def harbour(yard: Harbour) -> Harbour:
    """Here things are run."""
    return yard


@pytest.fixture(scope="module")
def context(browser: Browser, harbour: Harbour) -> Iterator[BrowserContext]:
    with opened(browser, harbour.url, height=900) as context:
        yield context


def test_no_key_is_lost_in_the_editor_however_slow_the_page_is(page: Page) -> None:
    page.goto("/tasks/new")
    editor = page.locator(".cm-content")
    editor.click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.press("Delete")
    page.evaluate(TYPE_QUICKLY, WRITTEN)
    expect(page.get_by_role("status").filter(has_text="draft saved")).to_be_visible()
    assert editor.inner_text() == WRITTEN
    page.reload()
    expect(editor).to_have_text(WRITTEN)


def test_what_is_typed_before_the_palette_is_there_goes_into_it_and_nowhere_else(page: Page) -> None:
    held: list[Route] = []
    page.route("**/CommandPalette-*.js", lambda route: held.append(route))
    page.goto("/nodes")
    expect(page.get_by_role("heading", name="Nodes", exact=True)).to_be_visible()
    with page.expect_request("**/CommandPalette-*.js"):
        page.keyboard.press("ControlOrMeta+k")
    page.keyboard.type("n dex")
    page.keyboard.press("Backspace")
    for one in held:
        one.continue_()
    typed = page.get_by_role("combobox", name="Command")
    expect(typed).to_have_value("n de")
    page.keyboard.type("x")
    expect(typed).to_have_value("n dex")
    page.keyboard.press("ControlOrMeta+k")
    page.keyboard.press("Escape")
    expect(typed).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("a")
    expect(page.get_by_role("heading", name="Apps", exact=True)).to_be_visible()


def test_each_language_begins_with_something_that_runs_until_one_has_written_oneself(page: Page) -> None:
    page.goto("/tasks/new")
    source, language, given = page.locator(".cm-content"), page.get_by_label("language"), page.get_by_label("input")
    language.select_option("Python")
    expect(source).to_contain_text("def main(below):")
    expect(given).to_have_value("1000000")
    language.select_option("JavaScript")
    expect(source).to_contain_text("const { from, to } = input;")
    expect(given).to_have_value('{ "from": 2, "to": 100000 }')
    given.fill("5")
    language.select_option("Python")
    expect(source).to_contain_text("def main(below):")
    expect(given).to_have_value("5")


def test_an_address_where_nothing_is_leads_on(page: Page) -> None:
    answer = page.goto("/workflows")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", name="Off the chart")).to_be_visible()
    expect(page.get_by_text("There is no page here.")).to_be_visible()
    page.get_by_role("link", name="Go to the watch").click()
    expect(page.get_by_role("heading", name="The watch")).to_be_visible()
