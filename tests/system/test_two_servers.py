"""Two servers on one MongoDB and one Redis: any of them serves anybody, and each hears what the other was told."""

import asyncio
import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import socketio
from tests.engines.mongo import running_mongo
from tests.engines.valkey import running_valkey
from tests.system.fleet import GIVE_UP_SECONDS, Agent, Server

SECRET = "correct horse battery staple"
HEARD_SECONDS = 1.0
"""How soon what one server was told has to reach an agent that is connected to the other."""
MOMENT = "const end = Date.now() + 50; while (Date.now() < end); return 1"
SLEEPER = "const end = Date.now() + 20000; while (Date.now() < end);"
NOTHING = {"name": "nothing", "payload": {"sourceCode": "return 0"}}
LEASE_SECONDS = 30
"""Long enough that nothing in these tests can be owed to a lease that ran out, or to a heartbeat."""


class Pair:
    """Two servers and an agent of the second one."""

    def __init__(self, directory: Path, mongo: Any, valkey: Any) -> None:
        self.mongo = mongo
        self.valkey = valkey
        shared = {"store": mongo.url, "queue": valkey.url, "secret": SECRET, "heartbeat_seconds": 10}
        self.here = Server(directory, name="here", lease_seconds=LEASE_SECONDS, **shared)
        self.there = Server(directory, name="there", lease_seconds=LEASE_SECONDS, **shared)
        for server in (self.here, self.there):
            server.start_and_wait()
        self.agent = Agent(directory, self.there, "agent")
        self.agent.join()
        self.node = self.agent.wait_until_online()

    def submit(self, source: str, **fields: object) -> str:
        wish = {"name": "t", "payload": {"sourceCode": source}, **fields}
        task: str = ask(self.here, "POST", "/api/tasks", json=wish)["id"]
        return task

    def task(self, server: Server, task: str) -> dict[str, Any]:
        return ask(server, "GET", f"/api/tasks/{task}")

    def wait_for(self, task: str, state: str, server: Server | None = None) -> dict[str, Any]:
        until(lambda: self.task(server or self.here, task)["state"] == state)
        return self.task(server or self.here, task)

    def runs(self, source: str = SLEEPER) -> str:
        """A task that is running at the agent by now."""
        task = self.submit(source)
        self.wait_for(task, "running", self.there)
        return task


def ask(server: Server, method: str, path: str, **how: Any) -> Any:
    return httpx.request(method, server.url + path, timeout=30, trust_env=False, **how).raise_for_status().json()


def until(holds: Callable[[], bool], seconds: float = GIVE_UP_SECONDS) -> float:
    """Wait for something, and say how many seconds it took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, f"it did not come within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - begun


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        mongo = stack.enter_context(running_mongo(directory / "mongo"))
        valkey = stack.enter_context(running_valkey(directory / "valkey"))
        both = Pair(directory, mongo, valkey)
        for program in (both.here, both.there, both.agent):
            stack.callback(program.kill)
        yield both
        for program in (both.agent, both.here, both.there):
            assert program.stop() == 0, program.said()


def test_a_task_given_to_one_server_runs_at_an_agent_of_the_other(pair: Pair) -> None:
    task = pair.submit("console.log('hello'); return 6 * 7")
    assert pair.wait_for(task, "succeeded")["result"] == 42
    assert pair.task(pair.there, task) == pair.task(pair.here, task)
    assert "hello" in httpx.get(f"{pair.here.url}/api/tasks/{task}/logs", trust_env=False).text


def test_the_same_request_to_either_server_makes_one_task(pair: Pair) -> None:
    first, again = (
        ask(server, "POST", "/api/tasks", json=NOTHING, headers={"Idempotency-Key": "k"})
        for server in (pair.here, pair.there)
    )
    assert first["id"] == again["id"]


def test_who_waits_at_one_server_hears_at_once_what_the_other_records(pair: Pair) -> None:
    task = pair.submit("const end = Date.now() + 1000; while (Date.now() < end); return 6")
    answer = httpx.get(f"{pair.here.url}/api/tasks/{task}/result?wait=20", timeout=30, trust_env=False)
    assert answer.json()["result"] == 6
    finished = pair.task(pair.here, task)["finishedAt"]
    assert time.time() - datetime.datetime.fromisoformat(finished).timestamp() < HEARD_SECONDS


@pytest.mark.anyio
async def test_a_page_at_one_server_sees_live_what_the_other_settles(pair: Pair) -> None:
    page = socketio.AsyncClient(reconnection=False)
    seen: dict[str, list[Any]] = {"tasks": [], "watch": []}
    page.on("frame", lambda frame: seen.setdefault(frame["room"], []).append(frame["data"]))
    await page.connect(pair.here.url, socketio_path="live", transports=["websocket"])
    try:
        before = (await page.call("join", {"room": "tasks"}))["snapshot"]["counts"].get("succeeded", 0)
        await page.call("join", {"room": "watch"})
        # Its agent is the other server's: there it is given out, and there it is settled.
        task = await asyncio.to_thread(pair.submit, MOMENT)
        joined = await page.call("join", {"room": f"task:{task}"})
        own = seen.setdefault(f"task:{task}", [])
        own.append(joined["snapshot"])
        async with asyncio.timeout(GIVE_UP_SECONDS):
            for holds in (
                lambda: own[-1]["state"] == "succeeded",
                lambda: seen["tasks"] and seen["tasks"][-1]["counts"].get("succeeded", 0) > before,
                lambda: any(mark[0] == task for frame in seen["watch"] for mark in frame["marks"]),
            ):
                while not holds():  # noqa: ASYNC110 - frames come when they come
                    await asyncio.sleep(0.01)
    finally:
        await page.disconnect()
    assert seen["tasks"][-1]["counts"]["succeeded"] == before + 1
    finished = datetime.datetime.fromisoformat(own[-1]["finishedAt"]).timestamp()
    assert time.time() - finished < 10 * HEARD_SECONDS


def test_a_cancel_reaches_the_agent_by_way_of_the_other_server_within_a_second(pair: Pair) -> None:
    task = pair.runs()
    ask(pair.here, "POST", f"/api/tasks/{task}/cancel")
    assert until(lambda: pair.task(pair.here, task)["state"] == "cancelled") < HEARD_SECONDS


def test_a_drain_is_heeded_by_the_other_server_within_a_second(pair: Pair) -> None:
    ask(pair.here, "POST", f"/api/nodes/{pair.node}/drain")
    try:
        time.sleep(HEARD_SECONDS)
        task = pair.submit("return 1")
        time.sleep(HEARD_SECONDS)
        assert pair.task(pair.here, task)["state"] == "queued"
    finally:
        ask(pair.here, "POST", f"/api/nodes/{pair.node}/resume")
    assert pair.wait_for(task, "succeeded")["result"] == 1


def test_a_node_blocked_at_one_server_loses_its_connection_to_the_other_within_a_second(pair: Pair) -> None:
    task = pair.runs()
    ask(pair.here, "POST", f"/api/nodes/{pair.node}/block")
    try:
        assert until(lambda: pair.task(pair.here, task)["state"] == "queued") < HEARD_SECONDS
        assert pair.task(pair.here, task)["attempts"][-1]["outcome"] == "released"
    finally:
        ask(pair.here, "POST", f"/api/nodes/{pair.node}/resume")
        ask(pair.here, "POST", f"/api/tasks/{task}/cancel")
    pair.wait_for(pair.submit("return 2"), "succeeded")


def test_16_17_a_graph_and_a_round_go_on_at_both_servers_and_nothing_happens_twice(pair: Pair, tmp_path: Path) -> None:
    other = Agent(tmp_path, pair.here, "other")
    try:
        key = ask(pair.here, "POST", "/api/keys", json={"name": "ada", "role": "operator"})["token"]
        other.join(key=key)
        other.wait_until_online()
        steps = [
            {
                "id": f"s{number}",
                "dependencies": [f"s{number - 20}"] * (number >= 20),
                "payload": {"sourceCode": MOMENT},
            }
            for number in range(60)
        ]
        steps[-1] |= {"verify": {"copies": 2, "agree": 2}, "dependencies": [f"s{number}" for number in range(59)]}
        run = ask(pair.there, "POST", "/api/dags", json={"name": "both", "steps": steps})["id"]
        until(lambda: ask(pair.here, "GET", f"/api/dags/{run}")["state"] == "succeeded")
        tasks = [task for task in ask(pair.here, "GET", "/api/tasks?limit=1000") if task["dagId"] == run]
        assert sorted(task["step"] for task in tasks) == list(range(60))
        views = {task["step"]: pair.task(pair.there, task["id"]) for task in tasks}
        checked = views.pop(59)
        assert {len(view["attempts"]) for view in views.values()} == {1}
        assert len({view["nodeId"] for view in views.values()}) == 2, "only one of the servers had work"
        votes = checked["verification"]["votes"]
        assert sorted(vote["agreed"] for vote in votes) == [True, True]
        assert len({vote["owner"] for vote in votes}) == len({vote["nodeId"] for vote in votes}) == 2
    finally:
        other.kill()


def test_a_key_revoked_at_one_server_opens_the_other_no_longer_than_a_second(pair: Pair) -> None:
    made = ask(pair.here, "POST", "/api/keys", json={"name": "guest", "role": "viewer"})
    header = {"Authorization": f"Bearer {made['token']}"}

    def status() -> int:
        return httpx.get(f"{pair.there.url}/api/tasks", headers=header, trust_env=False).status_code

    assert status() == 200
    httpx.delete(f"{pair.here.url}/api/keys/{made['id']}", trust_env=False).raise_for_status()
    assert until(lambda: status() == 401) < HEARD_SECONDS


def test_work_goes_on_without_redis_and_returns_to_it(pair: Pair) -> None:
    pair.valkey.kill()
    try:
        begun = time.monotonic()
        task = pair.submit("return 3")
        assert pair.wait_for(task, "succeeded")["result"] == 3
        assert time.monotonic() - begun < 10
        until(lambda: ask(pair.here, "GET", "/health")["status"] == "degraded")
        [problem] = ask(pair.here, "GET", "/health")["problems"]
        assert problem["code"] == "redis_away"
        assert problem["since"]
        held = pair.runs()
        ask(pair.here, "POST", f"/api/tasks/{held}/cancel")
        until(lambda: pair.task(pair.here, held)["state"] == "cancelled", 5)
    finally:
        pair.valkey.start()
    for server in (pair.here, pair.there):
        until(lambda server=server: ask(server, "GET", "/health")["status"] == "ok", 15)
    assert pair.wait_for(pair.submit("return 4"), "succeeded")["result"] == 4


def test_without_mongodb_requests_are_told_to_come_back_and_results_wait_at_the_agent(pair: Pair) -> None:
    task = pair.runs("const end = Date.now() + 3000; while (Date.now() < end); return 5")
    pair.mongo.kill()
    try:
        answer = httpx.post(f"{pair.here.url}/api/tasks", json=NOTHING, timeout=60, trust_env=False)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        until(lambda: ask(pair.here, "GET", "/health")["status"] == "degraded")
        time.sleep(3)
    finally:
        pair.mongo.start()
    view = pair.wait_for(task, "succeeded")
    assert (view["result"], len(view["attempts"])) == (5, 1)
    until(lambda: ask(pair.here, "GET", "/health")["status"] == "ok", 15)


def test_a_server_that_is_killed_has_its_number_again_at_once_and_leaves_nothing_undone(pair: Pair) -> None:
    task = pair.runs()
    pair.here.kill()
    pair.here.start_and_wait()
    assert pair.task(pair.here, task)["state"] in ("running", "leased")
    ask(pair.here, "POST", f"/api/tasks/{task}/cancel")
    assert until(lambda: pair.task(pair.there, task)["state"] == "cancelled") < HEARD_SECONDS


def test_a_server_without_redis_is_refused_beside_another(pair: Pair, tmp_path: Path) -> None:
    lonely = Server(tmp_path, name="lonely", store=pair.mongo.url)
    lonely.start()
    assert lonely.wait() == 5
    assert "ANCHOR_QUEUE" in lonely.said()
