"""A workflow is built by keyboard and by mouse, beside its JSON; what is wrong with it is said before it can run."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from .harbour import Harbour
from .looks import at_all_widths, check, until

FOUR = {"fetch": [], "process_1": ["fetch"], "process_2": ["fetch"], "aggregate": ["process_1", "process_2"]}

IN_A_ROW = """
() => {
  const tops = [...document.querySelectorAll("[data-box]")].map((box) => Math.round(box.getBoundingClientRect().top));
  return new Set(tops).size === 1;
}
"""


@pytest.fixture(scope="session")
def harbour(yard: Harbour) -> Harbour:
    """Here things are run."""
    return yard


def _graph(page: Page) -> dict[str, list[str]]:
    """Who waits for whom, as the JSON has it."""
    graph: dict[str, Any] = json.loads(page.get_by_label("The workflow as JSON").input_value())
    return {step["id"]: step.get("dependencies", []) for step in graph["steps"]}


def _said(page: Page) -> Locator:
    return page.get_by_role("status", name="Check")


def _schedule(page: Page) -> Locator:
    return page.get_by_role("button", name="Schedule")


def _top(box: Locator) -> float:
    place = box.bounding_box()
    assert place is not None
    return place["y"]


def _add(page: Page, name: str, code: str, *after: int) -> None:
    """A step, by keyboard alone; `after` are the places of those it waits for among the ones that are there."""
    page.keyboard.press("a")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+a")
    page.keyboard.type(code)
    for place in range(max(after, default=-1) + 1):
        page.keyboard.press("Tab")
        if place in after:
            page.keyboard.press("Space")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("[data-box]:focus")).to_contain_text(name)


def _connect(page: Page, to: str) -> None:
    page.keyboard.press("c")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.type(to)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)


def _walk(page: Page, key: str, to: str) -> None:
    """Press an arrow until the box of this name is reached."""
    for _ in range(4):
        if to in page.locator("[data-box]:focus").inner_text():
            return
        page.keyboard.press(key)
    raise AssertionError(f"{key} does not lead to {to}")


def test_four_tasks_are_built_and_run_by_keyboard_alone(page: Page) -> None:
    page.goto("/dags/new")
    expect(_said(page)).to_have_text("There is no step yet.")
    expect(_schedule(page)).to_be_disabled()
    _add(page, "fetch", "return 20")
    _add(page, "process_1", "return inputs.fetch + 1")
    _add(page, "process_2", "return inputs.fetch + 2")
    _add(page, "aggregate", "return inputs.process_1 + inputs.process_2", 1, 2)
    _walk(page, "ArrowLeft", "fetch")
    _connect(page, "process_1")
    _connect(page, "process_2")
    assert _graph(page) == FOUR
    expect(_said(page)).to_have_text("Valid: 4 steps, ready to schedule.")

    _walk(page, "ArrowRight", "aggregate")
    _connect(page, "fetch")
    cycle = re.compile(r"These wait for each other: .*(fetch → process_\d → aggregate|aggregate → fetch → process_\d)")
    expect(_said(page)).to_have_text(cycle)
    expect(_schedule(page)).to_be_disabled()
    expect(_schedule(page)).to_have_attribute("title", cycle)
    page.keyboard.press("u")
    expect(_said(page)).to_contain_text("Valid")
    page.reload()
    assert _graph(page) == FOUR
    expect(page.locator("[data-box]")).to_have_count(4)

    expect(_schedule(page)).to_be_enabled()
    _schedule(page).press("Enter")
    expect(page.locator("h1")).to_have_text("workflow")
    expect(page.get_by_text("4 of 4 over")).to_be_visible(timeout=20_000)
    rows = page.locator("[role=rowgroup] [role=row]")
    expect(rows.filter(has_text="done")).to_have_count(4)
    boxes = page.locator("[data-box]")
    expect(boxes.filter(has_text="done")).to_have_count(4)
    bars = rows.locator("rect").evaluate_all("(bars) => bars.map((bar) => bar.x.baseVal.value)")
    assert len(bars) == 4
    assert bars == sorted(bars)
    assert bars[0] < bars[3]
    # What is chosen in one is chosen in all: by mouse in the graph, by keyboard in the table and in the graph.
    boxes.filter(has_text="process_2").click()
    _chosen(page, "process_2")
    page.keyboard.press("j")
    _chosen(page, "aggregate")
    boxes.filter(has_text="aggregate").focus()
    page.keyboard.press("ArrowLeft")
    _chosen(page, "process_")
    page.reload()
    _chosen(page, "process_")


def _chosen(page: Page, name: str) -> None:
    expect(page.locator("[data-box][aria-pressed=true]")).to_contain_text(name)
    expect(page.locator("section h2")).to_contain_text(name)
    row = page.get_by_role("grid").get_attribute("aria-activedescendant")
    expect(page.locator(f"[id='{row}']")).to_contain_text(name)
    assert f"step={name}" in page.url


def test_the_drawing_and_its_json_follow_each_other(page: Page) -> None:
    page.goto("/dags/new")
    text = page.get_by_label("The workflow as JSON")
    sheet = page.locator(".react-flow__pane")
    sheet.dblclick(position={"x": 160, "y": 120})
    page.keyboard.type("first\n")
    expect(page.locator("[data-box]")).to_have_text(["firstisolate"])
    sheet.dblclick(position={"x": 480, "y": 300})
    page.keyboard.type("first")
    expect(page.get_by_text("There is a step called “first” already.")).to_be_visible()
    expect(page.get_by_role("button", name="Add", exact=True)).to_be_disabled()
    page.keyboard.press("Control+a")
    page.keyboard.type("second\n")
    source = page.locator(".react-flow__node").filter(has_text="first").locator(".source")
    source.drag_to(page.locator(".react-flow__node").filter(has_text="second").locator(".target"))
    assert _graph(page) == {"first": [], "second": ["first"]}

    first, second = (page.locator("[data-box]").filter(has_text=name) for name in ("first", "second"))
    assert _top(first) < _top(second)
    second.hover()
    page.mouse.down()
    page.mouse.move(900, _top(first) - 60, steps=4)
    page.mouse.up()
    assert _top(second) < _top(first)
    page.reload()
    expect(second).to_be_visible()
    assert _top(second) < _top(first)
    first.click()
    page.get_by_role("button", name="Tidy up").click()
    until(page, IN_A_ROW)

    text.fill('{"name": "n", "steps": [{"id": "a"}, {"id": "a"}]}')
    expect(_said(page)).to_contain_text("Two steps are called “a”")
    text.fill('{"name": "n", "steps": [{"id": "a", "dependencies": ["b"]}]}')
    expect(_said(page)).to_contain_text("“a” waits for “b”, which is no step.")
    text.fill('{"name": "n", "steps": [')
    expect(_said(page)).to_contain_text("This is no JSON")
    expect(page.locator("[data-box]")).to_have_text(re.compile("^a"))
    expect(_schedule(page)).to_be_disabled()
    # What only the server knows is said, too, and before anything is scheduled.
    text.fill('{"name": "n", "steps": [{"id": "a", "payload": {"runtime": "isolate"}}]}')
    expect(_said(page)).to_contain_text("runtime isolate needs it")
    expect(_schedule(page)).to_be_disabled()
    text.fill('{"name": "n", "steps": [{"id": "a", "lable": 1}]}')
    expect(_said(page)).to_contain_text("There is no field 'lable' here.")
    text.fill('{"name": "n", "steps": [{"id": "a"}]}')
    expect(_schedule(page)).to_be_enabled()


YAML = """# What a file for the command line may have.
name: prices
steps:
  - id: fetch
    payload: &code {runtime: isolate, sourceCode: return 1}
  - id: report
    dependencies: [fetch]
    payload: *code
"""


def test_yaml_is_opened_dropped_pasted_and_written(page: Page) -> None:
    page.goto("/dags/new")
    text = page.get_by_label("The workflow as JSON or YAML")
    boxes = page.locator("[data-box]")
    file = {"name": "prices.yaml", "mimeType": "application/yaml", "buffer": YAML.encode()}
    page.get_by_label("A file with a workflow").set_input_files([file])
    expect(boxes).to_have_text([re.compile("^fetch"), re.compile("^report")])
    expect(_said(page)).to_have_text("Valid: 2 steps, ready to schedule.")
    assert text.input_value() == YAML
    page.reload()
    expect(boxes).to_have_count(2)
    assert text.input_value() == YAML

    # What is wrong with it has its line and column, which stand beside it; the drawing stays as it was.
    text.fill(YAML.replace("dependencies: [fetch]", "dependencies: [fetch"))
    expect(_said(page)).to_contain_text(re.compile(r"The YAML, line 8, column \d+: "))
    expect(boxes).to_have_count(2)
    expect(_schedule(page)).to_be_disabled()
    text.fill(YAML.replace("[fetch]", "[fetsh]"))
    expect(_said(page)).to_contain_text("“report” waits for “fetsh”, which is no step.")
    text.fill(YAML)
    expect(_said(page)).to_contain_text("Valid: 2 steps")

    # Who changes the drawing goes on in JSON, and may go back.
    page.get_by_label("Name").fill("other")
    assert _graph(page) == {"fetch": [], "report": ["fetch"]}
    page.get_by_role("button", name="Undo").click()
    expect(text).to_have_value(YAML)
    page.get_by_role("button", name="Begin with").click()
    page.get_by_role("menuitem", name="Nothing").click()
    expect(boxes).to_have_count(0)
    page.evaluate("(text) => navigator.clipboard.writeText(text)", YAML)
    text.focus()
    page.keyboard.press("Control+v")
    expect(boxes).to_have_count(2)
    dropped = page.evaluate_handle(
        """(text) => {
          const data = new DataTransfer();
          data.items.add(new File([text], "one.yml"));
          return data;
        }""",
        "name: one\nsteps: [{id: only}]",
    )
    text.dispatch_event("drop", {"dataTransfer": dropped})
    expect(boxes).to_have_text([re.compile("^only")])
    expect(_schedule(page)).to_be_enabled()


def test_nobody_is_kept_out_of_building(page: Page, axe: str) -> None:
    page.goto("/dags/new")
    expect(_said(page)).to_have_text("There is no step yet.")
    wrong = check(page, axe, "an empty draft")
    page.get_by_role("button", name="Begin with").click()
    page.get_by_role("menuitem", name=re.compile("^Four tasks")).click()
    expect(_said(page)).to_contain_text("Valid: 4 steps")
    page.locator("[data-box]").first.click()
    wrong += check(page, axe, "a draft")
    for key, where in (("e", "a step"), ("c", "connecting")):
        page.keyboard.press(key)
        expect(page.get_by_role("dialog")).to_be_visible()
        wrong += check(page, axe, where)
        page.keyboard.press("Escape")
    wrong += at_all_widths(page)
    page.set_viewport_size({"width": 320, "height": 800})
    expect(page.get_by_text("looked at, not built")).to_be_visible()
    expect(page.get_by_label("The workflow as JSON")).not_to_be_editable()
    expect(_schedule(page)).to_have_count(0)
    wrong += check(page, axe, "on a phone")
    assert wrong == []
