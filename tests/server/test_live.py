"""The live link: what happens is shown to those who may see it, exactly and no faster than they read."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hosting_puppet import create
from live_page import PATIENCE_SECONDS, Page, page
from puppet import Puppet
from served import ELSEWHERE, Served
from socketio.exceptions import ConnectionError as NotConnected

from anchor.core.access import Role, may
from anchor.core.attempt import Ending, Outcome, Reason, Result
from anchor.server.live.hub import CLIENTS_PER_NAME_MAX, ROLES
from anchor.wire.live import MARKS_MAX

pytestmark = pytest.mark.anyio
PEOPLE = (Role.VIEWER, Role.SUBMITTER, Role.OPERATOR, Role.ADMIN)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    served = Served(tmp_path_factory.mktemp("guarded"), host=ELSEWHERE)
    served.start()
    yield served
    served.end()


async def submitted(server: Served, count: int, **fields: object) -> list[str]:
    body = [{"name": f"t{number}", "type": "noop", **fields} for number in range(count)]
    answer = await asyncio.to_thread(server.client.post, "/api/tasks", json=body)
    assert answer.status_code == 201, answer.text
    return [one["id"] for one in answer.json()]


def assert_in_order(frames: list[dict[str, Any]], after: int) -> None:
    assert [frame["seq"] for frame in frames] == list(range(after + 1, after + 1 + len(frames)))


async def test_a_watcher_sees_what_happens_counted_exactly_and_sampled(server: Served) -> None:
    puppet = await asyncio.to_thread(Puppet, server, name="Watched", slots=400)
    with await asyncio.to_thread(puppet.connect) as session:
        async with page(server) as watcher:
            began = time.monotonic()
            joined = await watcher.join("watch")
            before = (await watcher.join("tasks"))["snapshot"]
            await submitted(server, 300, retry={"attempts": 1})
            items = await asyncio.to_thread(session.assigned, 300)
            bad = [Ending(items[0].task, 1, Outcome.ERRORED, reason=Reason("user_error", "No."))]
            good = [Ending(item.task, 1, Outcome.SUCCEEDED, Result(b"1", size=1)) for item in items[1:]]
            await asyncio.to_thread(session.report, [*bad, *good])
            await watcher.until(lambda: (watcher.newest("tasks") or before)["counts"]["succeeded"] >= 299)
            await watcher.until(lambda: (watcher.newest("watch") or {"counts": before["counts"]})["counts"]["failed"])
        took = time.monotonic() - began
        frames = watcher.frames["watch"]
        assert_in_order(frames, joined["seq"])
        assert len(frames) <= took * 10 + 1
        data = [frame["data"] for frame in frames]
        # Submitted, given out (in one write with that, where nothing else waits) and over.
        assert sum(one["happened"] for one in data) in {600, 900}
        assert all(0 < len(one["marks"]) <= MARKS_MAX for one in data if one["happened"])
        marks = [mark for one in data for mark in one["marks"]]
        [failed] = [mark for mark in marks if mark[2] == "failed"]  # a failure is not lost among many
        assert failed[3] == puppet.node
        assert 0 < failed[4] <= failed[5]
        assert {mark[2] for mark in marks} | {"queued"} == {"queued", "running", "succeeded", "failed"}
        counts = data[-1]["counts"]
        assert watcher.newest("tasks") == {"counts": counts, "total": before["total"] + 300}
        shown = server.client.get("/api/queue/stats").json()["tasks"]
        assert (counts["succeeded"], counts["failed"]) == (shown["completed"], shown["failed"])


async def test_one_task_is_followed_through_its_life_and_nobody_else_is_told(server: Served) -> None:
    puppet = await asyncio.to_thread(Puppet, server, name="Follower", slots=1, labels=("follow",))
    [task] = await submitted(server, 1, requirements={"labels": ["follow"]})
    async with page(server) as watcher, page(server) as other:
        room = f"task:{task}"
        assert (await watcher.join(room))["snapshot"]["state"] == "queued"
        assert (await other.join("fleet"))["kind"] == "joined"
        with await asyncio.to_thread(puppet.connect) as session:
            [item] = await asyncio.to_thread(session.assigned)
            await watcher.until(lambda: (watcher.newest(room) or {}).get("state") == "running")
            ending = Ending(item.task, 1, Outcome.SUCCEEDED, Result(b"1", size=1))
            await asyncio.to_thread(session.report, [ending])
            await watcher.until(lambda: watcher.newest(room)["state"] == "succeeded")
            assert watcher.newest(room).items() <= server.task(task).items()
            fleet = other.frames.setdefault("fleet", [])
            shown = [puppet.node, "online", 1]
            await other.until(
                lambda: shown in [[*one[:2], one[3]] for frame in fleet for one in frame["data"]["nodes"]]
            )
            await watcher.join(f"node:{puppet.node}")
            await asyncio.to_thread(server.client.post, f"/api/nodes/{puppet.node}/drain")
            await other.until(lambda: ["draining"] in [one[1:2] for one in other.newest("fleet")["nodes"]])
            await watcher.until(
                lambda: (watcher.newest(f"node:{puppet.node}") or {"status": ""})["status"] == "draining"
            )
        assert room not in other.frames


async def test_a_run_and_an_app_are_followed_and_what_is_removed_is_gone(server: Served) -> None:
    graph = {"name": "g", "steps": [{"id": "a", "name": "a", "type": "noop"}]}
    graph["steps"][0]["requirements"] = {"labels": ["nowhere"]}  # type: ignore[index]
    run = server.client.post("/api/dags", json=graph)
    assert run.status_code == 201, run.text
    app = create(server, "watched")
    async with page(server) as watcher:
        room = f"run:{run.json()['id']}"
        joined = await watcher.join(room)
        assert (joined["snapshot"]["state"], joined["snapshot"]["stepList"]) == ("running", None)
        assert [one["name"] for one in (await watcher.join("apps"))["snapshot"]["apps"]] == [app["name"]]
        by_name, by_id = f"app:{app['name']}", f"app:{app['id']}"
        assert (await watcher.join(by_id))["snapshot"]["id"] == (await watcher.join(by_name))["snapshot"]["id"]
        await asyncio.to_thread(server.client.post, f"/api/dags/{run.json()['id']}/cancel")
        await watcher.until(lambda: (watcher.newest(room) or {}).get("state") == "cancelled")
        await asyncio.to_thread(server.client.delete, f"/api/clusters/{app['id']}")
        await watcher.until(lambda: (watcher.newest("apps") or {}).get("gone") == [app["id"]])
        await watcher.until(lambda: {one["room"] for one in watcher.said["gone"]} == {by_name, by_id})
        assert (await watcher.join(by_name))["code"] == "not_found"


async def test_a_hidden_page_is_sent_nothing_and_is_right_as_soon_as_it_is_shown(server: Served) -> None:
    async with page(server) as hidden, page(server) as shown:
        for one in (hidden, shown):
            await one.join("tasks")
        assert await hidden.ask("pause") == {"kind": "paused"}
        sent = len(hidden.frames.get("tasks", []))
        await submitted(server, 3, requirements={"labels": ["nowhere"]})
        await shown.until(lambda: shown.newest("tasks"))
        assert len(hidden.frames.get("tasks", [])) == sent
        resumed = await hidden.ask("resume")
        [again] = resumed["rooms"]
        assert again["snapshot"] == shown.newest("tasks")
        await submitted(server, 1, requirements={"labels": ["nowhere"]})
        await hidden.until(lambda: (hidden.newest("tasks") or {"total": 0})["total"] > again["snapshot"]["total"])
        assert hidden.frames["tasks"][-1]["seq"] == again["seq"] + 1
        assert (await hidden.io.call("leave", {"room": "tasks"}))["kind"] == "left"


async def test_everybody_gets_into_the_rooms_of_their_role_and_sees_only_what_is_theirs(guarded: Served) -> None:
    keys = {role: guarded.key(role, role) for role in PEOPLE}
    nowhere = {"requirements": {"labels": ["nowhere"]}}
    theirs = guarded.submit(**nowhere)
    with guarded.as_holder_of(keys[Role.SUBMITTER]) as client:
        own = client.post("/api/tasks", json={"name": "own", "type": "noop", **nowhere}).json()["id"]
    wrong = []
    for role in PEOPLE:
        async with page(guarded, token=keys[role]) as one:
            for room, needed in ROLES.items():
                is_one = room in {"task", "run", "app", "node"}
                answer = await one.join(f"{room}:dag_0" if is_one else room)
                code = answer.get("code", answer["kind"])
                expected = "forbidden" if not may(role, needed) else "not_found" if is_one else "joined"
                if code != expected:
                    wrong.append((role, room, answer))
            sees_all = role is not Role.SUBMITTER
            assert (await one.join(f"task:{own}"))["kind"] == "joined"
            assert (await one.join(f"task:{theirs}"))["kind"] == ("joined" if sees_all else "refused")
            total = (await one.join("tasks"))["snapshot"]["total"]
            assert (await one.join("watch"))["snapshot"]["counts"]["queued"] == total
            assert total == (guarded.tasks() if sees_all else 1)
    assert wrong == []


async def test_marks_of_others_tasks_do_not_reach_a_submitter(guarded: Served) -> None:
    nowhere = {"labels": ["nowhere"]}
    async with page(guarded, token=guarded.key("alone", "submitter")) as one:
        assert (await one.join("watch"))["snapshot"]["counts"]["queued"] == 0
        async with page(guarded, token=guarded.key("seer", "viewer")) as other:
            await other.join("watch")
            await submitted(guarded, 2, requirements=nowhere)
            await other.until(lambda: other.newest("watch"))
        await one.join("tasks")
        assert all(not frame["data"]["marks"] for frame in one.frames.get("watch", []))


@pytest.mark.parametrize("name", ["", "watch:1", "task", "task:", "nothing", "node:" + "x" * 200, "__proto__"])
async def test_a_room_that_is_none_is_refused_in_words(server: Served, name: str) -> None:
    async with page(server) as one:
        refused = await one.join(name)
    assert (refused["kind"], refused["code"]) == ("refused", "no_such_room")
    assert refused["hint"].startswith("Join watch, tasks")


async def test_a_client_may_not_collect_rooms(server: Served) -> None:
    tasks = await submitted(server, 33, requirements={"labels": ["nowhere"]})
    async with page(server) as one:
        answers = [await one.join(f"task:{task}") for task in tasks]
        assert [answer["kind"] for answer in answers[:-1]] == ["joined"] * 32
        assert answers[-1]["code"] == "too_many_rooms"
        assert (await one.join(f"task:{tasks[0]}"))["kind"] == "joined"


@pytest.mark.parametrize(("token", "code"), [(None, "unauthenticated"), ("anc_wrong", "invalid_token")])
async def test_who_may_not_watch_is_told_why(guarded: Served, token: str | None, code: str) -> None:
    one = Page()
    with pytest.raises(NotConnected):
        await one.io.connect(
            guarded.url,
            auth=None if token is None else {"token": token},
            socketio_path="live",
            transports=["websocket"],
            wait_timeout=15,
        )
    [error] = one.said["connect_error"]
    assert (error["data"]["kind"], error["data"]["code"]) == ("refused", code)
    assert error["message"]
    assert error["data"]["hint"]


async def test_nobody_holds_every_place_alone(guarded: Served) -> None:
    one, other, neighbour = (guarded.key(name, "viewer") for name in ("hoarder", "hoarder", "neighbour"))
    async with AsyncExitStack() as stack:
        links = [
            await stack.enter_async_context(page(guarded, token=token))
            for token in [one, other] * (CLIENTS_PER_NAME_MAX // 2)
        ]
        refused = Page()
        with pytest.raises(NotConnected):
            await refused.io.connect(
                guarded.url, auth={"token": one}, socketio_path="live", transports=["websocket"], wait_timeout=30
            )
        [error] = refused.said["connect_error"]
        assert (error["data"]["kind"], error["data"]["code"]) == ("refused", "too_many_clients")
        assert error["message"] == f"hoarder has {CLIENTS_PER_NAME_MAX} live links here, and may have no more."
        assert "Close some" in error["data"]["hint"]
        async with page(guarded, token=neighbour) as next_door:
            assert (await next_door.join("tasks"))["kind"] == "joined"
        assert (await links[0].join("tasks"))["kind"] == "joined", "who is there stays there"
        await links[-1].io.disconnect()
        await links[0].until(lambda: not links[-1].io.connected)
        assert (await joined_again(guarded, one))["kind"] == "joined"


async def joined_again(server: Served, token: str) -> dict[str, Any]:
    """What a page gets once there is a place for it: the server learns a little later that one left."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            async with page(server, token=token) as one:
                return await one.join("tasks")
        except NotConnected:
            assert time.monotonic() < give_up


async def test_a_revoked_key_watches_no_longer(guarded: Served) -> None:
    made = guarded.client.post("/api/keys", json={"name": "for a while", "role": "viewer"}).json()
    async with page(guarded, token=made["token"]) as one:
        await one.join("watch")
        await asyncio.to_thread(guarded.client.delete, f"/api/keys/{made['id']}")
        [stop] = await one.until(lambda: one.said["stop"])
        assert (stop["code"], stop["retrySeconds"]) == ("unauthenticated", None)
        await one.until(lambda: one.said["disconnect"])


async def test_a_page_is_told_that_the_server_stops_and_does_not_keep_it(own_server: Served) -> None:
    async with page(own_server) as one:
        await one.join("watch")
        took = await asyncio.to_thread(own_server.stop)
        assert [stop["code"] for stop in one.said["stop"]] == ["server_stopping"]
        await one.until(lambda: one.said["disconnect"])
    assert took < 5
    own_server.start()
    async with page(own_server) as again:
        assert (await again.join("watch"))["kind"] == "joined"
