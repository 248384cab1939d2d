"""Map-reduce over the API: what is accepted and refused, where a blob is cut, how it goes on."""

import hashlib
import json
from typing import Any

import httpx
import pytest
from served import Served

CODE = {"sourceCode": "function map(text) { return [] } function reduce(key, values) { return 0 }"}


def job(**fields: Any) -> dict[str, Any]:
    return {"name": "job", "input": {"list": [1, 2]}, "map": CODE, "reduce": CODE, **fields}


def start(client: httpx.Client, **fields: Any) -> str:
    answer = client.post("/api/mapreduce", json=job(**fields))
    assert answer.status_code == 201, answer.text
    run: str = answer.json()["id"]
    return run


def pieces(client: httpx.Client, run: str) -> list[Any]:
    graph = client.get(f"/api/dags/{run}/graph").json()
    found: list[Any] = graph["steps"][0]["items"]
    return found


def test_a_blob_is_cut_behind_line_ends_and_nothing_is_left_out(server: Served) -> None:
    content = b"".join(b"%06d\n" % number * (1 + number % 9) for number in range(2_000))
    digest = hashlib.sha256(content).hexdigest()
    server.client.put(f"/api/blobs/{digest}", content=content).raise_for_status()
    run = start(server.client, input={"blob": f"sha256:{digest}", "chunkMb": 0.001})
    found = [piece.split("[")[1].rstrip("]").split(":") for piece in pieces(server.client, run)]
    cut = [content[int(first) : int(last)] for first, last in found]
    assert b"".join(cut) == content
    assert 1 < len(cut) <= 200
    assert all(piece.endswith(b"\n") for piece in cut)


def test_a_long_list_becomes_at_most_two_hundred_map_tasks(server: Served) -> None:
    found = pieces(server.client, start(server.client, input={"list": list(range(1_001))}))
    assert len(found) == 200
    assert [value for piece in found for value in piece] == list(range(1_001))


def test_a_job_shows_how_far_its_phases_are_and_can_be_cancelled(server: Served) -> None:
    run = start(server.client)
    view = server.client.get(f"/api/mapreduce/{run}").json()
    assert [(phase["name"], phase["done"], phase["total"]) for phase in view["phases"]] == [
        ("map", 0, 2),
        ("reduce", 0, 0),
    ]
    assert server.client.post(f"/api/dags/{run}/cancel").status_code == 202
    while view["state"] in ("running", "cancelling"):
        view = server.client.get(f"/api/mapreduce/{run}?wait=5&version={view['version']}").json()
    assert (view["state"], view["result"]) == ("cancelled", None)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"input": {}}, "/input"),
        ({"input": {"list": [], "blob": "sha256:" + "0" * 64}}, "/input"),
        ({"input": {"files": ["here.txt"]}}, "/input/files/0"),
        ({"map": {**CODE, "outputs": ["*"]}}, "/map/outputs"),
        ({"map": {"sourceCode": "x", "dependencies": ["lodash"], "runtime": "isolate"}}, "/map/dependencies"),
        ({"reduce": {}}, "/reduce/sourceCode"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(server: Served, fields: dict[str, Any], pointer: str) -> None:
    answer = server.client.post("/api/mapreduce", json=job(**fields))
    assert answer.status_code == 400, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]], json.dumps(answer.json())
