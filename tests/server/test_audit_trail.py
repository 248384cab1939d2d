"""The audit trail: what changes who may do what is in it before it is done, and a flood fills it with one line."""

import datetime
import subprocess
import sys

import httpx
import pytest
from puppet import Puppet
from served import Served, assert_problem

from anchor.core.audit import Entry, first_break


def trail(server: Served, **query: str | int) -> list[dict[str, object]]:
    """Every entry, following the links."""
    found: list[dict[str, object]] = []
    answer = server.client.get("/api/audit", params=query)
    while True:
        assert answer.status_code == 200, answer.text
        found += answer.json()
        if "next" not in answer.links:
            return found
        answer = server.client.get(answer.links["next"]["url"])


def of_kind(server: Served, kind: str) -> list[tuple[object, object]]:
    return [(entry["subject"], entry["by"]) for entry in trail(server, kind=kind)]


def test_keys_and_nodes_leave_a_trail(server: Served) -> None:
    made = server.client.post("/api/keys", json={"name": "carl", "role": "submitter"}).json()
    assert server.client.delete(f"/api/keys/{made['id']}").status_code == 200
    puppet = Puppet(server)
    for verb in ("drain", "resume", "block"):
        assert server.client.post(f"/api/nodes/{puppet.node}/{verb}").status_code == 202
    assert ("carl", "local") in of_kind(server, "key_created")
    assert (made["id"], "local") in of_kind(server, "key_revoked")
    assert (puppet.node, "local") in of_kind(server, "node_joined")
    for kind in ("node_drained", "node_resumed", "node_blocked"):
        assert (puppet.node, "local") in of_kind(server, kind)
    assert server.client.post("/api/nodes/REX-000000/drain").status_code == 404
    assert "REX-000000" not in str(trail(server))


def test_pages_fit_together_and_the_chain_is_whole(server: Served) -> None:
    for number in range(5):
        server.key(f"page {number}", "viewer")
    whole = trail(server, limit=1000)
    assert trail(server, limit=2) == whole
    numbers = [int(str(entry["number"])) for entry in whole]
    assert numbers == list(range(len(whole), 0, -1))
    answer = server.client.get("/api/audit", params={"limit": 1})
    assert answer.headers["x-total-count"] == str(len(whole))
    entries = [
        Entry(**{**entry, "at": round(datetime.datetime.fromisoformat(str(entry["at"])).timestamp() * 1000)})  # type: ignore[arg-type]
        for entry in whole[::-1]
    ]
    assert first_break(entries) is None
    assert trail(server, kind="no such kind") == []
    assert_problem(server.client.get("/api/audit", params={"cursor": "task_1"}), 400, "invalid_cursor")


def test_a_flood_of_wrong_tokens_is_one_entry(own_server: Served) -> None:
    with own_server.as_holder_of("anc_wrong") as stranger:
        for _ in range(20):
            assert stranger.get("/api/tasks").status_code == 401
    with own_server.as_holder_of("ancj_wrong") as stranger:
        body = {"publicKey": "A" * 43 + "=", "name": "x"}
        assert stranger.post("/api/nodes/join", json=body).status_code == 401
    [entry] = trail(own_server, kind="login_failed")
    assert (entry["subject"], entry["by"]) == ("127.0.0.1", "anybody")
    assert "anc_wrong" not in str(entry)


def test_the_command_line_lists_and_verifies(own_server: Served) -> None:
    own_server.key("carl", "viewer")

    def audit(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "anchor", "audit", *words, "--url", own_server.url]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    listed = audit("ls", "--kind", "key_created")
    assert "carl" in listed.stdout, listed.stderr
    verified = audit("verify")
    assert (verified.returncode, "whole: 1 entries" in verified.stderr) == (0, True)
    newest = trail(own_server)[0]
    assert verified.stdout.split() == [str(newest["number"]), newest["seal"]]


def test_viewers_may_not_read_it(own_server: Served) -> None:
    with own_server.as_holder_of(own_server.key("viewer", "viewer")) as viewer:
        assert viewer.get("/api/audit").status_code == 403
    with own_server.as_holder_of(own_server.key("operator", "operator")) as operator:
        assert operator.get("/api/audit").status_code == 200


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "sort=at"])
def test_what_cannot_be_asked_is_said(server: Served, query: str) -> None:
    answer: httpx.Response = server.client.get(f"/api/audit?{query}")
    assert_problem(answer, 400, "invalid_query")
