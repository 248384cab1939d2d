"""Pages as pictures: alike each time, within their edges, of two themes; and what compares pictures finds one word."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright
from tests.acceptance.browser.compare import compare, report_on
from tests.acceptance.browser.pictures import at_the_edge, difference
from tests.acceptance.browser.screenshots import Tab, browser_at, tab
from tests.acceptance.browser.standing import Standing, standing

EDGE_PIXELS = 8
RULES = {"wide": 2, "zoomed": 4}
"""What may be drawn there: the rules below the head and above the foot of the page, in rows."""


@pytest.fixture(scope="module")
def still(can_be_seen: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing(tmp_path_factory.mktemp("standing")) as still:
        yield still


@pytest.fixture(scope="module")
def visitor(playwright: Playwright, still: Standing) -> Iterator[Browser]:
    with browser_at(playwright, still.url) as browser:
        yield browser


@pytest.fixture(scope="module")
def reader(visitor: Browser) -> Iterator[Page]:
    """A page that is not of the dashboard: it looks at pictures."""
    page = visitor.new_page()
    yield page
    page.close()


@pytest.mark.parametrize("size", RULES)
def test_a_page_is_the_same_picture_each_time_within_its_edges_and_another_one_by_night(
    visitor: Browser, reader: Page, still: Standing, size: str
) -> None:
    paths = ("/tasks", f"/cases/{still.ids['case']}")
    with tab(visitor, size, "day") as shown:
        first = b""
        for path in paths:
            by_day = shown.picture(path)
            becomes(shown, "night")
            by_night = shown.drawn()
            becomes(shown, "day")
            first = first or by_day
            assert difference(reader, by_day, by_night).share > 0.5, path
            for one in (by_day, by_night):
                assert at_the_edge(reader, one, EDGE_PIXELS) <= RULES[size], path
        # Loaded anew, after another page and in its first theme again.
        assert not difference(reader, first, shown.picture(paths[0]))
        shown.page.evaluate("document.querySelector('main h1').style.minWidth = '3000px'")
        shown.page.evaluate("document.querySelector('main h1').textContent = 'wide '.repeat(300)")
        assert at_the_edge(reader, shown.drawn(), EDGE_PIXELS) > RULES[size]


def becomes(shown: Tab, theme: str) -> None:
    shown.page.emulate_media(color_scheme="dark" if theme == "night" else "light")
    shown.page.wait_for_selector(f"html[data-theme={theme}]")


def test_one_word_that_changed_is_found_and_shown_and_nothing_where_nothing_did(
    visitor: Browser, reader: Page, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after, report = tmp_path / "before", tmp_path / "after", tmp_path / "report"
    before.mkdir()
    after.mkdir()
    with tab(visitor, "wide", "day") as shown:
        was = shown.picture("/usage")
        link = shown.page.get_by_role("navigation").get_by_role("link", name="Settings")
        box = link.bounding_box()
        link.evaluate("(link) => { link.firstElementChild.firstChild.data = 'Sittings'; }")
        now = shown.drawn()
    for folder, pictures in ((before, (was, was, was)), (after, (now, was, was))):
        for name, one in zip(("usage", "same", folder.name), pictures, strict=True):
            (folder / f"{name}-wide-day.png").write_bytes(one)
    found = compare(reader, before, after)
    assert list(found.different) == ["usage-wide-day.png"]
    assert (found.missing, found.new, found.same) == (["before-wide-day.png"], ["after-wide-day.png"], 1)
    left, top, width, height = found.different["usage-wide-day.png"].area
    assert box is not None
    assert box["x"] <= left < left + width <= box["x"] + box["width"]
    assert box["y"] <= top < top + height <= box["y"] + box["height"]
    assert report_on(reader, before, after, report) == 1
    told = capsys.readouterr().out
    assert "different  usage-wide-day.png" in told
    assert "1 of 4 pictures are the same." in told
    text = (report / "index.html").read_text("utf-8")
    for kind in ("before", "after", "difference"):
        assert (report / f"usage-wide-day.{kind}.png").is_file()
        assert f"usage-wide-day.{kind}.png" in text
    assert report_on(reader, after, after, report) == 0
