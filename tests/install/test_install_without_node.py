"""A clean clone, a new environment, no Node: `pip install .` brings the dashboard, and `anchor up` serves it."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.system.fleet import free_port

from anchor.server.dashboard import HEADERS

ROOT = Path(__file__).parents[2]
WANTED = "ANCHOR_TEST_INSTALL"
INSTALL_SECONDS = 840
START_SECONDS = 100.0
UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH")
"""What npm says where no registry can be reached."""
ASSET = re.compile(r'(?:src|href)="(/assets/[^"]+)"')

pytestmark = [
    pytest.mark.timeout(INSTALL_SECONDS + 180),
    pytest.mark.skipif(not os.environ.get(WANTED), reason=f"it takes minutes: `just nightly` runs it, by {WANTED}=1"),
]


@dataclass(frozen=True)
class Installed:
    """A clone and what was installed from it; `env` has nothing on PATH but the environment's own programs."""

    clone: Path
    bin: Path
    env: dict[str, str]

    def run(self, *command: str | Path) -> "subprocess.CompletedProcess[str]":
        """A program of the environment, in the clone."""
        return subprocess.run(
            [str(self.bin / command[0]), *map(str, command[1:])],
            cwd=self.clone,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no git repository, or there is no git: nothing to clone")
    folder = tmp_path_factory.mktemp("install")
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(ROOT), str(folder / "clone")], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ANCHOR_", "PYTHON", "VIRTUAL"))}
    made = Installed(folder / "clone", folder / "venv" / "bin", {**env, "PATH": str(folder / "venv" / "bin")})
    assert shutil.which("node", path=made.env["PATH"]) is None
    # What builds it, which is not needed here otherwise, shows whether packages can be had at all.
    asked = made.run("python", "-m", "pip", "install", "--quiet", "hatchling>=1.27")
    if asked.returncode != 0:
        pytest.skip(f"no index of Python packages can be reached: {asked.stdout.strip()[-300:]}")
    done = made.run("python", "-m", "pip", "install", ".")
    if done.returncode != 0 and UNREACHABLE.search(done.stdout):
        pytest.skip(f"no npm registry can be reached: {done.stdout.strip()[-300:]}")
    assert done.returncode == 0, done.stdout[-3000:]
    return made


@pytest.fixture(scope="module")
def client(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One that asks `anchor up`."""
    data, port = tmp_path_factory.mktemp("data"), free_port()
    command = [installed.bin / "anchor", "up", "--port", str(port), "--data", data / "data"]
    with (data / "said.txt").open("wb") as said:
        process = subprocess.Popen(list(map(str, command)), env=installed.env, cwd=data, stdout=said, stderr=said)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            until = time.monotonic() + START_SECONDS
            while not _answers(client):
                assert process.poll() is None, (data / "said.txt").read_text()
                assert time.monotonic() < until, (data / "said.txt").read_text()
                time.sleep(0.05)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_the_dashboard_is_served_with_all_it_is_made_of(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert {name: page.headers[name] for name in HEADERS} == HEADERS
    assert '<div id="root">' in page.text
    assets = ASSET.findall(page.text)
    assert {Path(asset).suffix for asset in assets} >= {".js", ".css"}
    for asset in assets:
        answer = client.get(asset)
        assert (answer.status_code, len(answer.content) > 100) == (200, True), asset
        if asset.endswith((".js", ".css")):
            assert answer.headers["content-encoding"] == "gzip", asset
            assert "immutable" in answer.headers["cache-control"], asset
    assert client.get("/tasks").text == page.text


def test_it_was_built_from_the_sources_of_the_clone(installed: Installed) -> None:
    # A folder of its own: in the clone, the package would be looked for there.
    where = "import anchor, pathlib; print(pathlib.Path(anchor.__file__).parent / 'web' / 'digest.txt')"
    told = installed.run("python", "-I", "-c", where).stdout.strip()
    assert Path(told).is_relative_to(installed.bin.parent)
    made = installed.run("python", "-c", "import build_web; print(build_web.digest())").stdout.strip()
    assert Path(told).read_text("ascii").strip() == made


def test_a_machine_without_node_works_off_a_task(client: httpx.Client) -> None:
    task = client.post("/api/tasks", json={"name": "one", "payload": {"sourceCode": "return 6 * 7"}}).json()["id"]
    ended = client.get(f"/api/tasks/{task}/result", params={"wait": 60}).json()
    assert (ended["state"], ended["result"]) == ("succeeded", 42)
