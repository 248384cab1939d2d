"""Apps in the dashboard: deployed from a folder, seen to fall and come back, and not taken down by a bad release."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from tests.acceptance.network import Network, a_network_with
from tests.acceptance.small_apps import FAILING_BUILD, MAIN, SERVER

from .conftest import opened
from .looks import at_all_widths, check, go, slack

SLOW_START = SERVER + "print('<b>ready</b> soon', flush=True)\ntime.sleep(2)\nserve()\n"
"""Takes a moment to come up, so that it can be seen to be down."""
DOWN_SECONDS_MAX = 5.0
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def network(can_be_seen: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network_with(tmp_path_factory.mktemp("quay")) as network:
        yield network


@pytest.fixture(scope="module")
def context(browser: Browser, network: Network) -> Iterator[BrowserContext]:
    with opened(browser, network.url) as context:
        yield context


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a program, with what is not to be brought along."""
    shop = tmp_path / "shop"
    (shop / "node_modules" / "junk").mkdir(parents=True)
    (shop / MAIN).write_text(SLOW_START)
    (shop / ".gitignore").write_text("*.log\n")
    (shop / "old.log").write_text("old")
    (shop / "node_modules" / "junk" / "index.js").write_text("no")
    return shop


def test_14_an_app_is_deployed_falls_is_up_again_and_outlives_a_bad_release(
    page: Page, network: Network, axe: str, folder: Path
) -> None:
    wrong: list[str] = []
    _see_pages_without_apps(page)
    _deploy(page, network, axe, wrong, folder)
    _see_it_fall(page, network)
    _read_its_log(page, axe, wrong)
    _put_out_a_bad_release(page, network, axe, wrong)
    _change_variables_and_remove(page, axe, wrong)
    assert wrong == []


def _see_pages_without_apps(page: Page) -> None:
    page.goto("/apps")
    expect(page.get_by_text("No app is deployed yet.")).to_be_visible()
    expect(page.get_by_text("anchor app deploy .")).to_be_visible()
    page.goto("/clusters/none")
    expect(page.get_by_role("alert")).to_contain_text("There is no app")
    _see_apps_loading_and_failed(page.context)
    page.goto("/apps")
    page.get_by_role("link", name="choose a folder here").click()


def _see_apps_loading_and_failed(context: BrowserContext) -> None:
    page = context.new_page()
    page.route_web_socket("**/live/**", lambda _: None)  # which would tell of them, too
    waiting: list[Route] = []
    page.route("**/api/clusters?*", lambda route: waiting.append(route))
    page.goto("/apps")
    expect(page.get_by_text("Loading apps")).to_be_visible()
    assert waiting
    page.unroute_all(behavior="ignoreErrors")
    broken = {"detail": "It broke.", "hint": "Wait."}
    page.route("**/api/clusters?*", lambda route: route.fulfill(status=500, json=broken))
    page.goto("/apps")
    expect(page.get_by_role("alert")).to_contain_text("It broke.")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    page.unroute_all(behavior="ignoreErrors")
    page.reload()
    expect(page.get_by_text("No app is deployed yet.")).to_be_visible()
    page.close()


def _deploy(page: Page, network: Network, axe: str, wrong: list[str], folder: Path) -> None:
    expect(page.locator("h1")).to_have_text("Deploy an app")
    source = page.get_by_label("Source")
    source.get_by_label("Folder").set_input_files(folder)
    expect(source).to_contain_text("A Python program")
    expect(source).to_contain_text("2 files")
    expect(source).to_contain_text("2 left out")
    expect(page.get_by_label("Name")).to_have_value("shop")
    page.get_by_label("Memory of a replica").fill("1MB")
    page.get_by_label("Cores of a replica").fill("0.5")
    page.get_by_role("button", name="Add a variable").click()
    page.get_by_label("Name of variable 1").fill("API_TOKEN")
    page.get_by_label("Value of variable 1").fill("secret")
    page.get_by_role("button", name="Deploy it").click()
    expect(page.get_by_label("Memory of a replica")).to_have_accessible_description(
        "is 1MB; an app needs 16 MB at least"
    )
    wrong += check(page, axe, "deploy, with a fault")
    page.get_by_label("Memory of a replica").fill("128MB")
    page.get_by_role("button", name="Deploy it").click()
    expect(page.locator("h1")).to_have_text("shop")
    steps = page.get_by_label("Deployment of release 1")
    expect(steps.locator("li[data-state=now]")).to_have_count(1)
    expect(page.get_by_role("link", name="Open it")).to_have_count(0)
    expect(steps.locator("li[data-state=done]")).to_have_count(5)
    expect(steps).to_contain_text("Live at its address")
    address = page.get_by_role("link", name="Open it").get_attribute("href")
    assert address == f"http://{network.host('shop')}/"
    assert network.get("shop").text == "here"


def _see_it_fall(page: Page, network: Network) -> None:
    network.running("shop")
    expect(page.get_by_text("running", exact=True).first).to_be_visible()
    [program] = network.small_apps()
    program.kill()
    begun = time.monotonic()
    expect(page.get_by_text("down", exact=True).first).to_be_visible()
    assert time.monotonic() - begun <= DOWN_SECONDS_MAX * slack()
    expect(page.locator("dd").nth(2)).to_have_text("1")
    expect(page.get_by_text("running", exact=True).first).to_be_visible()
    page.goto("/apps")
    row = page.get_by_role("row").filter(has_text="shop")
    expect(row).to_contain_text("1 of 1")
    assert row.get_by_role("gridcell").last.inner_text() == str(network.app("shop")["restarts"]) == "1"


def _read_its_log(page: Page, axe: str, wrong: list[str]) -> None:
    page.goto("/clusters/shop?part=log")
    log = page.get_by_role("log")
    expect(log.get_by_text("web.0 │ <b>ready</b> soon")).to_have_count(2)
    page.get_by_label("Show").select_option(label="process web")
    expect(page).to_have_url(re.compile("process=web"))
    page.reload()
    expect(log.get_by_text("web.0 │ <b>ready</b> soon")).to_have_count(2)
    assert page.locator("[role=log] b").count() == 0
    wrong += check(page, axe, "log of an app")
    for path in ("/apps", "/clusters/new", "/clusters/new?as=json", "/clusters/shop", "/clusters/shop?part=releases"):
        go(page, path)
        expect(page.get_by_text("Loading")).to_have_count(0)
        wrong += at_all_widths(page)


def _put_out_a_bad_release(page: Page, network: Network, axe: str, wrong: list[str]) -> None:
    page.goto("/clusters/shop?part=releases")
    page.get_by_role("link", name="Deploy a new release").click()
    expect(page.get_by_label("Memory of a replica")).to_have_value("128MB")
    page.get_by_label("Build command").fill(FAILING_BUILD)
    page.get_by_role("button", name="Deploy the release").click()
    steps = page.get_by_label("Deployment of release 2")
    expect(steps).to_contain_text("Release 2 failed. Release 1 still serves.")
    expect(steps).to_contain_text("no such thing")
    expect(steps.locator("li[data-state=failed]")).to_contain_text("Was not built")
    assert network.get("shop").text == "here"
    wrong += check(page, axe, "a failed release")


def _change_variables_and_remove(page: Page, axe: str, wrong: list[str]) -> None:
    page.get_by_role("tab", name="Variables").click()
    expect(page.get_by_label("Variables").get_by_role("listitem")).to_contain_text(["API_TOKEN"])
    assert "secret" not in page.content()
    wrong += check(page, axe, "variables")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Remove").click()
    gone = page.get_by_role("button", name="Remove it")
    expect(gone).to_be_disabled()
    wrong += check(page, axe, "removing an app")
    page.get_by_label("The app's name").fill("shop")
    gone.click()
    expect(page.locator("h1")).to_have_text("Apps")
    expect(page.get_by_text("No app is deployed yet.")).to_be_visible()
