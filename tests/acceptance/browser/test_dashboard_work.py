"""Working with the dashboard: by keyboard, and with hostile output."""

from playwright.sync_api import Page, expect

from .harbour import Harbour


def test_the_keyboard_goes_everywhere(page: Page, harbour: Harbour) -> None:
    page.goto("/")
    expect(page.locator("h1")).to_have_text("The watch")
    page.keyboard.type("gt")
    expect(page.locator("h1")).to_have_text("Tasks")
    page.wait_for_selector("[role=row] a")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Output")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type(f"{harbour.tasks['broken']}\n")
    expect(page.locator("h1")).to_have_text("broken")
    page.keyboard.press("3")
    expect(page.get_by_role("tab", name="Attempts")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Control+k")
    page.wait_for_selector("dialog input:focus")
    page.keyboard.type("watch\n")
    expect(page.locator("h1")).to_have_text("The watch")
    expect(page.locator("dialog")).to_have_count(0)


def test_what_is_searched_for_is_in_the_address(page: Page, harbour: Harbour) -> None:
    page.goto("/tasks")
    page.get_by_role("button", name="failed").click()
    rows = page.locator("[role=row] a")
    expect(rows).to_have_text(["broken"])
    assert page.url == f"{harbour.url}/tasks?q=state%3Afailed"
    page.reload()
    expect(rows).to_have_text(["broken"])
    expect(page.locator("#search")).to_have_value("state:failed")


def test_what_a_task_prints_is_looked_at_and_does_nothing(page: Page, harbour: Harbour) -> None:
    page.goto(f"/tasks/{harbour.tasks['hostile']}")
    expect(page.locator("h1")).to_have_text("<b>hostile</b>")
    log = page.locator("[role=log]")
    expect(log).to_contain_text('<img src=x onerror="window.hit=1"> red \ufffdgnp.exe nul')
    expect(log).to_contain_text("last line")
    assert len(log.inner_text()) < 10_000
    assert page.evaluate("window.hit") is None
    assert page.locator("main img, h1 b").count() == 0
