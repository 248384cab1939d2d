"""A server whose disk is full says so, keeps what it has, and goes on by itself when there is room again."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCENE = """
import pathlib, sys, time
import httpx
from tests.system.fleet import Server

folder = pathlib.Path(sys.argv[1])
server = Server(folder)
server.start_and_wait()
client = httpx.Client(base_url=server.url, trust_env=False, timeout=30)
try:
    spec = {"name": "t", "type": "noop", "payload": {"input": "x" * 20_000}}
    kept = [task["id"] for task in client.post("/api/tasks", json=[spec] * 100).raise_for_status().json()]
    filler = folder / "filler"
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
    assert client.get("/api/tasks/" + kept[0]).status_code == 200
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
    server.kill()
"""


def test_a_full_disk_is_said_loses_nothing_and_is_over_when_there_is_room(tmp_path: Path) -> None:
    unshare = ["unshare", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o size=64m none {tmp_path}"
    probe = [*unshare, "sh", "-c", mount]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk (unshare and mount)")
    ran = subprocess.run(
        [*unshare, "sh", "-c", f'{mount} && exec "$0" -c "$1" {tmp_path}', sys.executable, SCENE],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
