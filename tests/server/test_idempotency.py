"""An Idempotency-Key makes a POST happen once, whoever repeats it, whenever, and however many do at once."""

import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from served import ELSEWHERE, Served, assert_problem

NOOP = {"name": "t", "type": "noop", "requirements": {"labels": ["nowhere"]}}
BODIES = {"one": NOOP, "bulk": [NOOP] * 3}


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


def at_once(count: int, act: Callable[[], httpx.Response]) -> list[httpx.Response]:
    start = threading.Barrier(count)
    answers: list[httpx.Response] = []

    def wait_and_act() -> None:
        start.wait()
        answers.append(act())

    threads = [threading.Thread(target=wait_and_act) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_same_request_again_gets_the_same_tasks_and_says_so(server: Served, body: object) -> None:
    key = keyed(f"same-{type(body).__name__}")
    first = server.client.post("/api/tasks", json=body, headers=key)
    assert "idempotent-replayed" not in first.headers
    count = server.tasks()
    again = server.client.post("/api/tasks", json=body, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers.get("location") == first.headers.get("location")
    assert server.tasks() == count


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_key_with_another_request_is_refused(server: Served, body: object) -> None:
    key = keyed(f"other-{type(body).__name__}")
    task = server.client.post("/api/tasks", json=body, headers=key).json()
    count = server.tasks()
    used = {"code": "idempotency_key_reused", "says": "different request", "hints": "new key"}
    assert_problem(server.client.post("/api/tasks", json=[NOOP], headers=key), 422, **used)
    one = task if isinstance(task, dict) else task[0]
    for path in ("cancel", "retry"):
        answer = server.client.post(f"/api/tasks/{one['id']}/{path}", headers=key)
        assert answer.status_code == (409 if path == "retry" else 422), answer.text
    assert server.task(one["id"])["state"] == "queued"
    assert server.tasks() == count


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_many_at_once_make_the_tasks_once(server: Served, body: object) -> None:
    key = keyed(f"at-once-{type(body).__name__}")
    before = server.tasks()
    answers = at_once(12, lambda: server.client.post("/api/tasks", json=body, headers=key))
    made = [answer for answer in answers if answer.status_code == 201]
    assert made
    assert len({answer.text for answer in made}) == 1
    for answer in answers:
        if answer.status_code != 201:
            assert_problem(answer, 409, "request_in_flight", hints="again")
            assert int(answer.headers["retry-after"]) >= 1
    assert server.tasks() == before + (len(body) if isinstance(body, list) else 1)


def test_a_request_that_was_refused_may_be_mended_under_its_key(server: Served) -> None:
    key = keyed("mended")
    assert server.client.post("/api/tasks", json={"name": "t"}, headers=key).status_code == 400
    assert server.client.post("/api/tasks", json=NOOP, headers=key).status_code == 201


def test_keys_survive_the_death_of_the_server(own_server: Served) -> None:
    sent = [
        own_server.client.post("/api/tasks", json=body, headers=keyed(name)).json() for name, body in BODIES.items()
    ]
    own_server.kill()
    own_server.start()
    for (name, body), first in zip(BODIES.items(), sent, strict=True):
        again = own_server.client.post("/api/tasks", json=body, headers=keyed(name))
        assert (again.status_code, again.json()) == (201, first)
        assert again.headers["idempotent-replayed"] == "true"
    assert own_server.tasks() == 4


def test_the_keys_of_different_people_have_nothing_to_do_with_each_other(tmp_path: Path) -> None:
    server = Served(tmp_path, host=ELSEWHERE)
    server.start()
    with (
        server.as_holder_of(server.key("alice", "submitter")) as alice,
        server.as_holder_of(server.key("bob", "submitter")) as bob,
    ):
        first = alice.post("/api/tasks", json=NOOP, headers=keyed("k"))
        second = bob.post("/api/tasks", json=[NOOP], headers=keyed("k"))
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json()["id"] != second.json()[0]["id"]
    server.end()


def test_a_retry_makes_one_task(server: Served) -> None:
    task = server.submit(**NOOP)
    server.client.post(f"/api/tasks/{task}/cancel")
    first = server.client.post(f"/api/tasks/{task}/retry", headers=keyed("retry"))
    again = server.client.post(f"/api/tasks/{task}/retry", headers=keyed("retry"))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert server.task(first.json()["id"])["retryOf"] == task
    other = server.submit(**NOOP)
    server.client.post(f"/api/tasks/{other}/cancel")
    answer = server.client.post(f"/api/tasks/{other}/retry", headers=keyed("retry"))
    assert_problem(answer, 422, "idempotency_key_reused")


def test_a_cancel_may_be_repeated(server: Served) -> None:
    task = server.submit(**NOOP)
    first = server.client.post(f"/api/tasks/{task}/cancel", headers=keyed("cancel"))
    again = server.client.post(f"/api/tasks/{task}/cancel", headers=keyed("cancel"))
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["idempotent-replayed"] == "true"
    assert (first.json()["state"], again.json()["state"]) == ("cancelled", "cancelled")
    other = server.client.post(f"/api/tasks/{server.submit(**NOOP)}/cancel", headers=keyed("cancel"))
    assert_problem(other, 422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("path", "body"),
    [("/api/keys", {"name": "once", "role": "viewer"}), ("/api/nodes/join-tokens", {"seconds": 60})],
)
def test_a_secret_is_shown_once_and_made_once(server: Served, path: str, body: dict[str, object]) -> None:
    key = keyed(f"secret {path}")
    first = server.client.post(path, json=body, headers=key)
    assert first.json()["token"]
    again = server.client.post(path, json=body, headers=key)
    assert_problem(again, 409, "already_done", says="shown only once", hints="new Idempotency-Key")
    assert_problem(server.client.post(path, json={**body, "x": 1}, headers=key), 400, "invalid_field")
    names = [one["name"] for one in server.client.get("/api/keys").json()]
    assert names.count("once") <= 1


def test_a_secret_asked_for_by_many_at_once_is_made_once(server: Served) -> None:
    body = {"name": "crowd", "role": "viewer"}
    answers = at_once(12, lambda: server.client.post("/api/keys", json=body, headers=keyed("crowd")))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
    assert [one["name"] for one in server.client.get("/api/keys").json()].count("crowd") == 1


def test_a_wish_for_a_secret_that_failed_may_be_mended(server: Served) -> None:
    bad, key = {"name": "mended", "role": "king"}, keyed("mended secret")
    for _ in range(2):
        assert_problem(server.client.post("/api/keys", json=bad, headers=key), 400, "invalid_field", at="/role")
