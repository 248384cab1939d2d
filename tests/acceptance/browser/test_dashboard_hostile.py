"""What strangers can write, and garbage in addresses and in the browser: no page runs it, or breaks on it."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from .conftest import LISTEN
from .harbour import Harbour

MARKUP = '<img src=x onerror="window.hit=1"><script>window.hit=2</script><svg/onload=window.hit=3>'
NAMES = [
    MARKUP,
    "__proto__",
    "constructor",
    "toString",
    "=cmd|'/C calc'!A0",
    "javascript:window.hit=4",
    "\u202egnp.exe",
]
HOSTILE = f"console.log({json.dumps(MARKUP)}); return {{ {json.dumps(MARKUP)}: 1, constructor: 2, toString: 3 }}"
BROKEN = f"throw new Error({json.dumps(MARKUP)})"
PLACES = [
    "/", "/tasks", "/tasks/new", "/dags", "/dags/new", "/apps", "/clusters/new", "/nodes", "/nodes/add", "/cases",
    "/events", "/usage", "/keys", "/settings",
]  # fmt: skip
GARBAGE = ["5", '{"text":5,"places":{"a":5}}', '{"name":5,"language":"x","javascript":null,"kept":7}']
KEPT = [
    "anchor.draft.task", "anchor.workflow-draft", "anchor:task-views", "anchor:density", "anchor:calm", "anchor.theme",
]  # fmt: skip
WORDS = (
    "?q=constructor:x%00%25&state=__proto__&by=constructor&kind=toString&minutes=1e999&days=-1&from=x&to=%FF"
    "&tab=__proto__&step=__proto__&view=constructor&sort=toString"
)

INERT = """
() => window.hit === undefined
  && document.querySelector("main :is(script, img, iframe, object, base, form[action])") === null
  && [...document.querySelectorAll("a[href]")].every((one) => /^https?:$/.test(one.protocol))
"""


@pytest.fixture(scope="module")
def harbour(can_be_seen: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    """A server of these tests alone: nobody else wants what is in there."""
    harbour = Harbour(tmp_path_factory.mktemp("reef"))
    try:
        harbour.start()
        yield harbour
    finally:
        harbour.stop()


@pytest.fixture
def context(browser: Browser, harbour: Harbour) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=harbour.url, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10_000)
    context.add_init_script(LISTEN)
    yield context
    context.close()


def made(answer: httpx.Response) -> dict[str, Any]:
    """What was answered to a request that has to succeed."""
    assert answer.is_success, answer.text
    told: dict[str, Any] = answer.json()
    return told


def strew(harbour: Harbour) -> list[str]:
    """Write hostile words wherever anybody may write some; where they are to be seen."""
    tasks = [harbour.submit(MARKUP, HOSTILE), harbour.submit(MARKUP, BROKEN)]
    steps = [{"id": name, "name": name, "type": "noop"} for name in NAMES]
    last = {"id": "last", "name": MARKUP, "type": "noop", "dependencies": NAMES}
    with harbour.client() as client:
        for name in NAMES:
            made(client.post("/api/tasks", json={"name": name, "type": "noop", "labels": NAMES}))
        for name in NAMES[:-1]:  # a key's name has to be printable
            made(client.post("/api/keys", json={"name": name, "role": "viewer"}))
        run = made(client.post("/api/dags", json={"name": MARKUP, "steps": [*steps, last]}))["id"]
        [node] = [one["nodeId"] for one in client.get("/api/nodes").json()]
        made(client.put(f"/api/nodes/{node}/labels", json={"labels": NAMES[:-1]}))
        made(client.post(f"/api/nodes/{node}/drain", json={"reason": MARKUP}))
        made(client.post(f"/api/nodes/{node}/resume"))
        for task in tasks:
            client.get(f"/api/tasks/{task}/result", params={"wait": 30})
    views = [f"/dags/{run}?view={view}" for view in ("graph", "table", "gantt")]
    return [*(f"/tasks/{task}" for task in tasks), *views, f"/nodes/{node}", f"/dags/new?from={run}"]


def look(page: Page, place: str) -> None:
    """Open a page and wait until it has shown what it has to show."""
    page.goto(place)
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="Loading ")).to_have_count(0)
    expect(page.get_by_text("could not be shown")).to_have_count(0)
    assert page.evaluate(INERT) is True, place


def test_nothing_a_stranger_wrote_does_anything(page: Page, harbour: Harbour) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for place in [*strew(harbour), *PLACES]:
        look(page, place)
    assert [url for url in asked if not url.startswith((f"{harbour.url}/", "data:", "blob:"))] == []


def test_garbage_in_the_browsers_own_store_breaks_no_page(page: Page) -> None:
    page.goto("/")
    for garbage in GARBAGE:
        page.evaluate("([names, text]) => names.forEach((name) => localStorage.setItem(name, text))", [KEPT, garbage])
        for place in ("/tasks", "/tasks/new", "/dags/new"):
            look(page, place)


def test_garbage_in_an_address_breaks_no_page(page: Page) -> None:
    lists = ["/", "/tasks", "/dags", "/apps", "/nodes", "/cases", "/events", "/usage"]
    for place in [*lists, "/tasks/new", "/tasks/__proto__", "/dags/%00", "/clusters/..%5C", "/nodes/constructor"]:
        look(page, place + WORDS)
