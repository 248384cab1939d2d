"""Events, usage, keys and people, settings: what is recorded and set up is seen, found, given and taken back."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from .conftest import opened
from .harbour import Harbour
from .looks import at_all_widths, check, go

PAGES = {"/events": "Events", "/usage": "Usage", "/keys": "Keys and people", "/settings": "Settings"}


@pytest.fixture(scope="module")
def records(can_be_seen: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    """A server of this file's own, whose records no other test adds to."""
    harbour = Harbour(tmp_path_factory.mktemp("records"))
    try:
        harbour.start()
        yield harbour
    finally:
        harbour.stop()


@pytest.fixture(scope="module")
def context(browser: Browser, records: Harbour) -> Iterator[BrowserContext]:
    with opened(browser, records.url) as context:
        yield context


def rows(page: Page) -> list[str]:
    return page.locator("[role=grid] [role=rowgroup] [role=row]").all_inner_texts()


def key(client: httpx.Client, name: str, role: str = "viewer") -> dict[str, str]:
    answer = client.post("/api/keys", json={"name": name, "role": role})
    assert answer.status_code == 201, answer.text
    made: dict[str, str] = answer.json()
    return made


def people(client: httpx.Client, count: int = 60) -> None:
    """So many entries that they do not fit on a screen."""
    for number in range(count):
        key(client, f"=person {number}")


def test_empty_pages_say_what_they_are_for(page: Page) -> None:
    page.route(re.compile(r"/api/(audit|keys)\b"), lambda route: route.fulfill(json=[]))
    page.route(re.compile("/api/usage"), _nothing_used)
    page.route_web_socket(re.compile("/live"), lambda _: None)  # nothing comes by itself
    for path, says in (
        ("/events", "written down here"),
        ("/events?text=nothing-like-this", "No event is like this"),
        ("/usage?by=app", "Nothing was used"),
        ("/keys", "Nobody has a key yet"),
    ):
        page.goto(path)
        expect(page.locator("main")).to_contain_text(says)


def _nothing_used(route: Route) -> None:
    answer = route.fetch()
    nothing = {"tasks": 0, "failed": 0, "attempts": 0, "cpuSeconds": 0, "wallSeconds": 0}
    days = [day | nothing for day in answer.json()["days"]]
    route.fulfill(json=answer.json() | {"rows": [], "days": days})


def test_a_key_is_given_shown_once_and_taken_back(page: Page, records: Harbour, axe: str) -> None:
    wrong: list[str] = []
    page.goto("/keys")
    expect(page.get_by_role("heading", name="Join tokens")).to_be_visible()
    page.keyboard.press("a")
    expect(page.get_by_label("Who will use it")).to_be_focused()
    page.keyboard.type("maria")
    page.get_by_role("radio", name=re.compile("^operator")).check()
    page.get_by_label("It lasts").select_option("7 days")
    wrong += check(page, axe, "new key")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.keyboard.press("a")
    page.get_by_label("Who will use it").fill("maria")
    page.get_by_role("radio", name=re.compile("^operator")).check()
    page.keyboard.press("Enter")
    secret = page.locator("dialog pre").inner_text()
    wrong += check(page, axe, "the secret")
    with (
        httpx.Client(base_url=records.url, trust_env=False, headers={"Authorization": f"Bearer {secret}"}) as as_maria,
        records.client() as admin,
    ):
        assert as_maria.get("/api/session").json()["role"] == "operator"
        page.get_by_role("button", name="It is kept").click()
        assert secret not in page.content()
        expect(page.get_by_role("row").filter(has_text="maria")).to_contain_text("operator")
        expect(page.get_by_role("listitem").filter(has_text="maria")).to_contain_text("1 key")
        wrong += check(page, axe, "keys")
        page.get_by_role("button", name=re.compile("Revoke the key .* of maria")).click()
        expect(page.locator("dialog")).to_contain_text("refused from now on")
        wrong += check(page, axe, "revoke")
        page.get_by_role("button", name="Revoke it").click()
        expect(page.locator("dialog")).to_have_count(0)
        expect(page.get_by_role("row").filter(has_text="maria")).to_have_count(0)
        assert as_maria.get("/api/session").status_code == 401

        token = admin.post("/api/nodes/join-tokens", json={}).json()["token"]
        page.reload()
        expect(page.locator("main")).to_contain_text("waiting, 14 min left")
        page.get_by_role("button", name=re.compile("Revoke the join token")).click()
        page.get_by_role("button", name="Revoke it").click()
        expect(page.locator("main")).to_contain_text("No join token was made yet")
        joining = admin.post(
            "/api/nodes/join",
            json={"name": "n", "publicKey": "A" * 43 + "="},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert joining.status_code == 401
    assert wrong == []


def test_events_are_found_kept_in_the_address_and_saved(page: Page, records: Harbour, axe: str) -> None:
    with records.client() as client:
        [node] = [one["nodeId"] for one in client.get("/api/nodes").json()]
        for verb in ("drain", "resume"):
            assert client.post(f"/api/nodes/{node}/{verb}").status_code == 202
        people(client)
    page.goto("/events")
    page.get_by_label("Anywhere in it").fill("DRAINING")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("text=DRAINING"))
    expect(page.locator("[role=grid] [role=row]")).to_have_count(2)
    page.get_by_label("What happened").select_option("node drained")
    page.get_by_label("About").fill(node)
    page.get_by_role("button", name="Find").click()
    expect(page).to_have_url(re.compile(f"subject={node}"))
    found = rows(page)
    assert len(found) == 1
    assert node in found[0]
    page.reload()
    expect(page.locator("[role=grid] [role=row]")).to_have_count(2)
    assert rows(page) == found

    page.keyboard.press("j")
    expect(page.get_by_label(re.compile("^Entry "))).to_contain_text("Seal")
    wrong = check(page, axe, "one event")
    page.get_by_role("link", name="all about it").click()
    expect(page.locator("[role=grid] [role=row]")).to_have_count(3)

    page.goto("/events?kind=key_created")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save as CSV").click()
    text = Path(saved.value.path()).read_text("utf-8")
    cells = list(csv.DictReader(io.StringIO(text)))
    with records.client() as client:
        made = client.get("/api/audit", params={"kind": "key_created", "limit": 1000}).json()
    assert [int(one["number"]) for one in cells] == [one["number"] for one in made]
    assert {one["kind"] for one in cells} == {"key_created"}
    assert cells[0]["subject"] == "'=person 59"
    with page.expect_download() as saved:
        page.get_by_role("link", name="JSON lines").click()
    lines = Path(saved.value.path()).read_text("utf-8").splitlines()
    assert [json.loads(line)["number"] for line in lines] == [int(one["number"]) for one in cells]
    assert wrong == []


def test_new_events_come_by_themselves_but_move_nobody_who_reads(page: Page, records: Harbour) -> None:
    with records.client() as client:
        people(client)
        page.goto("/events")
        expect(page.locator("[role=grid]")).to_contain_text("=person 59")
        key(client, "late")
        expect(page.locator("[role=grid]")).to_contain_text("A key for late")
        grid = page.locator("[role=grid]")
        grid.evaluate("(grid) => { grid.scrollTop = 400; }")
        expect(grid).not_to_contain_text("A key for late")
        before = rows(page)
        for number in range(3):
            key(client, f"later {number}")
    newer = page.get_by_role("button", name="3 newer")
    expect(newer).to_be_visible()
    assert rows(page) == before
    newer.click()
    expect(grid).to_contain_text("A key for later 2")
    expect(newer).to_have_count(0)


def test_what_was_used_adds_up(page: Page, records: Harbour, axe: str) -> None:
    tasks = [
        records.submit(f"t{number}", "let s = 0; for (let i = 0; i < 3e6; i++) s += i; return s") for number in (1, 2)
    ]
    tasks.append(records.submit("fails", "throw new Error('no')"))
    with records.client() as client:
        for task in tasks:
            client.get(f"/api/tasks/{task}/result", params={"wait": 30})
        views = [client.get(f"/api/tasks/{task}").json() for task in tasks]
        [node] = [one["nodeId"] for one in client.get("/api/nodes").json()]
        told = client.get("/api/usage", params={"by": "node", "days": 1}).json()
    [row] = told["rows"]
    assert (row["name"], row["owner"], row["tasks"], row["failed"]) == (node, "local", 3, 1)
    used = sum(attempt["usage"]["cpuSeconds"] for view in views for attempt in view["attempts"] if attempt["usage"])
    assert row["cpuSeconds"] == pytest.approx(used, abs=0.01)
    page.goto("/usage")
    expect(page.locator("[role=grid] [role=row]")).to_have_count(2)
    [line] = rows(page)
    assert line.split("\n")[0] == "local"
    page.get_by_role("button", name="given, by node").click()
    page.get_by_role("button", name="30 days").click()
    expect(page).to_have_url(re.compile("by=node&days=30"))
    expect(page.locator("[role=grid]")).to_contain_text(node)
    wrong = check(page, axe, "usage")
    page.get_by_role("button", name="read as a table").click()
    expect(page.locator("main table tbody tr")).to_have_count(30)
    wrong += check(page, axe, "usage as a table")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    [cells] = csv.DictReader(io.StringIO(Path(saved.value.path()).read_text("utf-8")))
    assert (cells["node"], cells["tasks"], cells["failed"]) == (node, "3", "1")
    page.reload()
    expect(page.locator("[role=grid]")).to_contain_text(node)
    page.get_by_role("button", name="used, by app").click()
    expect(page.locator("main")).to_contain_text("No app ran in these days")
    assert wrong == []


def test_settings_are_shown_and_this_browser_keeps_its_own(page: Page, axe: str) -> None:
    assert page.request.post("/api/keys", data={"name": "seen", "role": "viewer"}).status == 201  # for an event
    page.goto("/settings")
    port = page.locator("dl > div").filter(has=page.get_by_text("port", exact=True))
    expect(port).to_contain_text("from --port")
    wrong = check(page, axe, "settings")
    page.get_by_role("radio", name="night", exact=True).check()
    page.get_by_role("radio", name="compact").check()
    page.get_by_role("checkbox", name=re.compile("steps once a second")).check()
    page.goto("/events")
    expect(page.locator("html")).to_have_attribute("data-theme", "night")
    row = page.locator("[role=grid] [role=rowgroup] [role=row]").first
    expect(row).to_have_css("height", "24px")
    page.goto("/settings")
    expect(page.get_by_role("checkbox", name=re.compile("steps once a second"))).to_be_checked()
    page.get_by_role("radio", name="as the system says").check()
    page.get_by_role("radio", name="normal").check()
    expect(page.locator("html")).to_have_attribute("data-theme", "day")
    assert wrong == []


def test_narrow_pages_stay_readable(page: Page, records: Harbour) -> None:
    wrong: list[str] = []
    with records.client() as client:
        key(client, "w" * 60)
    page.goto("/events")
    for path, title in PAGES.items():
        go(page, path)
        expect(page.locator("h1")).to_have_text(title)
        expect(page.locator("main")).not_to_contain_text("Loading")
        wrong += at_all_widths(page)
    assert wrong == []
