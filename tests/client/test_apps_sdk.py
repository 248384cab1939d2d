"""The SDK's apps against a real server and node: deployed, followed, scaled, and what goes wrong as errors."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from anchor.client import AsyncClient, Client, DeployFailed
from anchor.core.errors import NotFound, Unprocessable

SITE = Path(__file__).parents[2] / "examples" / "apps" / "static-site"
TALKER = {"Procfile": "worker: sh -c 'echo hello; sleep 1000'\n"}


@pytest.fixture
def client(lab: str) -> Iterator[Client]:
    with Client(lab) as client:
        [node] = client.nodes()
        if "apps" not in node.specs.features:
            pytest.skip(f"this node hosts no apps: {node.specs.missing.get('native', 'nobody said why')}")
        yield client


@pytest.fixture
async def twin(lab: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(lab) as client:
        yield client


def test_a_folder_is_deployed_scaled_and_removed(client: Client, lab: str) -> None:
    app = client.deploy(SITE, "SDK site", config={"ram": "64MB"})
    assert (app.name, app.state, app.live, app.config.ram) == ("sdk-site", "running", 1, "64MB")
    page = httpx.get(f"{lab}/apps/sdk-site/", trust_env=False)
    assert "A quiet page" in page.text
    client.scale_app("sdk-site", web=2)
    assert client.settled_app("sdk-site").ready == 2
    with pytest.raises(DeployFailed) as failed:
        client.deploy(SITE, "sdk-site", config={"build": "echo not today; exit 1"})
    assert "not today" in failed.value.message
    assert failed.value.app.live == 1
    assert failed.value.app.config.ram == "64MB"
    again = client.deploy(SITE, "sdk-site", fresh=True)
    assert (again.live, again.config.ram) == (3, "512MB")
    client.set_app_env("sdk-site", {"A": "1", "B": "2"})
    client.settled_app("sdk-site")
    client.set_app_env("sdk-site", {"A": None})
    assert client.app_env("sdk-site") == ["B"]
    client.settled_app("sdk-site")
    assert client.roll_back_app("sdk-site").releases[-1].of == 4
    assert "sdk-site" in [row.name for row in client.apps(page_size=1)]
    assert client.act_on_app("sdk-site", "stop").state in ("stopping", "stopped")
    client.remove_app("sdk-site")


@pytest.mark.anyio
async def test_texts_are_deployed_and_what_they_print_is_followed(client: Client, twin: AsyncClient) -> None:
    made = await twin.deploy(TALKER, "talker", wait_seconds=0)
    assert made.name == "talker"
    async with asyncio.timeout(60):
        async for line in twin.follow_app("talker", process="worker"):
            if line.text == "hello\n":
                break
    assert (line.process, line.index, line.release, line.stream) == ("worker", 0, 1, "stdout")
    assert (await twin.settled_app("talker")).state == "running"
    assert [one.text for one in await twin.app_logs("talker", tail=1)] == ["hello\n"]
    assert [row.name async for row in twin.apps()] == [row.name for row in client.apps()]
    await twin.remove_app("talker")


def test_what_cannot_be_is_an_error(client: Client) -> None:
    with pytest.raises(NotFound):
        client.app("nobody")
    with pytest.raises(Unprocessable, match="no app that can be run"):
        client.deploy({"letter.txt": "x"}, "letter")
    with pytest.raises(TimeoutError, match="after 1 seconds"):
        client.deploy(TALKER, "nowhere", config={"requirements": {"labels": ["moon"]}}, wait_seconds=1)
    client.remove_app("nowhere")
