"""A round from submit to verdict over the API: what it shows then, the case of who answered otherwise, the receipt."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from puppet import Session, success
from served import Served, assert_problem
from test_verification_api import puppet_of, sealed

from anchor.core.attempt import Usage
from anchor.wire.link import Recorded
from anchor.wire.proofs import proof_of, proves
from anchor.wire.receipts import Receipt

SCRIPT = {"type": "script", "payload": {"sourceCode": "return input * 2", "input": 21, "runtime": "isolate"}}
OWNERS = ("ada", "bob", "cyd")


class Decided:
    """A server with machines of three owners, and a decided round in which the first answered otherwise."""

    def __init__(self, directory: Path) -> None:
        self.server = Served(directory, lease_seconds=3600)
        self.sessions: list[Session] = []
        self.task = ""
        self.dissenter = ""

    def open(self) -> None:
        self.server.start()
        self.sessions = [puppet_of(self.server, owner).connect() for owner in OWNERS]
        self.dissenter = self.sessions[0].puppet.node
        self.task = self.decide()

    def decide(self) -> str:
        """A new round, over; the liar is heard first, so that its vote counts."""
        task = self.server.submit(**SCRIPT, verify="quorum")
        for session, value in zip(self.sessions, (41, 42, 42), strict=True):
            [item] = session.assigned()
            session.print(item, 1, f"I say {value}\n")
            ending = replace(success(item, value), usage=Usage(cpu_seconds=1.5, peak_memory_mb=value, bytes_in=10))
            session.report([sealed(session, item, ending)])
            session.next(Recorded)
        assert self.over(task)["state"] == "succeeded"
        return task

    def case(self, task: str) -> dict[str, Any]:
        """The case of a task."""
        cases = self.server.client.get("/api/verification/cases").json()
        [found] = [case for case in cases if case["taskId"] == task]
        return dict(found)

    def over(self, task: str) -> dict[str, Any]:
        found: dict[str, Any] = self.server.client.get(f"/api/tasks/{task}/result", params={"wait": 20}).json()
        return found

    def end(self) -> None:
        for session in self.sessions:
            session.close()
        self.server.end()


def _opened(directory: Path) -> Iterator[Decided]:
    house = Decided(directory)
    try:
        house.open()
        yield house
    finally:
        house.end()


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decided]:
    yield from _opened(tmp_path_factory.mktemp("decided"))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Decided]:
    """One for a test that puts a machine out of service."""
    yield from _opened(tmp_path)


def test_a_verified_task_shows_its_votes_its_case_and_what_the_winner_printed(decided: Decided) -> None:
    view = decided.server.task(decided.task)
    assert (view["state"], view["result"], view["verify"]) == ("succeeded", 42, "quorum")
    round_ = view["verification"]
    assert (round_["state"], round_["agreed"], round_["spared"]) == ("agreed", 2, False)
    votes = {vote["nodeId"]: vote for vote in round_["votes"]}
    assert [vote["agreed"] for vote in round_["votes"]].count(True) == 2
    assert not votes[decided.dissenter]["agreed"]
    assert {vote["owner"] for vote in votes.values()} == set(OWNERS)
    assert round_["caseId"] == decided.case(decided.task)["id"]
    assert (view["usage"]["cpuSeconds"], view["usage"]["bytesIn"], view["usage"]["peakMemoryMb"]) == (4.5, 30, 42)
    printed = decided.server.client.get(f"/api/tasks/{decided.task}/logs").json()
    assert [line["text"] for line in printed] == ["I say 42\n"]
    dissent = votes[decided.dissenter]["copyId"]
    assert decided.server.task(dissent)["result"] == 41
    assert decided.server.client.get(f"/api/tasks/{dissent}/logs").json()[0]["text"] == "I say 41\n"


def test_its_receipt_proves_every_vote_and_one_turned_vote_is_found(decided: Decided) -> None:
    content = decided.server.client.get(f"/api/tasks/{decided.task}/receipt").content
    receipt = msgspec.json.decode(content, type=Receipt)
    keys = {one.puppet.node: one.puppet.key.public_key().public_bytes_raw() for one in decided.sessions}
    assert proves(proof_of(receipt, keys)), proof_of(receipt, keys)
    round_ = receipt.verification
    assert round_ is not None
    assert sorted(receipt.results.values()) == ["41", "42"]
    turned = [replace(vote, agreed=True) for vote in round_.votes]
    assert not proves(proof_of(replace(receipt, verification=replace(round_, votes=turned)), keys))


def test_a_case_shows_input_votes_what_differs_timings_and_signatures(decided: Decided) -> None:
    row = decided.case(decided.task)
    assert (row["taskId"], row["dissenters"], row["state"]) == (decided.task, [decided.dissenter], "open")
    assert row["differs"] == "byte 1 of the result: '1' instead of '2'"
    view = decided.server.client.get(f"/api/verification/cases/{row['id']}").json()
    assert {name: view[name] for name in row} == row
    assert [vote["copyId"] for vote in view["votes"]] == [
        vote["copyId"] for vote in decided.server.task(decided.task)["verification"]["votes"]
    ]
    evidence = view["evidence"]
    assert evidence["payload"]["input"] == 21
    said = {one["nodeId"]: one for one in evidence["testimonies"]}
    assert all(one["seal"] and one["publicKey"] and one["endedAt"] >= one["leasedAt"] for one in said.values())
    [difference] = evidence["differences"]
    assert (difference["offset"], difference["agreed"], difference["dissent"]) == (1, "2", "1")
    flagged = {one["nodeId"]: one["flags"] for one in view["voters"]}
    assert view["id"] in flagged.pop(decided.dissenter)
    assert list(flagged.values()) == [[], []]
    checked = {one["nodeId"]: (one["status"], one["checked"] > 0) for one in view["voters"]}
    assert checked.pop(decided.dissenter) == ("online", False)
    assert set(checked.values()) == {("online", True)}
    kept = datetime.fromisoformat(view["evidenceUntil"]) - datetime.fromisoformat(view["openedAt"])
    assert (kept.days, view["alike"]) == (7, [])


def test_cases_are_listed_page_by_page_and_belong_to_the_owner_of_their_task(decided: Decided) -> None:
    decided.decide()
    client = decided.server.client
    first = client.get("/api/verification/cases", params={"limit": 1})
    assert len(first.json()) == 1
    following = first.links["next"]["url"]
    second = client.get(following)
    assert second.json()[0]["id"] < first.json()[0]["id"]
    assert_problem(client.get("/api/verification/cases?cursor=x"), 400, "invalid_cursor")
    with decided.server.as_holder_of(decided.server.key("stranger", "submitter")) as stranger:
        assert stranger.get("/api/verification/cases").json() == []
        case = first.json()[0]["id"]
        assert_problem(stranger.get(f"/api/verification/cases/{case}"), 404, "not_found")
        denied = stranger.post(f"/api/verification/cases/{case}/clear", json={})
        assert_problem(denied, 403, "forbidden")


def test_an_operator_runs_a_case_again_clears_it_and_blocks_the_dissenters_of_another(own: Decided) -> None:
    client = own.server.client
    own.decide()
    case = own.case(own.task)["id"]
    path = f"/api/verification/cases/{case}"
    key = {"Idempotency-Key": f"again-{case}"}
    again = client.post(f"{path}/rerun", json={"reason": "to be sure"}, headers=key)
    assert again.status_code == 201, again.text
    task = again.json()["id"]
    assert again.headers["location"] == f"/api/tasks/{task}"
    repeated = client.post(f"{path}/rerun", json={"reason": "to be sure"}, headers=key)
    assert repeated.json()["id"] == task
    shown = own.server.task(task)
    assert (shown["retryOf"], shown["verify"]["copies"], shown["verify"]["agree"]) == (own.task, 5, 3)
    assert client.get(path).json()["reruns"] == [task]
    cleared = client.post(f"{path}/clear", json={"reason": "a broken fan"})
    assert (cleared.status_code, cleared.json()["state"]) == (202, "cleared")
    assert "a broken fan" in cleared.json()["reason"]["message"]
    assert_problem(client.post(f"{path}/block", json={}), 409, "case_closed")
    assert_problem(client.post(f"{path}/block"), 415, "unsupported_media_type")
    other = client.get("/api/verification/cases").json()[0]["id"]
    blocked = client.post(f"/api/verification/cases/{other}/block", json={})
    assert (blocked.status_code, blocked.json()["state"]) == (202, "blocked")
    assert client.get(f"/api/nodes/{own.dissenter}").json()["status"] == "blocked"
    kinds = {entry["kind"] for entry in client.get("/api/audit", params={"limit": 100}).json()}
    assert {"case_rerun", "case_cleared", "case_blocked"} <= kinds
