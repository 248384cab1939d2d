"""Why a task waits: every node says what it lacks, and what would change it; over the API and on the command line."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from puppet import Puppet
from served import Served

SCRIPT = {"name": "t", "payload": {"sourceCode": "1"}}


def submit(server: Served, **requirements: Any) -> str:
    answer = server.client.post(server.url + "/api/tasks", json={**SCRIPT, "requirements": requirements})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def why(server: Served, task: str) -> Any:
    answer = server.client.get(f"{server.url}/api/tasks/{task}/why")
    assert answer.status_code == 200, answer.text
    return answer.json()


def of(told: Any, puppet: Puppet) -> Any:
    return next(one for one in told["nodes"] if one["nodeId"] == puppet.node)


@pytest.fixture(scope="module")
def fleet(server: Served) -> Any:
    small = Puppet(server, name="Small", labels=("lab",))
    away = Puppet(server, name="Away", gpus=("NVIDIA",))
    session = small.connect()
    yield small, away
    session.socket.close()


def test_the_smallest_change_is_named_first(server: Served, fleet: Any) -> None:
    small, _ = fleet
    told = why(server, submit(server, minRam=9, labels=["lab"]))
    assert of(told, small)["unmet"] == "has 8 GiB of RAM of the 9 required"
    assert told["changes"][0] == f"Lower requirements.minRam to 8: then {small.node} could take it."
    assert told["changes"][-1].startswith("Join a machine with runtime isolate, 9 GiB of RAM, the label 'lab'")


def test_all_that_a_node_lacks_is_said_not_only_the_first(server: Served, fleet: Any) -> None:
    small, away = fleet
    told = why(server, submit(server, minCores=64, labels=["gpu"]))
    assert of(told, small)["lacks"] == ["has 4 cores of the 64 required", "is not labelled 'gpu'"]
    assert of(told, away)["lacks"][-1] == "is offline"


def test_the_part_of_an_expression_that_fails_is_named_with_the_value_it_found(server: Served, fleet: Any) -> None:
    small, _ = fleet
    told = why(server, submit(server, expression='node.ram >= "2GiB" and "fast" in node.labels'))
    assert of(told, small)["lacks"] == ['does not meet "fast" in node.labels (labels is [lab])']


def test_an_expression_that_cannot_be_understood_is_refused_with_its_column(server: Served) -> None:
    body = {**SCRIPT, "requirements": {"expression": 'node.rma >= "2GiB"'}}
    answer = server.client.post(server.url + "/api/tasks", json=body)
    assert answer.status_code == 400
    [fault] = answer.json()["errors"]
    assert fault["pointer"] == "/requirements/expression"
    assert "did you mean node.ram?" in fault["message"]
    assert "column 1" in fault["message"]


def test_a_busy_node_shows_its_scores_and_a_free_slot_is_waited_for(server: Served) -> None:
    small = Puppet(server, name="Busy", slots=1, labels=("busy",))
    session = small.connect()
    tasks = [submit(server, labels=["busy"]) for _ in range(2)]
    told = why(server, tasks[-1])
    assert told["reason"]["code"] == "no_free_slot"
    assert told["changes"] == [f"Wait for a free slot: then {small.node} could take it.", *told["changes"][1:]]
    scores = of(told, small)["scores"]
    assert scores["room"] == 0
    assert scores["reliability"] > 0
    assert of(told, small)["lacks"] == ["has no free slot"]
    environment = {**os.environ, "ANCHOR_URL": server.url}
    for arguments, expected in ((["-o", "json"], None), ([], "Wait for a free slot")):
        ran = subprocess.run(
            [sys.executable, "-m", "anchor", "why", tasks[-1], *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert json.loads(ran.stdout)["changes"] == told["changes"] if expected is None else expected in ran.stdout
    session.socket.close()
