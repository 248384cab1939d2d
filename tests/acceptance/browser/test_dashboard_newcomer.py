"""What somebody meets who has never seen Anchor, on a slow machine, and with what people get wrong."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

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
