"""Whose disk is full says so, keeps what it has, and goes on by itself when there is room again."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCENE = """
import hashlib, pathlib, sys, time
import httpx
from tests.system.fleet import Agent, Server

folder = pathlib.Path(sys.argv[1])
server = Server(folder / "small")
server.start_and_wait()
client = httpx.Client(base_url=server.url, trust_env=False, timeout=30)
agent = Agent(folder, server, "one", slots=1)
try:
    agent.join()
    agent.wait_until_online()
    spec = {
        "name": "t", "type": "noop", "payload": {"input": "x" * 20_000}, "requirements": {"labels": ["nowhere"]}
    }
    kept = [task["id"] for task in client.post("/api/tasks", json=[spec] * 100).raise_for_status().json()]
    busy = "const end = Date.now() + 500; while (Date.now() < end); return 'y'.repeat(20_000)"
    at_work = client.post("/api/tasks", json=[{"name": "busy", "payload": {"sourceCode": busy}}] * 6)
    at_work = [task["id"] for task in at_work.raise_for_status().json()]
    filler = folder / "small" / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(100_000))
        except OSError:
            pass
    refused = None
    for _ in range(200):
        answer = client.post("/api/tasks", json=[spec] * 20)
        if answer.status_code != 201:
            refused = answer
            break
        kept += [task["id"] for task in answer.json()]
    assert refused is not None, "a full disk refused nothing"
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (507, "out_of_space"), problem
    assert problem["hint"]
    blob = b"z" * 100_000
    at = "/api/blobs/" + hashlib.sha256(blob).hexdigest()
    for range_ in ({}, {"Content-Range": "bytes 0-99999/100000"}):
        brought = client.put(at, content=blob, headers=range_)
        assert (brought.status_code, brought.json()["code"]) == (507, "out_of_space"), brought.text
    assert client.get("/api/tasks/" + kept[0]).status_code == 200
    for task in at_work:
        found = client.get("/api/tasks/" + task + "/result?wait=30").json()
        assert (found["state"], found["attempt"], found["result"]) == ("succeeded", 1, "y" * 20_000), found
    assert client.post("/api/tasks", json=spec).status_code == 507, "there is room again without any having been made"
    filler.unlink()
    deadline = time.monotonic() + 30
    while (answer := client.post("/api/tasks", json=spec)).status_code != 201:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    server.kill()
    server.start_and_wait()
    for task in [*kept, answer.json()["id"]]:
        assert client.get("/api/tasks/" + task).json()["state"] == "queued", task
finally:
    client.close()
    agent.kill()
    server.kill()
"""


AGENT_SCENE = """
import pathlib, sys, time
import httpx
from tests.system.fleet import Agent, Server

folder = pathlib.Path(sys.argv[1])
small = folder / "small"
server = Server(folder, lease_seconds=60)
server.start_and_wait()
client = httpx.Client(base_url=server.url, trust_env=False, timeout=30)
agent = Agent(small, server, "one")
once = {"retry": {"attempts": 1}}

def until(task, *states):
    deadline = time.monotonic() + 60
    while (found := client.get("/api/tasks/" + task).json())["state"] not in states:
        assert time.monotonic() < deadline, (found, agent.said())
        time.sleep(0.05)
    return found

def submit(**fields):
    return client.post("/api/tasks", json={"name": "t"} | once | fields).raise_for_status().json()["id"]

try:
    agent.join()
    agent.wait_until_online()
    busy = "const end = Date.now() + 3000; while (Date.now() < end); return input"
    running = submit(payload={"sourceCode": busy, "input": "x" * 30_000})
    until(running, "running")
    filler = small / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (100_000, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    waiting = submit(payload={"sourceCode": "return 42"})
    refused = until(waiting, "backoff", "queued")
    assert [attempt["outcome"] for attempt in refused["attempts"]] == ["rejected"], refused
    time.sleep(4)
    assert client.get("/api/tasks/" + running).json()["state"] == "running", "its result is not written down yet"
    kept_out = client.get("/api/tasks/" + waiting).json()
    assert kept_out["state"] in ("backoff", "queued"), kept_out
    filler.unlink()
    ended = until(running, "succeeded", "failed", "cancelled")
    assert (ended["state"], ended["attempt"], len(ended["result"])) == ("succeeded", 1, 30_000), ended
    done = until(waiting, "succeeded", "failed", "cancelled")
    assert (done["state"], done["result"]) == ("succeeded", 42), done
    assert {attempt["outcome"] for attempt in done["attempts"][:-1]} <= {"rejected", "released"}, done
finally:
    client.close()
    agent.kill()
    server.kill()
"""


def _on_a_small_disk(disk: Path, megabytes: int, scene: str, folder: Path) -> None:
    disk.mkdir(exist_ok=True)
    unshare = ["unshare", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o size={megabytes}m none {disk}"
    probe = [*unshare, "sh", "-c", mount]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk (unshare and mount)")
    ran = subprocess.run(
        [*unshare, "sh", "-c", f'{mount} && exec "$0" -c "$1" {folder}', sys.executable, scene],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr


def test_a_full_disk_is_said_loses_nothing_and_is_over_when_there_is_room(tmp_path: Path) -> None:
    _on_a_small_disk(tmp_path / "small", 64, SCENE, tmp_path)


def test_an_agent_whose_disk_is_full_keeps_its_results_takes_no_work_and_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    _on_a_small_disk(tmp_path / "small", 8, AGENT_SCENE, tmp_path)
