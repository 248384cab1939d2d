"""The dashboard's page and files: what is served where, with which headers, and what is said where there are none."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message, Scope

from anchor.server.dashboard import POLICY, Dashboard, send_asset

from .served import Served

PAGE = b"<!doctype html><title>Anchor</title>" + b" " * 500
SCRIPT = b"console.log(1);" * 100


@pytest.fixture
def built(tmp_path: Path) -> Dashboard:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_bytes(PAGE)
    (tmp_path / "paths.json").write_text(json.dumps(["/", "/tasks", "/tasks/$id"]))
    for name, content in (("assets/index-AbCd_-12.js", SCRIPT), ("assets/anchor.svg", b"<svg/>")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "assets/index-AbCd_-12.js.gz").write_bytes(gzip.compress(SCRIPT))
    (tmp_path / "digest.txt").write_text("secret of the build")
    return Dashboard(tmp_path)


def _scope(path: str, method: str = "GET", **headers: str) -> Scope:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": raw}


async def _sent(dashboard: Dashboard, scope: Scope) -> tuple[dict[str, str], bytes]:
    asset = dashboard.asset(scope)
    assert asset is not None
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await send_asset(asset, scope, send)
    start, body = messages
    headers: dict[str, str] = {name.decode(): value.decode() for name, value in start["headers"]}
    content: bytes = body["body"]
    return headers, content


@pytest.mark.parametrize("path", ["/", "/tasks", "/tasks/task_01k9abcdefghj"])
def test_the_page_is_at_its_own_paths(built: Dashboard, path: str) -> None:
    asset = built.asset(_scope(path))
    assert asset is not None
    assert asset.content == PAGE


@pytest.mark.parametrize(
    "path",
    ["/api/tasks", "/tasks/", "/tasks/a/b", "/taskss", "//", "/nodes", "/digest.txt", "/assets/",
     "/assets/../index.html", "/assets/index-AbCd_-12.js.gz", "/index.html", "/tasks/a\nb/c"],
)  # fmt: skip
def test_and_nowhere_else(built: Dashboard, path: str) -> None:
    assert built.asset(_scope(path)) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_is_read_only(built: Dashboard, method: str) -> None:
    assert built.asset(_scope("/", method)) is None


@pytest.mark.anyio
async def test_files_with_a_digest_in_their_names_are_kept_for_ever_and_the_page_never(built: Dashboard) -> None:
    headers, content = await _sent(built, _scope("/assets/index-AbCd_-12.js", accept_encoding="br, gzip"))
    assert (headers["content-encoding"], gzip.decompress(content)) == ("gzip", SCRIPT)
    assert "immutable" in headers["cache-control"]
    headers, content = await _sent(built, _scope("/assets/index-AbCd_-12.js"))
    assert "content-encoding" not in headers
    assert content == SCRIPT
    assert (await _sent(built, _scope("/assets/anchor.svg")))[0]["cache-control"] == "no-cache"
    headers, content = await _sent(built, _scope("/", "HEAD"))
    assert (headers["cache-control"], headers["content-length"], content) == ("no-cache", str(len(PAGE)), b"")


def test_no_script_or_style_of_a_page_itself_runs() -> None:
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert "frame-ancestors 'none'" in POLICY


def test_where_nothing_was_built_the_page_says_how(tmp_path: Path) -> None:
    empty = Dashboard(tmp_path)
    asset = empty.asset(_scope("/"))
    assert not empty.is_built
    assert asset is not None
    assert b"python build_web.py" in asset.content
    assert empty.asset(_scope("/tasks")) is None


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    server.start()
    yield server
    server.end()


def test_a_real_server_has_it_beside_its_api_and_not_on_the_hosts_of_apps(served: Served) -> None:
    with httpx.Client(base_url=served.url, trust_env=False) as client:
        page = client.get("/")
        assert page.status_code == 200
        assert "<title>Anchor</title>" in page.text
        expected: dict[str, Any] = {
            "content-security-policy": POLICY,
            "x-frame-options": "DENY",
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
        }
        assert {name: page.headers[name] for name in expected} == expected
        astray = client.get("/nothing/here", headers={"Accept": "text/html,*/*;q=0.8"})
        assert (astray.status_code, astray.content) == (404, page.content)
        for path, accept in (("/nothing/here", "*/*"), ("/api/nothing", "text/html")):
            answer = client.get(path, headers={"Accept": accept})
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert client.post("/").status_code == 404
        of_app = client.get("/", headers={"Host": "web.apps.localhost"})
        assert of_app.status_code == 404
        assert "<title>Anchor</title>" not in of_app.text
