"""Packages that were made to do harm, from an index of our own: what an installation lets them do."""

import asyncio
import base64
import hashlib
import io
import json
import shutil
import tarfile
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.runtimes.native_bench import Bench, reason_of, value_of

from anchor.agent.runtimes.native.runtime import Native
from anchor.agent.runtimes.native.toolchains import node_on_path
from anchor.agent.sandbox.probe import probe
from anchor.core.attempt import Outcome
from anchor.core.errors import FailureCode

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(probe().level != "confined", reason=probe().why or "confined"),
]
needs_node = pytest.mark.skipif(node_on_path() is None, reason="no node with npm on PATH")
CANARY = "require('fs').writeFileSync('ran', '')"
AT_START = "import sys; open(sys.prefix + '/ran-at-install', 'w')\n"


def wheel(name: str, version: str, files: dict[str, str], requires: str = "") -> bytes:
    made = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    members = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(made, "w") as archive:
        for path, content in members.items():
            archive.writestr(path, content)
        lines = [f"{path},," for path in [*members, f"{info}/RECORD"]]
        archive.writestr(f"{info}/RECORD", "\n".join(lines) + "\n")
    return made.getvalue()


def tarball(files: dict[str, str], links: dict[str, str] | None = None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for path, target in (links or {}).items():
            link = tarfile.TarInfo(path)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    return made.getvalue()


WHEELS = {
    "honest-1.0-py3-none-any.whl": wheel("honest", "1.0", {"honest.py": "VALUE = 41\n"}),
    "honest-2.0-py3-none-any.whl": wheel("honest", "2.0", {"honest.py": "VALUE = 42\n"}),
    "needy-1.0-py3-none-any.whl": wheel("needy", "1.0", {"needy.py": ""}, "honest<2"),
    "starter-1.0-py3-none-any.whl": wheel("starter", "1.0", {"starter.py": "", "starter.pth": AT_START}),
    "slippery-1.0-py3-none-any.whl": wheel(
        "slippery", "1.0", {"slippery.py": "", "../../../../../slipped-wheel": "x", "/anchor/cache/slipped-wheel": "x"}
    ),
}
SCRIPTS = dict.fromkeys(("preinstall", "install", "postinstall", "prepare"), f'node -e "{CANARY}"')
PACKAGES = {
    "canary": tarball(
        {"package/package.json": json.dumps({"name": "canary", "version": "1.0.0", "scripts": SCRIPTS})}
        | {"package/index.js": "module.exports = 42"}
    ),
    "slippery": tarball(
        {"package/package.json": json.dumps({"name": "slippery", "version": "1.0.0"})}
        | {"package/index.js": "module.exports = 1", "package/../../../../slipped": "x", "package/out/slipped": "x"},
        {"package/out": "/anchor/cache"},
    ),
}


class Index(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        name = self.path.strip("/").split("/")[-1]
        base = f"http://{self.headers['Host']}"
        if self.path.startswith("/simple/"):
            found = "".join(f'<a href="/files/{file}">{file}</a>' for file in WHEELS if file.startswith(f"{name}-"))
            self.answer(found.encode() if found else None, "text/html")
        elif self.path.startswith("/files/"):
            self.answer(WHEELS.get(name) or PACKAGES.get(name.removesuffix(".tgz")), "application/octet-stream")
        elif name in PACKAGES:
            digest = base64.b64encode(hashlib.sha512(PACKAGES[name]).digest()).decode()
            dist = {"tarball": f"{base}/files/{name}.tgz", "integrity": f"sha512-{digest}"}
            version = {"name": name, "version": "1.0.0", "dist": dist, "hasInstallScript": True, "scripts": SCRIPTS}
            about = {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
            self.answer(json.dumps(about).encode(), "application/json")
        else:
            self.answer(None, "")

    def answer(self, body: bytes | None, kind: str) -> None:
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def index() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("agent")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def bench(index: str, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{index}/simple")
    monkeypatch.setenv("npm_config_registry", f"{index}/")
    native = Native(state)
    await native.start()
    yield Bench(native, tmp_path / "jobs")
    await native.stop()


def named(state: Path, name: str) -> list[Path]:
    return [path for path in state.rglob(name) if "/archive-v" not in str(path)]


async def test_packages_of_an_index_are_installed_once_and_then_cost_nothing(bench: Bench) -> None:
    source = "import honest\nresult = honest.VALUE"
    first = await bench.run(language="python", source_code=source, dependencies=["honest==1.0"])
    assert value_of(first) == 41
    assert "installing honest==1.0" in bench.out("progress")
    overheads = []
    for _ in range(3):
        began = time.monotonic()
        again = await bench.run(language="python", source_code=source, dependencies=["honest==1.0"])
        overheads.append(time.monotonic() - began - again.usage.wall_seconds)
        assert bench.out("progress") == ""
    assert min(overheads) < 0.3


async def test_packages_come_compiled(bench: Bench, state: Path) -> None:
    value_of(await bench.run(language="python", source_code="result = 1", dependencies=["honest==2.0"]))
    assert await asyncio.to_thread(named, state / "environments", "honest.*.pyc") != []


async def test_a_conflict_is_told_in_the_resolvers_own_words(bench: Bench) -> None:
    ran = await bench.run(language="python", source_code="1", dependencies=["needy", "honest==2.0"])
    message = reason_of(ran, FailureCode.DEPENDENCY_ERROR)
    assert "versions of needy depend on honest<2" in message
    assert "/" not in message


async def test_a_package_that_starts_with_python_does_not_start_while_it_is_installed(
    bench: Bench, state: Path
) -> None:
    value_of(await bench.run(language="python", source_code="result = 1", dependencies=["starter"]))
    assert await asyncio.to_thread(named, state, "ran-at-install") == []


async def test_a_wheel_that_reaches_out_of_its_folder_writes_nothing_there(bench: Bench, state: Path) -> None:
    ran = await bench.run(language="python", source_code="result = 1", dependencies=["slippery"])
    assert ran.outcome is Outcome.SUCCEEDED or reason_of(ran, FailureCode.DEPENDENCY_ERROR)
    assert await asyncio.to_thread(named, state, "slipped-wheel") == []


@needs_node
async def test_no_script_of_an_npm_package_runs_while_it_is_installed(bench: Bench, state: Path) -> None:
    assert value_of(await bench.run(source_code="return require('canary')", dependencies=["canary"])) == 42
    assert await asyncio.to_thread(named, state, "ran") == []


@needs_node
async def test_an_npm_package_that_reaches_out_of_its_folder_writes_nothing_there(bench: Bench, state: Path) -> None:
    ran = await bench.run(source_code="return require('slippery')", dependencies=["slippery"])
    assert ran.outcome is Outcome.SUCCEEDED or reason_of(ran, FailureCode.DEPENDENCY_ERROR)
    outside = [
        path for path in await asyncio.to_thread(named, state, "slipped") if "node_modules/slippery" not in str(path)
    ]
    assert outside == []


async def test_a_task_can_alter_neither_its_packages_nor_any_cache(bench: Bench) -> None:
    source = """
import os, sys
result = [os.path.exists("/anchor/cache")]
for folder, _, names in os.walk(sys.prefix):
    for name in names:
        try:
            with open(os.path.join(folder, name), "a"):
                result.append(name)
        except OSError:
            pass
    try:
        os.mkdir(os.path.join(folder, "new"))
        result.append(folder)
    except OSError:
        pass
"""
    ran = await bench.run(language="python", source_code=source, dependencies=["honest==2.0"])
    assert value_of(ran) == [False]


async def test_an_installation_that_is_cancelled_leaves_no_environment(bench: Bench, state: Path) -> None:
    task = asyncio.create_task(bench.run(language="python", source_code="1", dependencies=["honest>=1,<2"]))
    deadline = time.monotonic() + 20
    while not bench.out("progress"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [path.name for path in await asyncio.to_thread(named, state / "environments", "tmp-*")] == []
