"""What tasks print, live: nothing lost, nothing twice, however often a follower falls off; and results waited for."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import pytest
from puppet import Puppet, failure, success
from served import Served

from anchor.core.attempt import Result


class Event(dict[str, Any]):
    """One server-sent event."""


def events(lines: Iterator[str]) -> Iterator[Event]:
    event = Event()
    for line in lines:
        name, _, value = line.partition(":")
        if line == "" and event:
            yield event
            event = Event()
        elif name:
            event[name] = json.loads(value) if name == "data" else value.strip()


@contextmanager
def following(server: Served, task: str, **headers: str) -> Iterator[Iterator[Event]]:
    url = f"{server.url}/api/tasks/{task}/logs?follow=1"
    with httpx.stream("GET", url, headers=headers, timeout=20, trust_env=False) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer.iter_lines())


@pytest.fixture
def puppet(server: Served) -> Puppet:
    return Puppet(server, labels=("logs",))


def submit(server: Served, **fields: Any) -> str:
    return server.submit(requirements={"labels": ["logs"]}, **fields)


def retire(puppet: Puppet) -> None:
    """Puppets of other tests must not be given this one's task."""
    assert puppet.server.client.post(f"/api/nodes/{puppet.node}/block").status_code == 202


def wait_for(condition: Any, seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_follower_that_falls_off_again_and_again_misses_and_repeats_nothing(server: Served, puppet: Puppet) -> None:
    task = submit(server)
    lines = [f"line {number}\n" for number in range(60)]
    with puppet.connect() as session:
        [item] = session.assigned()

        def speak() -> None:
            for at, line in enumerate(lines):
                session.print(item, at + 1, line)
                time.sleep(0.005)
            session.report([success(item)])

        speaking = threading.Thread(target=speak)
        speaking.start()
        seen: list[str] = []
        ended: Event | None = None
        last: dict[str, str] = {}
        while ended is None:
            with following(server, task, **last) as stream:
                taken = 0
                for event in stream:
                    if event["event"] == "output":
                        seen.append(event["data"]["text"])
                        last = {"Last-Event-ID": event["id"]}
                        taken += 1
                    if event["event"] == "end":
                        ended = event
                    if taken == 7:
                        break
        speaking.join()
    retire(puppet)
    assert seen == lines
    assert ended is not None
    assert ended["data"]["state"] == "succeeded"
    read = server.client.get(f"/api/tasks/{task}/logs").json()
    assert [line["text"] for line in read] == lines
    assert [line["id"] for line in read] == [f"1.{number}" for number in range(1, 61)]


def test_output_of_every_attempt_comes_in_order(server: Served, puppet: Puppet) -> None:
    task = submit(server, retry={"attempts": 2, "backoffSeconds": 0})
    with puppet.connect() as session, following(server, task) as stream:
        for attempt in (1, 2):
            [item] = session.assigned()
            assert item.attempt == attempt
            session.print(item, 1, f"try {attempt}", f"more {attempt}")
            session.report([failure(item, "script_error")])
        seen = list(stream)
    retire(puppet)
    assert [event["id"] for event in seen if event["event"] == "output"] == ["1.1", "1.2", "2.1", "2.2"]
    states = [event["data"]["state"] for event in seen if event["event"] == "state"]
    assert states[-1] == "failed"
    assert seen[-1]["event"] == "end"
    assert seen[-1]["data"]["reason"]["code"] == "script_error"
    rest = server.client.get(f"/api/tasks/{task}/logs", params={"after": "1.2"}).json()
    assert [line["id"] for line in rest] == ["2.1", "2.2"]
    assert len(server.client.get(f"/api/tasks/{task}/logs", params={"limit": 3}).json()) == 3


def test_following_a_task_that_is_over_tells_it_all_and_ends(server: Served, puppet: Puppet) -> None:
    task = submit(server)
    with puppet.connect() as session:
        [item] = session.assigned()
        session.print(item, 1, 'two\nlines, "quotes" and <b>markup</b>\x00\x1b')
        session.report([success(item, {"a": 1})])
        wait_for(lambda: server.task(task)["state"] == "succeeded")
    retire(puppet)
    with following(server, task) as stream:
        seen = list(stream)
    assert [event["event"] for event in seen] == ["state", "output", "end"]
    assert seen[1]["data"]["text"] == 'two\nlines, "quotes" and <b>markup</b>\x00\x1b'
    assert seen[2]["data"]["result"] == {"a": 1}
    with following(server, task, **{"Last-Event-ID": "1.1"}) as stream:
        assert [event["event"] for event in stream] == ["state", "end"]


def test_a_result_of_several_lines_ends_the_stream_and_nothing_in_it_is_an_event(
    server: Served, puppet: Puppet
) -> None:
    task = submit(server)
    with puppet.connect() as session:
        [item] = session.assigned()
        content = b'{\r\n  "a": [\n    1,\r2\n\n  ],\n"event":\n"end"}\n'
        result = Result(json=content, size=len(content))
        session.report([msgspec.structs.replace(success(item), result=result)])
        wait_for(lambda: server.task(task)["state"] == "succeeded")
    retire(puppet)
    with following(server, task) as stream:
        seen = list(stream)
    assert [event["event"] for event in seen] == ["state", "end"]
    assert seen[1]["data"]["result"] == {"a": [1, 2], "event": "end"}


def test_output_beyond_the_limit_is_not_kept(server: Served, puppet: Puppet) -> None:
    task = submit(server, limits={"outputBytes": 1000})
    with puppet.connect() as session:
        [item] = session.assigned()
        for at in range(20):
            session.print(item, at + 1, "x" * 50_000)
        session.report([success(item)])
        wait_for(lambda: server.task(task)["state"] == "succeeded")
    retire(puppet)
    kept = sum(len(line["text"]) for line in server.client.get(f"/api/tasks/{task}/logs").json())
    assert kept == 50_000


def test_waiting_for_a_result_ends_when_it_is_there(server: Served, puppet: Puppet) -> None:
    task = submit(server)
    with puppet.connect() as session:
        [item] = session.assigned()
        answers: list[httpx.Response] = []
        path = f"{server.url}/api/tasks/{task}/result?wait=30"
        waiting = [
            threading.Thread(target=lambda: answers.append(httpx.get(path, timeout=40, trust_env=False)))
            for _ in range(5)
        ]
        for thread in waiting:
            thread.start()
        session.report([success(item, [1, 2])])
        for thread in waiting:
            thread.join(20)
    retire(puppet)
    assert [(answer.json()["state"], answer.json()["result"]) for answer in answers] == [("succeeded", [1, 2])] * 5


def test_waiting_in_vain_says_how_things_stand(server: Served) -> None:
    task = server.submit(requirements={"labels": ["nowhere"]})
    asked = time.monotonic()
    answer = server.client.get(f"/api/tasks/{task}/result", params={"wait": 0.3})
    assert 0.25 < time.monotonic() - asked < 10
    assert (answer.status_code, answer.json()["state"], answer.json()["result"]) == (200, "queued", None)


def test_followers_and_waiters_do_not_hold_up_the_stop_of_a_server(own_server: Served) -> None:
    task = own_server.submit(requirements={"labels": ["nowhere"]})
    answers: list[httpx.Response] = []
    path = f"{own_server.url}/api/tasks/{task}/result?wait=50"
    waiting = threading.Thread(target=lambda: answers.append(httpx.get(path, timeout=60, trust_env=False)))
    waiting.start()
    with following(own_server, task) as stream:
        assert next(stream)["data"]["state"] == "queued"
        assert own_server.stop() < 4.5
        assert [event["event"] for event in stream] == []
    waiting.join()
    assert answers[0].json()["state"] == "queued"
