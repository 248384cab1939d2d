"""Files in and out through a real server and a real agent: large ones, and ones whose agent is killed on the way."""

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.system.fleet import Agent, Server

MIB = 1024 * 1024
LARGE = random.Random(4).randbytes(MIB) * 100
DIGEST = hashlib.sha256(LARGE).hexdigest()
PATIENCE_SECONDS = 60.0
GROWTH_BYTES_MAX = 64 * MIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("files"), lease_seconds=3)
    server.start_and_wait()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS, trust_env=False) as client:
        client.put(f"/api/blobs/{DIGEST}", content=LARGE).raise_for_status()
        yield client


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent")


@pytest.fixture
def state(place: Path) -> Path:
    """Where the agent keeps what it keeps."""
    return place / "it" / "agent"


@pytest.fixture(scope="module")
def agent(server: Server, place: Path) -> Iterator[Agent]:
    agent = Agent(place, server, "it")
    agent.join()
    node = agent.wait_until_online()
    offered = httpx.get(f"{server.url}/api/nodes/{node}", trust_env=False).json()
    if "native" not in offered["specs"]["runtimes"]:
        agent.stop()
        pytest.skip(f"native tasks do not run here: {offered['specs']['missing'].get('native')}")
    yield agent
    agent.stop()


def until(met: Callable[[], object], every_seconds: float = 0.02) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not met():
        assert time.monotonic() < deadline
        time.sleep(every_seconds)


def submit(client: httpx.Client, command: str, **payload: object) -> str:
    asked = {"name": "files", "payload": {"runtime": "native", "command": ["sh", "-c", command], **payload}}
    task: str = client.post("/api/tasks", json=asked).raise_for_status().json()["id"]
    return task


def ended(client: httpx.Client, task: str) -> dict[str, Any]:
    until(lambda: client.get(f"/api/tasks/{task}").json()["state"] in ("succeeded", "failed", "cancelled"))
    view: dict[str, Any] = client.get(f"/api/tasks/{task}").json()
    return view


def directories(state: Path) -> list[Path]:
    return list((state / "jobs").iterdir())


def test_a_hundred_megabytes_go_in_and_out_in_little_memory(agent: Agent, state: Path, client: httpx.Client) -> None:
    process = psutil.Process(agent.pid)
    before = most = process.memory_info().rss
    task = submit(
        client,
        "mkdir out && (cat in/large.bin; echo) > out/copy.bin && echo seen && rm in/large.bin",
        files={"in/large.bin": f"sha256:{DIGEST}"},
        outputs=["out/*.bin"],
    )
    while client.get(f"/api/tasks/{task}").json()["state"] not in ("succeeded", "failed"):
        most = max(most, process.memory_info().rss)
        time.sleep(0.02)
    view = ended(client, task)
    assert view["state"] == "succeeded", view["reason"]
    copy = hashlib.sha256(LARGE + b"\n").hexdigest()
    [file] = client.get(f"/api/tasks/{task}/files").json()
    assert (file["name"], file["sha256"], file["size"]) == ("out/copy.bin", copy, len(LARGE) + 1)
    assert most - before < GROWTH_BYTES_MAX
    usage = view["attempts"][-1]["usage"]
    assert usage["bytesIn"] > len(LARGE)
    assert usage["bytesOut"] >= len(LARGE) + 1
    assert (state / "inputs" / DIGEST).read_bytes() == LARGE
    assert directories(state) == []


def test_an_agent_killed_while_it_fetches_goes_on_with_the_file(
    agent: Agent, state: Path, client: httpx.Client
) -> None:
    kept, part = state / "inputs" / DIGEST, state / "inputs" / "unfinished" / DIGEST
    kept.unlink(missing_ok=True)
    task = submit(client, f"test $(wc -c < large.bin) = {len(LARGE)}", files={"large.bin": f"sha256:{DIGEST}"})
    until(lambda: part.exists() and part.stat().st_size > 0, 0.001)
    agent.kill()
    assert not kept.exists()
    arrived = part.stat().st_size
    assert 0 < arrived < len(LARGE)
    agent.start()
    view = ended(client, task)
    assert view["state"] == "succeeded", view["reason"]
    assert kept.read_bytes() == LARGE
    assert view["attempts"][0]["outcome"] in ("crashed", "lost")
    assert directories(state) == []


def test_an_agent_killed_while_it_brings_an_output_leaves_no_half_of_it(
    server: Server, agent: Agent, state: Path, client: httpx.Client
) -> None:
    command = "head -c 80000000 /dev/zero | tr '\\0' a > out.bin; date +%N >> out.bin"
    parts = server.data / "parts"
    task = submit(client, command, outputs=["out.bin"])
    until(lambda: any(path.is_file() and path.stat().st_size for path in parts.rglob("*")), 0.001)
    agent.kill()
    assert client.get(f"/api/tasks/{task}").json()["state"] != "succeeded"
    agent.start()
    view = ended(client, task)
    assert view["state"] == "succeeded", view["reason"]
    [file] = client.get(f"/api/tasks/{task}/files").json()
    content = client.get(f"/api/tasks/{task}/files/out.bin").content
    assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"])
    assert directories(state) == []


def test_a_pattern_that_matches_nothing_fails_the_task_and_says_what_there_was(
    agent: Agent, state: Path, client: httpx.Client
) -> None:
    asked = {"runtime": "native", "command": ["sh", "-c", "touch result.txt"], "outputs": ["*.png"]}
    answer = client.post("/api/tasks", json={"name": "missing", "payload": asked, "retry": {"attempts": 1}})
    view = ended(client, answer.raise_for_status().json()["id"])
    assert view["state"] == "failed"
    reason = view["attempts"][-1]["reason"]
    assert reason["code"] == "output_missing"
    assert reason["message"] == "No file matches the output pattern *.png; the directory holds result.txt."
    assert directories(state) == []
