"""Runs of workflows are found, looked at, and run again; a graph of any size stays a picture that can be used."""

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from .harbour import Harbour
from .looks import at_all_widths, check, go, slack, until

USABLE_SECONDS_MAX = 2.0
BLOCKED_MS_MAX = 200
WATCH_LONG_TASKS = """
window.blocked = [];
new PerformanceObserver((list) => window.blocked.push(...list.getEntries().map((one) => Math.round(one.duration))))
  .observe({ type: "longtask", buffered: true });
"""


def step(name: str, *after: str, code: str | None = None, **fields: Any) -> dict[str, Any]:
    """A step that runs this JavaScript, or passes on what it is given."""
    payload = {} if code is None else {"payload": {"runtime": "isolate", "sourceCode": code}}
    return {"id": name, "dependencies": list(after), "retry": {"attempts": 1}, **payload, **fields}


def schedule(harbour: Harbour, name: str, *steps: dict[str, Any], over: bool = True) -> str:
    """Run a graph, to its end where that is wanted; its id."""
    with harbour.client() as client:
        answer = client.post("/api/dags", json={"name": name, "steps": list(steps)})
        assert answer.status_code == 201, answer.text
        run: str = answer.json()["id"]
        deadline = time.monotonic() + 20
        while over and client.get(f"/api/dags/{run}", params={"steps": 0}).json()["state"] == "running":
            assert time.monotonic() < deadline, "the run does not end"
            time.sleep(0.05)
    return run


@pytest.fixture(scope="session")
def harbour(yard: Harbour) -> Harbour:
    """Here things are run."""
    return yard


@pytest.fixture(scope="module")
def runs(yard: Harbour) -> dict[str, str]:
    """A run that failed, and one that waits for a node that nobody has."""
    broken = (
        step("fetch", code="return [1, 2, 3]"),
        step("each", type="parallel", items={"step": "fetch"}, code="return input * 2"),
        step("process", "fetch", code="throw new Error('it broke')"),
        step("report", "each", "process"),
    )
    nowhere = {"requirements": {"labels": ["nowhere"]}}
    waits = (step("near"), step("far", "near", code="return 1", **nowhere))
    return {"broken": schedule(yard, "broken", *broken), "waits": schedule(yard, "waits", *waits, over=False)}


def test_a_run_is_found_looked_at_and_run_again(page: Page, runs: dict[str, str]) -> None:
    page.goto("/dags")
    page.get_by_role("button", name="failed").click()
    row = page.get_by_role("row").filter(has_text="broken")
    expect(row).to_contain_text("4 over, of 4")
    expect(page.get_by_role("row").filter(has_text="waits")).to_have_count(0)
    assert "state=failed" in page.url
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("broken")
    expect(page.get_by_text("Step 'process' failed")).to_be_visible()

    steps = page.locator("[role=rowgroup] [role=row]")
    expect(steps).to_have_count(4)
    page.get_by_role("button", name="failed 1").click()
    expect(steps).to_have_count(1)
    assert "state=failed" in page.url
    steps.click()
    task = page.get_by_role("link", name="Open its task")
    expect(task).to_have_attribute("href", re.compile("^/tasks/task_"))
    page.get_by_role("button", name="failed 1").click()

    def again(button: str) -> None:
        before = page.url.split("?")[0]
        page.get_by_role("button", name=button, exact=True).click()
        until(page, "(before) => location.href.split('?')[0] !== before", before)
        expect(page.get_by_text("4 of 4 over")).to_be_visible(timeout=20_000)
        expect(page.locator("[data-box]")).to_have_count(4, timeout=20_000)

    page.locator("[data-box]").filter(has_text="each").click()
    expect(page.get_by_text("3 of 3 over")).to_be_visible()
    page.get_by_label("Item, 0 to 2").fill("1")
    again("Run this one again")
    expect(page.locator("[data-box]").filter(has_text="fetch")).to_contain_text("reused")
    page.locator("[data-box]").filter(has_text="process").click()
    again("Run again from here")
    again("Run what failed")
    expect(page.locator("[data-box]").filter(has_text="each")).to_contain_text("reused")
    again("Run again")
    expect(page.locator("[data-box]").filter(has_text="reused")).to_have_count(0)


def test_what_failed_of_many_items_is_found_with_why_and_run_again(page: Page, harbour: Harbour, axe: str) -> None:
    code = "if (input % 100 === 7) throw new Error(`${input} is too dark`); return input"
    items = {"type": "parallel", "items": list(range(250)), "enough": 0.5}
    run = schedule(harbour, "plates", step("each", code=code, **items), step("report", "each"), over=False)
    page.goto(f"/dags/{run}?step=each")
    page.get_by_role("button", name="Look at its items").click()
    shown = page.get_by_role("toolbar", name="Show of the items")
    expect(shown.get_by_role("button", name="done 247")).to_be_visible(timeout=60_000)
    table = page.get_by_role("grid", name="Items of the step")
    expect(table).to_have_attribute("aria-rowcount", "251")
    table.focus()
    page.keyboard.press("End")
    rows = table.locator("[role=rowgroup] [role=row]")
    expect(rows.last).to_contain_text("249")
    assert rows.count() <= 60

    shown.get_by_role("button", name="failed 3").click()
    expect(rows).to_have_count(3)
    expect(rows).to_contain_text(["7 is too dark", "107 is too dark", "207 is too dark"])
    assert "items=failed" in page.url
    page.reload()
    expect(rows).to_have_count(3)
    wrong = check(page, axe, "items") + at_all_widths(page)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("each [107]")
    page.go_back()

    page.get_by_role("button", name="Run the 3 that did not succeed again").click()
    until(page, "(before) => !location.href.includes(before)", run)
    expect(page.get_by_text("2 of 2 over")).to_be_visible(timeout=60_000)
    page.locator("[data-box]").filter(has_text="each").click()
    page.keyboard.press("i")
    expect(shown.get_by_role("button", name="failed 3")).to_be_visible()
    page.get_by_role("button", name="done 247").click()
    expect(rows.first).to_contain_text("reused")
    page.keyboard.press("i")
    expect(page.get_by_role("grid", name="Steps of the run")).to_be_visible()
    assert wrong == []


def test_a_run_is_seen_as_it_goes_and_cancelled(page: Page, runs: dict[str, str]) -> None:
    page.goto(f"/dags/{runs['waits']}")
    box = page.locator("[data-box]").filter(has_text="far")
    expect(box).to_contain_text("waiting for a node")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(box).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Run again")).to_be_visible()


def test_a_graph_of_many_steps_is_usable_and_counted_right(page: Page, harbour: Harbour) -> None:
    look_at_many(page, harbour, 600)


def look_at_many(page: Page, harbour: Harbour, width: int) -> None:
    """A run of a step, `width` alike, one of them failed, two rows of as many that differ, and a last one, is usable
    soon, never blocks the page, and its groups are counted right."""
    page.add_init_script(WATCH_LONG_TASKS)
    alike = [step(f"part-{number}", "split") for number in range(width - 3)]
    last = step("join", *(one["id"] for one in alike))
    wide = schedule(harbour, "wide", step("split"), *alike, last, step("end", "join"))
    _usable(page, f"/dags/{wide}", "[data-box]")
    boxes = page.locator("[data-box]")
    expect(boxes).to_have_count(4)
    group = boxes.filter(has_text=f"{width - 3:,} of {width - 3:,} over")
    expect(group).to_have_count(1)
    group.click()
    expect(page.get_by_text(f"Only the {width - 3:,} steps of")).to_be_visible()
    expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", str(width - 2))
    assert page.locator("[role=rowgroup] [role=row]").count() <= 60
    page.keyboard.press("j")
    page.keyboard.press("End")
    expect(page.get_by_role("row").filter(has_text=f"part-{width - 4}")).to_be_visible()
    expect(group).to_have_attribute("aria-pressed", "true")

    first = [step(f"a{number}") for number in range(width // 2)]
    second = [step(f"b{number}", f"a{number}") for number in range(width // 2)]
    rows = schedule(harbour, "rows", *first, *second)
    _usable(page, f"/dags/{rows}", "[role=rowgroup] [role=row]")
    page.get_by_role("button", name="Show the grouped graph").click()
    expect(boxes).to_have_text([re.compile(f"^level {at}{width // 2:,} of {width // 2:,} over") for at in (1, 2)])


def _usable(page: Page, path: str, selector: str) -> None:
    """Opened, what is looked for is there in time, a click is answered, and the page was never blocked: if need be at
    the third try, since others may want this machine, too."""
    looks: list[tuple[float, float]] = []
    while len(looks) < 3 and not any(took <= USABLE_SECONDS_MAX and held <= BLOCKED_MS_MAX for took, held in looks):
        began = time.monotonic()
        page.goto(path, wait_until="commit")
        page.locator(selector).first.click()
        expect(page.locator("section h2")).to_be_visible()
        looks.append((time.monotonic() - began, max(page.evaluate("window.blocked"), default=0)))
    busy = slack()
    assert min(took for took, _ in looks) <= USABLE_SECONDS_MAX * busy, looks
    assert min(blocked for _, blocked in looks) <= BLOCKED_MS_MAX * busy, looks


def test_nobody_is_kept_out_of_workflows(page: Page, runs: dict[str, str], axe: str) -> None:
    wrong: list[str] = []
    page.goto("/dags")
    page.wait_for_selector("[role=row] a")
    wrong += check(page, axe, "runs")
    wrong += at_all_widths(page)
    go(page, f"/dags/{runs['broken']}?step=process")
    page.wait_for_selector("[data-box]")
    wrong += check(page, axe, "a run")
    wrong += at_all_widths(page)

    none = {"content-type": "application/json", "x-total-count": "0"}
    page.route("**/api/dags?*", lambda route: route.fulfill(json=[], headers=none))
    page.goto("/dags")
    expect(page.get_by_text("There are no workflows yet.")).to_be_visible()
    page.unroute_all()
    page.route("**/api/dags**", lambda route: route.fulfill(status=500, json={"detail": "It broke.", "hint": "Wait."}))
    for path in ("/dags", f"/dags/{runs['broken']}"):
        page.goto(path)
        # A run that is known by the live link is there all the same: only its steps are missing.
        expect(page.get_by_role("alert")).to_contain_text("It broke.")
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    waiting: list[Route] = []
    page.route("**/api/dags**", lambda route: waiting.append(route))
    page.goto("/dags")
    expect(page.get_by_text("Loading workflows")).to_be_visible()
    assert waiting
    page.unroute_all(behavior="ignoreErrors")
    assert wrong == []
