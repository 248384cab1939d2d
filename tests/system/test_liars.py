"""Machines of five owners, and three of the machines lie: what is accepted is right, and the liars are found out."""

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.system.fleet import GIVE_UP_SECONDS, Agent, Server

from anchor.adapters.sqlite.store import SqliteStore
from anchor.core.ids import key_of
from anchor.core.node import Node
from anchor.core.reputation import TRUSTED_AFTER
from anchor.core.verification import Round, Verdict
from anchor.failpoints import EXIT_CODE
from anchor.wire.proofs import proof_of, proves
from anchor.wire.receipts import Receipt

LIAR = Path(__file__).with_name("liar.py")
HONEST = ("ada", "bob", "cyd")
LIARS = {"eve 1": "always", "eve 2": "always", "mallory": "sometimes"}
"""The first two are machines of one owner, and always say the same."""
WRONG_MAX = 3
ROUNDS_MAX = 60
VERIFY = {"policy": "quorum", "copies": 5, "agree": 3}
CODE = "const end = Date.now() + 60; while (Date.now() < end); return input * 2"
"""Takes a moment, so that whoever does not do the work is heard first."""


class Liar(Agent):
    """An agent that its owner has changed."""

    def __init__(self, directory: Path, server: Server, name: str, how: str) -> None:
        super().__init__(directory, server, name, slots=1)
        self._arguments = [sys.executable, str(LIAR), how, *self._arguments[3:]]


class Court:
    """A server, all the machines, and every round that was decided."""

    def __init__(self, directory: Path) -> None:
        self.server = Server(directory, lease_seconds=5, spot_check_share=0.4)
        self.http = httpx.Client(base_url=self.server.url, trust_env=False, timeout=30)
        self.agents: list[Agent] = [Agent(directory, self.server, name, slots=1) for name in HONEST]
        self.agents += [Liar(directory, self.server, name, how) for name, how in LIARS.items()]
        self.owners: dict[str, str] = {}
        """By node: the name of its agent."""
        self.rounds: list[dict[str, Any]] = []
        """Tasks whose verdict was not spared, as they ended."""

    def open(self) -> None:
        self.server.start_and_wait()
        for agent in self.agents:
            owner = agent.name.split()[0]
            key = self.http.post("/api/keys", json={"name": owner, "role": "operator"}).raise_for_status().json()
            agent.join(key=key["token"])
        for agent in self.agents:
            self.owners[agent.wait_until_online()] = agent.name

    def until_all_are_here(self) -> None:
        """Wait for every node's connection to this life of the server."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while away := [node["nodeId"] for node in self.http.get("/api/nodes").json() if node["active"] is None]:
            assert time.monotonic() < deadline, away
            time.sleep(0.05)

    def close(self) -> None:
        self.http.close()
        for program in (*self.agents, self.server):
            program.kill()

    def submit(self, number: int, verify: Any = None) -> str:
        body = {"name": "checked", "payload": {"sourceCode": CODE, "input": number}, "verify": verify or VERIFY}
        task: str = self.http.post("/api/tasks", json=body).raise_for_status().json()["id"]
        return task

    def task(self, task: str) -> dict[str, Any]:
        view: dict[str, Any] = self.http.get(f"/api/tasks/{task}").raise_for_status().json()
        return view

    def over(self, task: str) -> dict[str, Any]:
        """The task at its end."""
        until = {"wait": 30}
        state = self.http.get(f"/api/tasks/{task}/result", params=until, timeout=40).raise_for_status().json()["state"]
        assert state not in ("verifying", "queued"), self.task(task)
        return self.task(task)

    def decided(self, number: int) -> dict[str, Any]:
        """A round from its beginning to its end, which is the right one; nobody sees a vote before."""
        task = self.submit(number)
        early = self.task(task)
        if early["state"] == "verifying" and early["verification"]["state"] == "open":
            assert early["verification"]["votes"] == [], "18: a vote is shown before the verdict"
        return self.keep(self.over(task), number)

    def keep(self, view: dict[str, Any], number: int) -> dict[str, Any]:
        assert (view["state"], view["result"]) == ("succeeded", number * 2), view
        votes = view["verification"]["votes"]
        for what in ("nodeId", "owner", "copy"):
            assert len({vote[what] for vote in votes}) == len(votes), f"16: two votes of one {what}: {votes}"
        agreed = {vote["answer"] for vote in votes if vote["agreed"]}
        assert len(agreed) == 1, votes
        assert sum(vote["agreed"] for vote in votes) >= VERIFY["agree"], f"17: {votes}"
        self.rounds.append(view)
        return view

    def statuses(self) -> dict[str, str]:
        """By agent's name."""
        return {self.owners[node["nodeId"]]: node["status"] for node in self.http.get("/api/nodes").json()}

    def votes(self, *, agreed: bool) -> dict[str, list[str]]:
        """By agent's name: the tasks in whose rounds it voted so."""
        found: dict[str, list[str]] = {name: [] for name in self.owners.values()}
        for view in self.rounds:
            for vote in view["verification"]["votes"]:
                if vote["agreed"] is agreed:
                    found[self.owners[vote["nodeId"]]].append(view["id"])
        return found


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    court = Court(tmp_path_factory.mktemp("court"))
    try:
        court.open()
        yield court
    finally:
        court.close()


@pytest.mark.timeout(240)
def test_16_17_18_liars_never_win_are_found_out_and_honest_machines_are_trusted_in_the_end(court: Court) -> None:
    """In one test, for what comes first is what the rest begins with."""
    _decide_once_whatever_dies(court)
    _find_all_liars(court)
    _look_at_the_evidence(court)
    _check_the_trusted_now_and_then(court)
    _count_everything_once(court)


DEATHS = {
    "evidence.kept": "the verdict is written, and nothing of what it leads to",
    "evidence.case_opened": "the case is written, and nobody's reputation",
    "blame.written": "the reputation of one of the voters",
    "rounds.carried_out": "everything but the end of the task",
    "rounds.ended": "the end of the task, told to nobody",
}


def _decide_once_whatever_dies(court: Court) -> None:
    court.server.kill()
    court.server.start_and_wait(failpoint=next(iter(DEATHS)))
    court.until_all_are_here()
    task = court.submit(21)
    verdicts = []
    for what, after in zip(DEATHS.values(), [*list(DEATHS)[1:], ""], strict=True):
        assert court.server.wait() == EXIT_CODE, what
        verdicts.append(asyncio.run(_verdict(court.server.data, task)))
        court.server.start(failpoint=after)  # it may die before it is ready
    court.server.wait_until_ready()
    view = court.keep(court.over(task), 21)
    assert verdicts[0] is not None
    assert verdicts == [verdicts[0]] * len(DEATHS), "it was decided twice"
    assert [case["taskId"] for case in court.http.get("/api/verification/cases").json()] == [view["id"]]
    court.until_all_are_here()


def _find_all_liars(court: Court) -> None:
    for number in range(ROUNDS_MAX):
        found = [name for name, status in court.statuses().items() if status == "quarantined"]
        if set(found) == set(LIARS) and number >= TRUSTED_AFTER:
            break
        court.decided(number)
    assert sorted(found) == sorted(LIARS)
    wrong = court.votes(agreed=False)
    assert {name: len(tasks) for name, tasks in wrong.items() if tasks} == dict.fromkeys(LIARS, WRONG_MAX)
    assert {status for name, status in court.statuses().items() if name in HONEST} == {"online"}


def _look_at_the_evidence(court: Court) -> None:
    wrong = court.votes(agreed=False)
    cases = court.http.get("/api/verification/cases?limit=100").json()
    assert {case["taskId"] for case in cases} == {task for tasks in wrong.values() for task in tasks}
    case = court.http.get(f"/api/verification/cases/{cases[0]['id']}").json()
    assert {court.owners[node] for node in case["dissenters"]} <= set(LIARS)
    assert all(vote["seal"] for vote in case["evidence"]["testimonies"]), "a vote without its node's signature"
    receipt = court.http.get(f"/api/tasks/{case['taskId']}/receipt").raise_for_status().content
    assert proves(proof_of(msgspec.json.decode(receipt, type=Receipt), {}))


def _check_the_trusted_now_and_then(court: Court) -> None:
    court.server.kill()
    court.server.start_and_wait()
    wish = {"name": "adaptive", "payload": {"sourceCode": CODE, "input": 4}, "verify": "adaptive"}
    made = court.http.post("/api/tasks", json=[wish] * 25).raise_for_status().json()
    views = [court.over(task["id"]) for task in made]
    assert {view["result"] for view in views} == {8}
    spared = [view for view in views if view["verification"]["spared"]]
    assert 0 < len(spared) < len(views), "nobody is trusted" if not spared else "nobody is checked"
    for view in views:
        assert len(view["verification"]["votes"]) == (1 if view in spared else 2), view
    court.rounds += [view for view in views if view not in spared]


def _count_everything_once(court: Court) -> None:
    court.server.kill()
    right, wrong = court.votes(agreed=True), court.votes(agreed=False)
    for node in asyncio.run(_nodes(court.server.data)):
        name = court.owners[node.id]
        known = node.reputation["isolate"]
        assert sorted(known.counted) == sorted(key_of("task", task) for task in right[name] + wrong[name]), name
        assert known.valid == pytest.approx(len(right[name]), abs=0.01), name
        assert known.invalid == pytest.approx(len(wrong[name]), abs=0.01), name
        assert node.faults.get("node", 0) == len(wrong[name]), name


async def _verdict(data: Path, task: str) -> Verdict | None:
    """What the store of a dead server says."""
    store = await SqliteStore.open(data)
    try:
        [head] = await store.get([key_of("task", task)])
    finally:
        await store.close()
    assert head is not None
    assert isinstance(head.parts, Round)
    return head.parts.verdict


async def _nodes(data: Path) -> list[Node]:
    store = await SqliteStore.open(data)
    try:
        return await store.nodes()
    finally:
        await store.close()
