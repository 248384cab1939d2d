"""Browsers sign in with an API key and get a cookie, which is good for pages of this server and for nobody else."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from live_page import page
from served import ELSEWHERE, Served, assert_problem

from anchor.adapters.local.clock import SystemClock
from anchor.adapters.sqlite.store import SqliteStore
from anchor.core.access import Key, Role
from anchor.server.sessions import SESSIONS_PER_KEY_MAX, Sessions

TASK = {"name": "t", "type": "noop", "requirements": {"labels": ["nowhere"]}}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("guarded"), host=ELSEWHERE)
    served.start()
    yield served
    served.end()


@contextmanager
def browser(server: Served, role: str = "submitter", **headers: str) -> Iterator[httpx.Client]:
    """Signed in; it sends what a page of this server makes a browser send."""
    own = {"Origin": server.url, "Sec-Fetch-Site": "same-origin", **headers}
    with server.as_holder_of(None) as client:
        client.headers.update(own)
        answer = client.post("/api/session", json={"token": server.key(role, role)})
        assert answer.status_code == 201, answer.text
        client.headers["X-Anchor-CSRF"] = answer.json()["csrf"]
        yield client


def test_a_key_is_exchanged_for_a_cookie_that_pages_cannot_read(guarded: Served) -> None:
    token = guarded.key("ada", "submitter")
    with guarded.as_holder_of(None) as client:
        answer = client.post("/api/session", json={"token": token})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("anchor=ancs_")
        assert re.sub("Max-Age=(43200|43199)", "", cookie).split("; ")[1:] == ["Path=/", "", "HttpOnly", "SameSite=Lax"]
        shown = client.get("/api/session").json()
        assert shown == answer.json()
        assert (shown["name"], shown["role"], shown["by"]) == ("ada", "submitter", "session")
        assert len(shown["csrf"]) == 64
    kept = [file.read_bytes() for file in guarded.data.rglob("anchor.db*")]
    value = cookie.partition("=")[2].partition(";")[0].encode()
    assert not any(secret in content for content in kept for secret in (value, shown["csrf"].encode()))
    assert token not in guarded.said()
    entry = guarded.client.get("/api/audit", params={"kind": "signed_in", "limit": 1}).json()[0]
    assert (entry["by"], entry["message"]) == ("ada", "A browser signed in as ada, submitter.")


def test_a_session_may_what_its_key_may_and_not_more(guarded: Served) -> None:
    with browser(guarded) as client:
        task = client.post("/api/tasks", json=TASK)
        assert task.status_code == 201, task.text
        assert client.get(f"/api/tasks/{task.json()['id']}").json()["owner"] == "submitter"
        assert_problem(client.get("/api/keys"), 403, "forbidden", says="role admin; submitter")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X-Anchor-CSRF": ""}, "csrf"),
        ({"X-Anchor-CSRF": "0" * 64}, "csrf"),
        ({"X-Anchor-CSRF": "é"}, "csrf"),
        ({"Origin": "https://evil.example"}, "origin_not_allowed"),
        ({"Origin": "null"}, "origin_not_allowed"),
        ({"Sec-Fetch-Site": "same-site"}, "origin_not_allowed"),
        ({"Sec-Fetch-Site": "cross-site"}, "origin_not_allowed"),
    ],
)
def test_what_another_site_makes_a_browser_send_changes_nothing(
    guarded: Served, headers: dict[str, str], code: str
) -> None:
    with browser(guarded) as client:
        before = client.get("/api/tasks").headers["x-total-count"]
        encoded = {name: value.encode() for name, value in headers.items()}
        assert_problem(client.post("/api/tasks", json=TASK, headers=encoded), 403, code)
        assert_problem(client.delete("/api/session", headers=encoded), 403, code)
        if code != "csrf":
            assert_problem(client.get("/api/tasks", headers=encoded), 403, code)
        assert client.get("/api/tasks").headers["x-total-count"] == before


def test_a_change_has_to_say_which_page_it_comes_from(guarded: Served) -> None:
    with browser(guarded) as client:
        del client.headers["Origin"]
        assert client.get("/api/tasks").status_code == 200
        assert_problem(client.post("/api/tasks", json=TASK), 403, "origin_not_allowed", hints="token")


def test_nobody_is_signed_in_by_a_page_of_another_site_or_with_what_is_no_api_key(guarded: Served) -> None:
    token = guarded.key("ada", "viewer")
    join = guarded.client.post("/api/nodes/join-tokens", json={}).json()["token"]
    with guarded.as_holder_of(None) as client:
        foreign = {"Origin": "https://evil.example"}
        assert_problem(client.post("/api/session", json={"token": token}, headers=foreign), 403, "origin_not_allowed")
        for wrong in ("anc_wrong", join, "", "ancn_a.1.b"):
            assert_problem(client.post("/api/session", json={"token": wrong}), 401, "invalid_token")
        assert_problem(client.get("/api/session"), 401, "unauthenticated")
        assert not client.cookies


def test_a_cookie_is_no_token_and_a_token_no_cookie(guarded: Served) -> None:
    with browser(guarded) as client, guarded.as_holder_of(client.cookies["anchor"]) as thief:
        assert_problem(thief.get("/api/tasks"), 401, "invalid_token")
        assert_problem(thief.post("/api/session", json={"token": client.cookies["anchor"]}), 401, "invalid_token")
    with guarded.as_holder_of(None) as client:
        client.cookies["anchor"] = guarded.key("ada", "admin")
        assert_problem(client.get("/api/tasks"), 401, "unauthenticated")


def test_a_session_ends_when_its_browser_signs_out(guarded: Served) -> None:
    with browser(guarded) as client:
        value = client.cookies["anchor"]
        ended = client.delete("/api/session")
        assert ended.status_code == 200
        assert ended.headers["set-cookie"].startswith("anchor=; Path=/; Max-Age=0")
        client.cookies["anchor"] = value
        assert_problem(client.get("/api/session"), 401, "unauthenticated")
    with guarded.as_holder_of(guarded.key("program", "viewer")) as program:
        assert_problem(program.delete("/api/session"), 409, "no_session")


def test_a_session_ends_with_its_key_and_is_not_listed_as_one(guarded: Served) -> None:
    with browser(guarded, "operator") as client:
        listed = guarded.client.get("/api/keys").json()
        [key] = [one for one in listed if one["role"] == "operator"]
        assert guarded.client.delete(f"/api/keys/{key['id']}").status_code == 200
        assert_problem(client.get("/api/session"), 401, "unauthenticated")
        assert len(guarded.client.get("/api/keys").json()) == len(listed) - 1


def test_over_https_only_the_cookie_that_no_other_host_can_set_is_taken(server: Served) -> None:
    with browser(server, **{"X-Forwarded-Proto": "https"}) as client:
        answer = client.get("/api/session")
        cookie = client.post("/api/session", json={"token": server.key("ada", "viewer")}).headers["set-cookie"]
        assert cookie.startswith("__Host-anchor=ancs_")
        assert {"Secure", "Path=/", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "domain" not in cookie.lower()
        value = cookie.partition("=")[2].partition(";")[0]
        planted = {"Cookie": f"anchor={value}"}
        proper = {"Cookie": f"x=1; __Host-anchor={value}"}
        assert client.get("/api/session", headers=proper).json()["name"] == "ada"
        assert client.get("/api/session", headers=planted).status_code == 200  # a local caller, by no session
        assert client.get("/api/session", headers=planted).json()["by"] == "local"
        assert answer.status_code == 200


def test_a_caller_of_the_server_s_own_machine_needs_no_session_even_with_a_stale_cookie(server: Served) -> None:
    for cookie in ("", "anchor=", "anchor=ancs_stale", "anchor=x; anchor=y"):
        own = {"Origin": server.url, "Sec-Fetch-Site": "same-origin", "Cookie": cookie}
        shown = server.client.get("/api/session", headers=own)
        assert shown.json() == {"name": "local", "role": "admin", "by": "local", "csrf": None, "expiresAt": None}
        assert server.client.post("/api/tasks", json=TASK, headers=own).status_code == 201
    assert_problem(
        server.client.get("/api/session", headers={"Origin": "https://evil.example"}), 403, "origin_not_allowed"
    )


def test_whoever_shows_a_token_is_told_so(guarded: Served) -> None:
    with guarded.as_holder_of(guarded.key("program", "viewer")) as program:
        shown = program.get("/api/session").json()
    assert (shown["by"], shown["csrf"], shown["name"]) == ("token", None, "program")


@pytest.mark.anyio
async def test_a_session_s_page_watches_until_it_signs_out(guarded: Served) -> None:
    with browser(guarded) as client:
        cookie = {"Cookie": f"anchor={client.cookies['anchor']}", "Origin": guarded.url}
        async with page(guarded, headers=cookie) as one:
            assert (await one.join("tasks"))["kind"] == "joined"
            assert (await one.join("events"))["code"] == "forbidden"
            assert client.delete("/api/session").status_code == 200
            [stop] = await one.until(lambda: one.said["stop"], 5)
            assert stop["code"] == "unauthenticated"


@pytest.mark.anyio
async def test_the_oldest_browsers_of_a_key_make_room_for_new_ones(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    sessions = Sessions(store, SystemClock(), store.key, secret=b"s")
    keys = [Key(digest=name, name=name, role=Role.VIEWER, created_at=1) for name in ("much", "little")]
    for key in keys:
        await store.add_key(key)
    spare, _ = await sessions.open(keys[1])
    opened = [(await sessions.open(keys[0]))[0] for _ in range(SESSIONS_PER_KEY_MAX + 2)]
    found = [await sessions.of({}, {"cookie": f"anchor={value}"}) for value in [spare, *opened]]
    assert found[0] is not None
    assert sum(session is not None for session in found[1:]) == SESSIONS_PER_KEY_MAX
    assert found[-1] is not None
    await store.remove_key("much")
    assert await sessions.of({}, {"cookie": f"anchor={opened[-1]}"}) is None
    await store.close()
