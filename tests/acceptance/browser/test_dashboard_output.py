"""What a task prints, looked at: it stays put, is searched, holds a hundred thousand lines, and does nothing."""

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from .harbour import Harbour
from .looks import until

GOES_ON = """
for (let i = 1; i <= 80000; i++) {
  console.log(`line ${i}`);
  if (i % 20 === 0) await new Promise((go) => setTimeout(go, 20));
}
"""
MANY = 100_000
MUCH = f"let all = ''; for (let i = 1; i <= {MANY}; i++) all += i + '\\n'; console.log(all.trimEnd())"
HOSTILE = r"""
console.log('<img src=x onerror="window.hit=1"><script>window.hit=2</script>');
console.log("\u001b[31mred\u001b[0m \u001b]8;;javascript:window.hit=3\u0007link\u001b]8;;\u0007 \u001b[2Jcleared");
console.log("\u202egnp.exe \u2066isolated\u2069 \u200bhidden \ufeffmark nul\u0000 bell\u0007 back\u0008 cr\rover");
for (let i = 0; i < 3; i++) console.log("x".repeat(1000000));
console.error("last " + "\u0301".repeat(500));
"""
READ = """
(log) => {
  const top = log.getBoundingClientRect().top;
  const first = [...log.querySelectorAll("[data-line]")].find((one) => one.getBoundingClientRect().bottom > top);
  return { line: first.dataset.line, at: first.getBoundingClientRect().top, lines: Math.round(log.scrollHeight / 19) };
}
"""

AT_ITS_END = """
() => {
  const log = document.querySelector("[role=log]");
  const lines = Number(document.body.innerText.match(/([\\d,]+) lines\\. It is over/)[1].replaceAll(",", ""));
  const last = log.querySelector(`[data-line='${lines}']`);
  return last && last.getBoundingClientRect().top < log.getBoundingClientRect().bottom;
}
"""
AT_THE_TOP = """
(line) => {
  const found = document.querySelector(`[data-line='${line}']`);
  const top = found?.closest("[role=log]").getBoundingClientRect().top;
  return found && Math.abs(found.getBoundingClientRect().top - top) < 40;
}
"""


@pytest.fixture(scope="session")
def harbour(yard: Harbour) -> Harbour:
    """Here things are run."""
    return yard


def read(log: Locator) -> dict[str, Any]:
    """The line at the top of what is seen, where it is, and how many there are in all."""
    told: dict[str, Any] = log.evaluate(READ)
    return told


def has_more_than(page: Page, lines: int) -> None:
    until(page, "(lines) => document.querySelector('[role=log]')?.scrollHeight / 19 > lines", lines)


def test_who_reads_further_up_is_left_alone_and_at_the_end_is_kept_there(page: Page, harbour: Harbour) -> None:
    task = harbour.submit("goes on", GOES_ON)
    page.goto(f"/tasks/{task}")
    log = page.locator("[role=log]")
    has_more_than(page, 300)
    expect(log).to_have_attribute("data-following", "true")
    log.hover()
    page.mouse.wheel(0, -1500)
    expect(page.get_by_text("Paused where you are.")).to_be_visible()
    before = read(log)
    has_more_than(page, before["lines"] + 1000)
    after = read(log)
    assert (after["line"], after["at"]) == (before["line"], before["at"])
    page.reload()  # also over a reload
    expect(log.locator(f"[data-line='{before['line']}']")).to_be_visible()
    until(page, AT_THE_TOP, before["line"])
    expect(page.get_by_text("Paused where you are.")).to_be_visible()
    log.hover()
    for _ in range(20):
        page.mouse.wheel(0, 20_000)
        if log.get_attribute("data-following") == "true":
            break
    expect(log).to_have_attribute("data-following", "true")
    now = read(log)
    has_more_than(page, now["lines"] + 100)
    assert int(read(log)["line"]) > int(now["line"])
    log.press("PageUp")
    expect(log).to_have_attribute("data-following", "false")
    log.press("End")
    expect(log).to_have_attribute("data-following", "true")
    log.press("PageUp")
    expect(log).to_have_attribute("data-following", "false")
    page.get_by_role("button", name="Follow again").click()
    expect(log).to_have_attribute("data-following", "true")
    with harbour.client() as client:
        assert client.post(f"/api/tasks/{task}/cancel").status_code == 202
    expect(page.get_by_text("lines. It is over.")).to_be_visible()
    until(page, AT_ITS_END)
    page.set_viewport_size({"width": 1280, "height": 620})  # and stays there where there is less room for it
    until(page, AT_ITS_END)


def test_a_hundred_thousand_lines_are_walked_through_and_searched(page: Page, harbour: Harbour) -> None:
    page.goto(f"/tasks/{harbour.submit('much', MUCH)}")
    expect(page.get_by_text("100,000 lines. It is over.")).to_be_visible(timeout=20_000)
    log = page.locator("[role=log]")
    expect(log.locator("[data-line='100000'] bdi")).to_have_text("100000")
    assert log.locator("[data-line]").count() <= 80
    log.press("Home")
    expect(log.locator("[data-line='1']")).to_be_in_viewport()
    page.keyboard.press("f")
    page.keyboard.type("7777")
    expect(page.get_by_text("1 of 19 lines")).to_be_visible()
    expect(log.locator("mark").first).to_have_text("7777")
    expect(log.locator("[data-line='7777']")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(log.locator("[data-line='17777']")).to_be_in_viewport()
    page.keyboard.press("Shift+Enter")
    expect(log.locator("[data-line='7777']")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(log).to_be_focused()
    page.get_by_role("button", name="copy", exact=True).click()
    assert page.evaluate("navigator.clipboard.readText().then((all) => all.split('\\n').length)") == MANY + 1


def test_what_a_task_prints_is_shown_and_does_nothing(page: Page, harbour: Harbour) -> None:
    name = '<img src=x onerror="window.hit=4">'
    task = {"name": name, "payload": {"sourceCode": HOSTILE}, "limits": {"outputBytes": 4 << 20}}
    with harbour.client() as client:
        page.goto(f"/tasks/{client.post('/api/tasks', json=task).json()['id']}")
        cut = client.post("/api/tasks", json={**task, "limits": {}}).json()["id"]
    log = page.locator("[role=log]")
    expect(page.get_by_text("7 lines. It is over.")).to_be_visible()
    texts = log.locator("bdi").all_inner_texts()
    assert texts[0] == '<img src=x onerror="window.hit=1"><script>window.hit=2</script>'
    assert texts[1] == "red link cleared"
    assert texts[2] == (
        "\ufffdgnp.exe \ufffdisolated\ufffd \ufffdhidden \ufffdmark nul\u2400 bell\u2407 back\u2408 cr\u240dover"
    )
    assert all(text.endswith("x… (1,000,000 characters)") and len(text) < 2100 for text in texts[3:6])
    expect(page.locator("h1")).to_have_text(name)
    assert page.locator("main img, main script, h1 img").count() == 0
    assert page.evaluate("window.hit") is None
    heights = log.locator("[data-line]").evaluate_all("(all) => all.map((one) => one.getBoundingClientRect().height)")
    assert set(heights) == {19}
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.goto(f"/tasks/{cut}")
    expect(page.get_by_text("It is over, and what it printed beyond its limit was not kept.")).to_be_visible()
