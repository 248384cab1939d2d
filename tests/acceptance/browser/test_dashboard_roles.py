"""Who is let in, what each role is shown and refused, and what happens when a session ends in the middle of work."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from tests.server.served import ELSEWHERE, Served

from .conftest import LISTEN
from .looks import PATHS, check, go, no_sideways_scroll

TASK = {"type": "noop", "requirements": {"labels": ["nowhere"]}}
FORBIDDEN = {
    "viewer": ["/tasks/new", "/dags/new", "/clusters/new", "/nodes/add", "/events", "/keys"],
    "submitter": ["/nodes/add", "/events", "/keys"],
    "operator": ["/keys"],
    "admin": [],
}
NOT_YOURS = "This page is not for your role."
JOIN = """
(room) => new Promise((resolve) => {
  const link = new WebSocket(`ws://${location.host}/live/?EIO=4&transport=websocket`);
  link.onmessage = ({ data }) => {
    if (data.startsWith("0")) link.send("40");
    else if (data.startsWith("40")) link.send(`421${JSON.stringify(["join", { room }])}`);
    else if (data.startsWith("431")) { link.close(); resolve(JSON.parse(data.slice(3))[0]); }
  };
})
"""


@pytest.fixture(scope="module")
def guarded(can_be_seen: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that lets nobody in without a token, and a task of each of two submitters."""
    served = Served(tmp_path_factory.mktemp("guarded"), host=ELSEWHERE, requests_per_second=10_000)
    served.start()
    for owner in ("ada", "bob"):
        with served.as_holder_of(served.key(owner, "submitter")) as client:
            assert client.post("/api/tasks", json={"name": f"of-{owner}", **TASK}).status_code == 201
    yield served
    served.end()


@contextmanager
def tab(browser: Browser, served: Served, token: str | None = None) -> Iterator[Page]:
    """A tab of a browser of its own, signed in with this token."""
    context = browser.new_context(base_url=served.url, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10_000)
    try:
        if token is not None:
            sign_in(context, served, token)
        context.add_init_script(LISTEN)
        page = context.new_page()
        yield page
        assert page.evaluate("window.violations") == []
    finally:
        context.close()


def sign_in(context: BrowserContext, served: Served, token: str) -> None:
    answer = context.request.post("/api/session", data={"token": token}, headers={"Origin": served.url})
    assert answer.status == 201, answer.text()


def test_one_signs_in_with_a_token_and_out_again(browser: Browser, guarded: Served, axe: str) -> None:
    wrong: list[str] = []
    with tab(browser, guarded) as page:
        # By a name that is not of this machine: the connection is one that others can read.
        page.goto(f"{guarded.url.replace(ELSEWHERE, 'anchor.test')}/tasks?q=state:queued")
        expect(page.get_by_text("This connection is not encrypted.")).to_be_visible()
        wrong += check(page, axe, "sign in")
        page.get_by_label("Token").fill("anc_wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("This token is not valid: unknown, expired or revoked.")
        wrong += check(page, axe, "refused")
        page.set_viewport_size({"width": 320, "height": 600})
        assert page.evaluate("document.documentElement.scrollWidth <= 320")
        page.set_viewport_size({"width": 1280, "height": 800})
        page.get_by_label("Token").fill(guarded.key("eve", "operator"))
        page.keyboard.press("Enter")
        # Where one wanted to go is where one is.
        expect(page.locator("h1")).to_have_text("Tasks")
        assert page.url.endswith("/tasks?q=state:queued")
        [cookie] = page.context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("anchor", True, "Lax")
        assert page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
        page.get_by_role("button", name="eve operator").click()
        expect(page.get_by_role("dialog")).to_contain_text("adds, drains and blocks nodes")
        wrong += check(page, axe, "who you are")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        assert page.context.cookies() == []
    assert wrong == []


def test_a_session_that_ends_in_the_middle_of_work_loses_none_of_it(
    browser: Browser, guarded: Served, axe: str
) -> None:
    key = guarded.key("kim", "operator")
    with tab(browser, guarded, key) as page:
        page.goto("/tasks")
        page.wait_for_selector("[role=row] a")
        page.locator("#search").fill("half a thou")
        ended = page.evaluate("""async () => {
          const { csrf } = await (await fetch("/api/session")).json();
          return (await fetch("/api/session", { method: "DELETE", headers: { "X-Anchor-CSRF": csrf } })).status;
        }""")
        assert ended == 200
        expect(page.get_by_role("heading", name="Sign in again")).to_be_visible()
        assert check(page, axe, "sign in again") == []
        other = page.context.new_page()
        other.goto("/nodes")
        for _ in range(4):  # a browser lets out whoever insists
            page.keyboard.press("Escape")
        page.get_by_label("Token").fill(key)
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.locator("#search")).to_have_value("half a thou")
        # It is one browser: its other tab is in again as well, once it is looked at.
        expect(other.get_by_label("Token")).to_be_visible()
        other.evaluate("window.dispatchEvent(new Event('focus'))")
        expect(other.locator("main h1")).to_have_text("Nodes")
        expect(page.get_by_text("● live")).to_be_visible()


@pytest.mark.parametrize("role", FORBIDDEN)
def test_each_role_is_shown_what_is_for_it_and_refused_the_rest(browser: Browser, guarded: Served, role: str) -> None:
    with tab(browser, guarded, guarded.key("somebody", role)) as page:
        page.goto("/")
        for path in PATHS if role == "viewer" else {path for paths in FORBIDDEN.values() for path in paths}:
            go(page, path)
            if path in FORBIDDEN[role]:
                expect(page.get_by_text(NOT_YOURS)).to_be_visible()
                expect(page.locator("main")).to_contain_text(f"You are somebody, {role}.")
                no_sideways_scroll(page)
            else:
                expect(page.get_by_text(NOT_YOURS)).to_have_count(0)
        named = page.get_by_role("navigation", name="Pages").inner_text()
        assert ("Keys and people" in named) == (role == "admin")
        assert ("Events" in named) == (role in {"operator", "admin"})
        assert page.get_by_role("banner").get_by_role("link", name="Run a task").count() == (role != "viewer")
        # Hidden or not: the server refuses.
        asked = page.evaluate("""async () => Promise.all(["/api/keys", "/api/audit"].map(
          async (path) => (await fetch(path)).status))""")
        assert asked == [200 if role == "admin" else 403, 200 if role in {"operator", "admin"} else 403]
        rooms = {room: page.evaluate(JOIN, room) for room in ("events", "tasks", "captain")}
        assert rooms["tasks"]["kind"] == "joined"
        assert rooms["captain"]["code"] == "no_such_room"
        if role in {"operator", "admin"}:
            assert rooms["events"]["kind"] == "joined"
        else:
            assert rooms["events"]["code"] == "forbidden"
            assert rooms["events"]["message"] == f"This takes the role operator; somebody is {role}."


def test_a_submitter_sees_nothing_of_others(browser: Browser, guarded: Served) -> None:
    [others] = [one["id"] for one in guarded.client.get("/api/tasks").json() if one["name"] == "of-bob"]
    with tab(browser, guarded, guarded.key("ada", "submitter")) as page:
        frames: list[str] = []
        page.on("websocket", lambda link: link.on("framereceived", lambda data: frames.append(str(data))))
        page.goto("/")
        expect(page.get_by_role("link", name="Tasks 1")).to_be_visible()
        for path in ("/tasks", "/dags", "/cases", "/usage"):
            go(page, path)
            expect(page.locator("main [role=status]", has_text="Loading")).to_have_count(0)
        go(page, f"/tasks/{others}")
        expect(page.get_by_role("alert")).to_contain_text("There is no task")
        go(page, "/tasks")
        expect(page.locator("[role=row] a")).to_have_text(["of-ada"])
        refused = page.evaluate(JOIN, f"task:{others}")
        assert (refused["kind"], refused["code"]) == ("refused", "not_found")
        assert any("joined" in frame for frame in frames)
        assert not any("of-bob" in frame for frame in frames)
        counts = page.evaluate(JOIN, "watch")["snapshot"]["counts"]
        assert sum(counts.values()) == 1
