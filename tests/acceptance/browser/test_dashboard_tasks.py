"""Twenty thousand tasks: found, counted, walked through by keys, and treated all together."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from .conftest import opened
from .harbour import Harbour
from .looks import check, no_sideways_scroll, slack

MANY = 20_000
NOISE = 1204
NOWHERE = {"type": "noop", "requirements": {"labels": ["nowhere"]}}
ROWS_MAX = 60
END_MS_MAX = 500
# From the key press to the last row being there with what it says, and the most rows there were meanwhile.
TO_THE_END = """
(last) => new Promise((told) => {
  const begun = performance.now();
  let most = 0;
  const look = () => {
    const rows = document.querySelectorAll("[role=row]");
    most = Math.max(most, rows.length);
    const row = document.querySelector(`[role=row][aria-rowindex="${last + 1}"] a`);
    if (row !== null) told({ ms: performance.now() - begun, most, name: row.textContent });
    else requestAnimationFrame(look);
  };
  document.querySelector("[role=grid]").dispatchEvent(new KeyboardEvent("keydown", { key: "End", bubbles: true }));
  look();
})
"""


def fill(harbour: Harbour, many: int) -> str:
    """So many tasks that wait for a node which never comes; the id of the oldest."""
    first = ""
    with harbour.client() as client:
        for begin in range(0, many, 10_000):
            wish = [{"name": f"part {at}", **NOWHERE} for at in range(begin, min(many, begin + 10_000))]
            made = client.post("/api/tasks", json=wish).json()
            first = first or made[0]["id"]
    return first


def look_at_the_end(page: Page, many: int, name: str) -> dict[str, Any]:
    """Go to the end of a list of so many, whose last task has this name: how long it took, and how many rows there
    were."""
    page.goto("/tasks")
    page.wait_for_selector("[role=row] a")
    page.locator("[role=grid]").focus()
    seen: dict[str, Any] = page.evaluate(TO_THE_END, many)
    assert seen["name"] == name
    assert seen["most"] <= ROWS_MAX
    assert seen["ms"] <= END_MS_MAX * slack(), seen
    return seen


def counted(page: Page) -> tuple[int, list[int]]:
    """What the buttons of states say: of all, and of each state."""
    said = page.get_by_role("toolbar", name="Show by state").locator("button .mono").all_inner_texts()
    numbers = [int(one.replace(",", "")) for one in said]
    return numbers[0], numbers[1:]


def names(page: Page) -> list[str]:
    """The rows in sight, as soon as there are any."""
    page.wait_for_selector("[role=row] a")
    return page.locator("[role=row] a").all_inner_texts()


def ask(page: Page, text: str) -> None:
    """Search for something, by keyboard."""
    page.locator("#search").fill(text)
    page.keyboard.press("Enter")


@pytest.fixture(scope="module")
def sea(can_be_seen: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    """A server of this file's own, with many tasks."""
    harbour = Harbour(tmp_path_factory.mktemp("sea"))
    try:
        harbour.start()
        harbour.tasks["first"] = fill(harbour, MANY)
        noise = [{"name": "noise", "labels": ["film"], **NOWHERE}] * NOISE
        with harbour.client() as client:
            made = client.post("/api/tasks", json=noise).json()
        harbour.tasks |= {"noise": made[0]["id"], "newest": made[-1]["id"]}
        harbour.submit("done")
        yield harbour
    finally:
        harbour.stop()


@pytest.fixture(scope="module")
def context(browser: Browser, sea: Harbour) -> Iterator[BrowserContext]:
    with opened(browser, sea.url, 1440, 900) as context:
        yield context


def test_a_long_list_is_walked_through_and_counted(page: Page, sea: Harbour) -> None:
    with sea.client() as client:
        many = client.get("/api/tasks/counts").json()["total"]
        newest, middle = (
            client.get("/api/tasks", params={"limit": 1, "offset": offset}).json()[0] for offset in (0, 10_008)
        )
    look_at_the_end(page, many, "part 0")
    total, each = counted(page)
    assert total == sum(each) == many
    page.keyboard.press("Home")
    expect(page.locator("[role=row] a").first).to_have_attribute("href", f"/tasks/{newest['id']}")
    page.keyboard.press("PageDown")
    place = page.locator("[role=grid]").get_attribute("aria-activedescendant") or ""
    assert 15 <= int(place.rsplit("-", 1)[1]) <= 40
    page.locator("[role=grid]").evaluate("(grid) => { grid.scrollTop = 28 * 10_000; }")
    expect(page.locator('[role=row][aria-rowindex="10010"] a')).to_have_attribute("href", f"/tasks/{middle['id']}")
    page.locator('[role=row][aria-rowindex="10010"] [role=gridcell]').nth(2).click()
    page.locator("[role=grid]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(middle["name"])
    page.go_back()
    expect(page.locator("[aria-activedescendant$='-10008']")).to_be_visible()
    page.locator('[role=row][aria-rowindex="10010"] a').wait_for()
    sea.submit("newcomer")
    before = names(page)
    page.get_by_role("button", name="1 newer: show").wait_for()
    assert names(page) == before
    page.get_by_role("button", name="1 newer: show").click()
    expect(page.locator("[role=row] a").first).to_have_text("newcomer")


def test_a_filter_is_shared_by_its_address_and_an_id_is_one_key(
    page: Page, context: BrowserContext, sea: Harbour
) -> None:
    page.goto("/tasks")
    ask(page, "name:199 state:queued age:<1d")
    page.get_by_text("as of").wait_for()
    rows = names(page)
    assert len(rows) > 20
    assert all("199" in row for row in rows)
    page.reload()
    assert names(page) == rows
    other = context.new_page()
    other.goto(page.url)
    assert names(other) == rows
    other.close()
    page.get_by_role("link", name="Without not older than 1d").click()
    page.get_by_role("button", name="Keep this view").click()
    page.keyboard.type("nineties\n")
    page.get_by_role("link", name="Show all tasks").click()
    page.get_by_role("link", name="nineties").click()
    expect(page.locator("#search")).to_have_value("state:queued name:199")
    page.get_by_role("button", name="Forget the view nineties").click()
    ask(page, "colour:red")
    page.get_by_text("“colour:red” is not understood").wait_for()
    page.get_by_role("link", name="Show all tasks").click()
    page.locator("[role=grid]").focus()
    page.evaluate("(id) => navigator.clipboard.writeText(id)", sea.tasks["first"])
    page.keyboard.press("Control+v")
    expect(page.locator("h1")).to_have_text("part 0")


def test_all_that_match_are_cancelled_and_what_failed_stays_selected(page: Page, sea: Harbour) -> None:
    refused = {"id": sea.tasks["noise"], "code": "unavailable", "message": "It changed too often."}

    def one_fails(route: Route) -> None:
        answer = route.fetch()
        outcome = answer.json()
        if outcome["cursor"] is None:
            outcome |= {"done": outcome["done"] - 1, "failed": [refused]}
        route.fulfill(response=answer, json=outcome)

    page.route("**/api/tasks/bulk", one_fails)
    page.goto("/tasks?q=noise")
    page.wait_for_selector("[role=row] a")
    for key in ("j", "x", "j", "j", "Shift+X"):
        page.keyboard.press(key)
    page.get_by_text("3 selected").wait_for()
    page.get_by_role("checkbox", name="Select all rows in sight").check()
    page.get_by_role("button", name=f"Select all {NOISE:,} that match").click()
    with sea.client() as client:
        client.post("/api/tasks", json=[{"name": "noise", **NOWHERE}])
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name=f"Cancel {NOISE:,} tasks").click()
    expect(page.get_by_role("region", name="What was done")).to_contain_text(
        f"{NOISE - 1:,} tasks cancelled; 1 could not be, and stays selected."
    )
    page.get_by_text("1 selected").wait_for()
    with sea.client() as client:
        counts = client.get("/api/tasks/counts", params={"name": "noise"}).json()["counts"]
        assert (counts["cancelled"], counts["queued"]) == (NOISE, 1)
        assert client.get("/api/tasks/counts", params={"name": "part"}).json()["counts"]["queued"] == MANY
    page.unroute_all()
    page.get_by_role("button", name="Run again…").click()
    page.get_by_role("button", name="Run 1 task again").click()
    expect(page.get_by_role("region", name="What was done")).to_contain_text("1 task run again, as new tasks.")
    page.get_by_role("button", name="2 newer: show").wait_for()


def test_nobody_is_kept_out_of_what_the_page_of_tasks_shows(page: Page, sea: Harbour, axe: str) -> None:
    wrong: list[str] = []
    page.goto("/tasks?q=name%3Apart+label%3Anone")
    page.get_by_text("No task is like this.").wait_for()
    wrong += check(page, axe, "nothing found")
    page.goto("/tasks?q=name%3Apart+state%3Aqueued")
    page.wait_for_selector("[role=row] a")
    page.get_by_role("button", name="Keep this view").click()
    page.get_by_role("checkbox", name="Select all rows in sight").check()
    wrong += check(page, axe, "selected")
    for width in (320, 390, 768):
        page.set_viewport_size({"width": width, "height": 700})
        no_sideways_scroll(page)
    page.get_by_role("button", name="Cancel…").click()
    wrong += check(page, axe, "asked")
    no_sideways_scroll(page)
    page.get_by_role("button", name="Leave as it is").click()
    page.route(
        "**/api/tasks/bulk", lambda route: route.fulfill(status=403, json={"detail": "Not yours.", "hint": "Ask."})
    )
    page.get_by_role("button", name="Run again…").click()
    page.get_by_role("button", name=re.compile("Run .* again$")).click()
    page.get_by_text("Then it went no further: Not yours. Ask.").wait_for()
    wrong += check(page, axe, "told")
    assert wrong == []
