"""Cases in the dashboard: a machine that cheats is seen, shown with what it answered, blocked, and taken back."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from tests.system.fleet import Agent, Server

from .conftest import opened
from .looks import at_all_widths, check, slack

LIAR = Path(__file__).parents[2] / "system" / "liar.py"
SEEN_SECONDS_MAX = 2.0
ANSWER = "const end = Date.now() + 200; while (Date.now() < end); return -42"
"""What the liar says to it is -1: of its two bytes only the second is wrong."""
HERS = {"labels": ["of:eve"]}
pytestmark = pytest.mark.timeout(180)


class Cheat(Agent):
    """An agent that answers at once, and always the same."""

    def __init__(self, directory: Path, server: Server) -> None:
        super().__init__(directory, server, "eve", "--label", "of:eve", slots=1)
        self._arguments = [sys.executable, str(LIAR), "always", *self._arguments[3:]]


class Court:
    """A server with two honest machines and one that cheats, each of another owner."""

    def __init__(self, directory: Path) -> None:
        self.server = Server(directory, lease_seconds=30)
        self.http = httpx.Client(base_url=self.server.url, trust_env=False, timeout=40)
        self.cheat = Cheat(directory, self.server)
        self.agents: list[Agent] = [Agent(directory, self.server, name, slots=1) for name in ("ada", "bob")]

    def open(self) -> None:
        self.server.start_and_wait()
        for agent in (*self.agents, self.cheat):
            key = self.http.post("/api/keys", json={"name": agent.name, "role": "operator"}).raise_for_status().json()
            agent.join(key=key["token"])
        for agent in (*self.agents, self.cheat):
            agent.node = agent.wait_until_online()

    def close(self) -> None:
        self.http.close()
        for program in (*self.agents, self.cheat, self.server):
            program.kill()

    def submit(self, **more: Any) -> str:
        spec = {"name": "answer", "payload": {"sourceCode": ANSWER}} | more
        task: str = self.http.post("/api/tasks", json=spec).raise_for_status().json()["id"]
        return task

    def state_of(self, task: str, wait: float) -> str:
        shown = self.http.get(f"/api/tasks/{task}/result", params={"wait": wait}).raise_for_status().json()
        state: str = shown["state"]
        return state

    def status(self) -> str:
        status: str = self.http.get(f"/api/nodes/{self.cheat.node}").raise_for_status().json()["status"]
        return status


@pytest.fixture(scope="module")
def court(can_be_seen: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    court = Court(tmp_path_factory.mktemp("court"))
    try:
        court.open()
        yield court
    finally:
        court.close()


@pytest.fixture(scope="module")
def context(browser: Browser, court: Court) -> Iterator[BrowserContext]:
    with opened(browser, court.server.url, 1440, 900) as context:
        yield context


def test_13_a_cheat_is_seen_shown_blocked_and_taken_back(page: Page, court: Court, axe: str) -> None:
    wrong: list[str] = []
    doubtful = [court.submit(requirements=HERS) for _ in range(2)]
    assert {court.state_of(task, 30) for task in doubtful} == {"succeeded"}
    _see_pages_without_cases(page)
    _see_it_opened(page, court)
    _look_at_the_evidence(page, court, axe, wrong)
    _block(page, court, axe, wrong)
    _undo(page, court)
    _run_again_on_more_nodes(page, court)
    assert wrong == []


def _see_pages_without_cases(page: Page) -> None:
    page.goto("/cases/case_0000000000000")
    expect(page.get_by_role("alert")).to_contain_text("There is no case")
    waiting: list[Route] = []
    page.route("**/api/verification/cases?*", lambda route: waiting.append(route))
    page.goto("/cases")
    expect(page.get_by_text("Loading cases")).to_be_visible()
    page.unroute_all(behavior="ignoreErrors")
    broken = {"detail": "It broke.", "hint": "Wait."}
    page.route("**/api/verification/cases?*", lambda route: route.fulfill(status=500, json=broken))
    page.goto("/cases")
    expect(page.get_by_role("alert")).to_contain_text("It broke.")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    page.unroute_all(behavior="ignoreErrors")
    page.reload()
    expect(page.get_by_text("Nobody has contradicted what was agreed on.")).to_be_visible()
    expect(page.get_by_text("anchor run script.js --verify quorum")).to_be_visible()


def _see_it_opened(page: Page, court: Court) -> None:
    page.goto("/")
    needs = page.locator("section").filter(has=page.get_by_role("heading", name="Needs you"))
    expect(needs.get_by_text("Nothing. All is well.")).to_be_visible()
    court.submit(verify={"policy": "quorum", "copies": 3, "agree": 2})
    expect(needs.get_by_text(f"answer. {court.cheat.node} gave a different answer.")).to_be_visible(timeout=30_000)
    seen = datetime.now(UTC)
    [case] = court.http.get("/api/verification/cases").json()
    assert (seen - datetime.fromisoformat(case["openedAt"])).total_seconds() <= SEEN_SECONDS_MAX * slack()
    expect(needs.get_by_role("link", name="Open the case")).to_have_attribute("href", f"/cases/{case['id']}")
    page.goto("/cases")
    expect(page.get_by_role("row").filter(has_text=court.cheat.node).first).to_be_visible()
    page.get_by_role("grid").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("answer: results disagree")


def _look_at_the_evidence(page: Page, court: Court, axe: str, wrong: list[str]) -> None:
    expect(page.get_by_text("Two gave the same answer, one did not.")).to_be_visible()
    expect(page.get_by_text("Evidence is kept until")).to_be_visible()
    results = page.get_by_role("table", name="Results").get_by_role("row")
    expect(results.filter(has_text="agrees")).to_have_count(2)
    hers = results.filter(has_text=court.cheat.node)
    expect(hers).to_contain_text("differs")
    expect(hers).to_contain_text("1 flag")
    dissent = page.get_by_role("figure", name=court.cheat.node)
    expect(dissent).to_contain_text("2d 31")
    assert [mark.strip() for mark in dissent.locator("mark").all_inner_texts()] == ["31"]
    expect(page.get_by_role("figure", name="Majority")).to_contain_text("2d 34 32")
    fraud = page.locator("section").filter(has_text="Why it is likely fraud").last
    expect(fraud).to_contain_text("None of its answers has been found right yet.")
    excuse = page.locator("section").filter(has_text="Why it may not be").last
    expect(excuse).to_contain_text("the program asks for chance or the time (Date.now)", ignore_case=True)
    wrong += check(page, axe, "case")
    wrong += at_all_widths(page)
    page.keyboard.press("c")
    expect(page.get_by_role("dialog", name=f"Clear {court.cheat.node}")).to_be_visible()
    wrong += check(page, axe, "clearing")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.goto("/cases")
    expect(page.get_by_text("Loading")).to_have_count(0)
    wrong += at_all_widths(page)
    wrong += check(page, axe, "cases")
    page.go_back()


def _block(page: Page, court: Court, axe: str, wrong: list[str]) -> None:
    page.get_by_role("button", name=f"Block {court.cheat.node}").click()
    dialog = page.get_by_role("dialog")
    block = dialog.get_by_role("button", name="Block")
    expect(block).to_be_disabled()
    expect(dialog).to_contain_text("2 past results")
    wrong += check(page, axe, "blocking")
    dialog.get_by_label("Why?").fill("It answers before it can know.")
    block.click()
    dialog.get_by_role("button", name="Run all 2 again").click()
    expect(dialog.get_by_text("2 run again")).to_be_visible()
    wrong += check(page, axe, "blocked")
    dialog.get_by_role("button", name="Done").click()
    expect(page.get_by_text("Blocked by local. It answers before it can know.").first).to_be_visible()
    assert court.status() == "blocked"


def _undo(page: Page, court: Court) -> None:
    only_hers = court.submit(requirements=HERS)
    assert court.state_of(only_hers, 1) == "queued"
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    assert court.state_of(only_hers, 30) == "succeeded"
    deadline = time.monotonic() + 15
    while court.status() != "online":
        assert time.monotonic() < deadline, court.status()
        time.sleep(0.05)
    record = page.get_by_label("The record")
    expect(record).to_contain_text("Blocked by local. It answers before it can know.")


def _run_again_on_more_nodes(page: Page, court: Court) -> None:
    page.get_by_role("button", name="Run it again on 5 nodes").click()
    again = page.get_by_role("region", name="What was done").get_by_role("link", name="task_")
    expect(again).to_be_visible()
    task = (again.get_attribute("href") or "").removeprefix("/tasks/")
    assert court.http.get(f"/api/tasks/{task}").raise_for_status().json()["verification"]["copies"] == 5
    court.http.post(f"/api/tasks/{task}/cancel").raise_for_status()
