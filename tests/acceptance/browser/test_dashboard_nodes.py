"""Machines in the dashboard: one joins by the line that is shown, many are found and acted on, one is looked at."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from tests.server.served import Served

from anchor.adapters.sqlite.store import SqliteStore
from anchor.core.node import Metrics, Node, Profile
from anchor.core.reputation import Reputation

from .conftest import opened
from .looks import at_all_widths, check

NODES = 300
ROWS_MAX = 60
JOIN_MS = 90_000
SITES = ("Lisbon", "Porto", "Vigo")


async def _keep_nodes(data: Path) -> None:
    """Machines of three sites that called in once: nobody has heard from them since."""
    store = await SqliteStore.open(data)
    now = int(time.time() * 1000)
    for number in range(NODES):
        profile = Profile(
            host=f"pc-{number}",
            os="Linux",
            arch="x86_64",
            cores=8,
            ram=16.0,
            runtimes={"isolate": "1"},
            missing={"native": "bubblewrap is not installed"},
            labels=(f"site:{SITES[number % 3]}",),
            version="0.1.0",
        )
        rating = Reputation(valid_in_row=3, valid=40.0, invalid=float(number == 7), at=now)
        node = Node(
            id=f"REX-{number:06d}",
            owner="ann",
            public_key=bytes(32),
            joined_at=now,
            session=1,
            seen_at=now,
            speed=400.0,
            measured_at=now,
            slots=8,
            profile=profile,
            metrics=Metrics(cpu_usage=5, uptime=60),
            reputation={"isolate": rating},
        )
        assert await store.insert_node(node)
    await store.close()


@pytest.fixture(scope="module")
def served(can_be_seen: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a fleet, for the tests of this file."""
    served = Served(tmp_path_factory.mktemp("fleet"), requests_per_second=10_000)
    with ThreadPoolExecutor(1) as thread:  # Playwright's own event loop may run in this one
        thread.submit(lambda: asyncio.run(_keep_nodes(served.data))).result()
    served.start()
    yield served
    served.end()


@pytest.fixture(scope="module")
def context(browser: Browser, served: Served) -> Iterator[BrowserContext]:
    with opened(browser, served.url, 1440, 900) as context:
        yield context


def _machine(directory: Path) -> dict[str, str]:
    """A machine of its own, as far as the script sees. What Anchor needs from the package index is at hand there."""
    venv = directory / ".anchor" / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    [packages] = venv.glob("lib/python*/site-packages")
    (packages / "at-hand.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANCHOR_", "PYTHON", "JOIN_"))}
    return {**kept, "HOME": str(directory), "JOIN_START": "background", "ANCHOR_RUNTIMES": "isolate"}


def _run(command: str, machine: dict[str, str]) -> subprocess.CompletedProcess[str]:
    said = subprocess.STDOUT
    return subprocess.run(
        ["sh", "-c", command], env=machine, stdout=subprocess.PIPE, stderr=said, text=True, timeout=90, check=False
    )


def _stop_agent(home: Path) -> None:
    agent = psutil.Process(int((home / ".anchor" / "agent.pid").read_text()))
    agent.send_signal(signal.SIGTERM)
    agent.wait(20)


@pytest.mark.skipif(sys.platform == "win32" or not shutil.which("curl"), reason="curl and sh make the machine join")
def test_a_machine_joins_by_the_line_that_is_shown(page: Page, served: Served, tmp_path: Path, axe: str) -> None:
    wrong: list[str] = []
    page.goto("/nodes/add")
    shown = page.get_by_role("tabpanel").locator("pre")
    expect(shown).to_contain_text(f"curl -fsSL {served.url}/join.sh | sh -s -- {served.url} ancj_")
    expect(page.get_by_text("Waiting for it to call in")).to_be_visible()
    wrong += at_all_widths(page)
    page.keyboard.press("c")
    expect(page.get_by_text("Copied.")).to_be_visible()
    command: str = page.evaluate("navigator.clipboard.readText()")
    assert command == shown.inner_text().strip()
    with page.expect_popup() as script:
        page.get_by_role("link", name="here to read").click()
    assert "#!/bin/sh" in script.value.content()

    home = tmp_path / "home"
    home.mkdir()
    machine = _machine(home)
    joined = _run(command, machine)
    assert joined.returncode == 0, joined.stdout
    try:
        steps = page.locator("[data-step]")
        expect(page.locator("[data-is=done]")).to_have_count(5, timeout=JOIN_MS)
        node = re.search(r"[A-Z]{3}-[A-Z0-9]{6}", joined.stdout)
        assert node is not None, joined.stdout
        expect(steps.nth(0)).to_contain_text("Called in from 127.0.0.1")
        expect(steps.nth(1)).to_contain_text(f"Named {node[0]}, agent ")
        expect(steps.nth(2)).to_contain_text(re.compile(r"Found \d+ cores?, [\d.]+ GiB, .*; .*isolate"))
        expect(steps.nth(3)).to_contain_text(re.compile(r"Passed its first check: [\d,]+ thousand hash rounds"))
        expect(page.get_by_text("lets no other machine join")).to_be_visible()
        wrong += check(page, axe, "joined")
        again = _run(command, machine)
        assert again.returncode == 0, again.stdout
        assert f"This machine is {node[0]} already" in again.stdout
        assert "Its agent runs already" in again.stdout
        (home / ".anchor" / "server").write_text("http://elsewhere\n")
        other = _run(command, machine)
        assert other.returncode != 0
        assert "This join token was used before: each one lets one machine join." in other.stdout
        page.get_by_role("link", name=f"Show {node[0]}").click()
        expect(page.locator("h1")).to_have_text(node[0])
    finally:
        _stop_agent(home)
    assert wrong == []


def test_a_token_that_nobody_used_says_so_and_a_new_one_is_at_hand(
    page: Page, browser: Browser, served: Served, axe: str
) -> None:
    wrong: list[str] = []
    with opened(browser, served.url) as context:  # whose clock is one's own
        _see_nobody_call(context.new_page(), served, axe, wrong)
    page.route(
        "**/api/nodes/join-tokens",
        lambda route: route.continue_(post_data='{"seconds": 1}'),
        times=1,
    )
    page.goto("/nodes/add")
    token = page.locator("pre").inner_text().split()[-1]
    expect(page.get_by_text("This token has expired")).to_be_visible()
    expect(page.get_by_role("button", name="Copy")).to_be_disabled()
    wrong += check(page, axe, "expired")
    words = [
        sys.executable,
        "-m",
        "anchor",
        "join",
        served.url,
        token,
        "--no-start",
        "--data",
        str(served.data / "other"),
    ]
    refused = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode != 0
    assert "This join token has expired: nobody used it in time." in refused.stderr
    page.get_by_role("button", name="New token").click()
    expect(page.locator("pre")).not_to_contain_text(token)
    expect(page.get_by_text("Waiting for it to call in")).to_be_visible()
    assert wrong == []


def _see_nobody_call(page: Page, served: Served, axe: str, wrong: list[str]) -> None:
    page.clock.install()
    page.goto("/nodes/add")
    page.get_by_role("tab", name="Windows").click()
    expect(page.locator("pre")).to_contain_text("join.ps1")
    page.get_by_role("tab", name="Python").click()
    expect(page.locator("pre")).to_contain_text("pip install")
    expect(page.get_by_role("heading", name="No call after a minute?")).to_have_count(0)
    page.clock.fast_forward(61_000)
    expect(page.get_by_role("heading", name="No call after a minute?")).to_be_visible()
    expect(page.get_by_text(f"anchor doctor --url {served.url}")).to_be_visible()
    wrong += check(page, axe, "no call")


def test_a_fleet_is_found_in_and_acted_on(page: Page, served: Served, axe: str) -> None:
    wrong: list[str] = []
    page.goto("/nodes")
    rows = page.get_by_role("row")
    expect(page.get_by_role("button", name=re.compile(r"^lost"))).to_contain_text(re.compile(r"30\d"))
    assert rows.count() <= ROWS_MAX
    wrong += check(page, axe, "nodes") + at_all_widths(page)
    page.keyboard.press("f")
    page.keyboard.type("vigo pc-11")
    expect(page.get_by_text(re.compile(r"^5 of 30\d nodes$"))).to_be_visible()
    assert "find=vigo" in page.url
    page.reload()
    expect(page.get_by_text(re.compile(r"^5 of 30\d nodes$"))).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.get_by_role("button", name="Select all 5").click()
    page.get_by_role("button", name="Label…").click()
    page.get_by_label("Give").fill("lab, gpu")
    wrong += check(page, axe, "labelling")
    page.get_by_role("dialog").get_by_role("button", name="Label").click()
    expect(page.get_by_text("5 nodes labelled.")).to_be_visible()
    expect(rows.filter(has_text="lab, gpu")).to_have_count(5)
    page.get_by_role("button", name="Select all 5").click()
    page.keyboard.type("bb")
    reason = page.get_by_label("Why?")
    reason.fill("They smoke.")
    wrong += check(page, axe, "blocking")
    reason.press("Enter")
    expect(page.get_by_text("5 nodes blocked.")).to_be_visible()
    expect(rows.get_by_text("blocked")).to_have_count(5)
    page.get_by_role("button", name="Show all nodes").click()
    page.get_by_role("button", name=re.compile(r"^blocked")).click()
    expect(page.get_by_text(re.compile(r"^5 of 30\d nodes$"))).to_be_visible()
    blocked = served.client.get("/api/nodes/REX-000011").json()
    assert (blocked["status"], blocked["givenLabels"]) == ("blocked", ["lab", "gpu"])
    assert wrong == []


def test_one_node_is_looked_at_and_decided_about(page: Page, served: Served, axe: str) -> None:
    wrong: list[str] = []
    page.goto("/nodes/REX-000007")
    expect(page.locator("h1")).to_have_text("REX-000007")
    expect(page.get_by_text(re.compile(r"400 k/s · 1\.0. the fleet's middle"))).to_be_visible()
    expect(page.get_by_text("bubblewrap is not installed")).to_be_visible()
    expect(page.get_by_role("region", name="Trust").get_by_text("1 wrong")).to_be_visible()
    wrong += check(page, axe, "node") + at_all_widths(page)
    labels = page.get_by_role("list", name="Labels of the node")
    page.get_by_label("Labels to give").fill("by-the-sea")
    page.get_by_role("button", name="Give").click()
    expect(labels.get_by_role("listitem")).to_have_text(["site:Porto", "by-the-sea"])
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Take by-the-sea away").click()
    expect(labels.get_by_role("listitem")).to_have_text(["site:Porto"])
    page.get_by_role("button", name="Block…").click()
    page.get_by_label("Why?").fill("It is on fire.")
    page.get_by_label("Why?").press("Enter")
    expect(page.get_by_text("Blocked by local: It is on fire.")).to_be_visible()
    events = page.get_by_role("region", name="What happened to it")
    expect(events.get_by_text("REX-000007 is blocked now: It is on fire.")).to_be_visible()
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_role("button", name="Drain")).to_be_visible()
    page.goto("/nodes/REX-NOBODY")
    expect(page.get_by_role("alert")).to_contain_text("There is no node 'REX-NOBODY'.")
    assert wrong == []
