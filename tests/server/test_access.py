"""Who may do what: every route against everybody who might ask, on an open server and on one that wants tokens."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from puppet import Puppet, Session, join
from served import ELSEWHERE, Served, assert_problem
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from anchor.adapters.sqlite.store import SqliteStore
from anchor.core.access import Key, Role, may
from anchor.server.app import ROUTES
from anchor.server.gate import digest_of
from anchor.server.http import Route
from anchor.server.openapi import pages

TABLE: list[Route] = [*ROUTES, *pages(ROUTES, "")]
OPEN_TO_ANYBODY = {
    ("GET", "/health"),
    ("POST", "/api/nodes/join"),
    ("POST", "/api/session"),
    ("GET", "/join.sh"),
    ("GET", "/join.ps1"),
    ("GET", "/dist/{name}"),
}
"""The only routes without roles; joining asks for a join token itself, and signing in for an API key. What a machine
without Anchor fetches to join holds nothing secret."""
BROWSER = "browser"
"""Signed in with the submitter's key: it shows a cookie instead."""
EXPIRED = "anc_this-one-has-expired"
PLACES = {"{id}": "task_0000000000000", "{sha256}": "0" * 64}
ASKERS: dict[str, Role | None] = {
    "nobody": None,
    "viewer": Role.VIEWER,
    "submitter": Role.SUBMITTER,
    "operator": Role.OPERATOR,
    "admin": Role.ADMIN,
    "node": Role.NODE,
    "join token": None,
    "expired": None,
    "revoked": None,
    "forged node": None,
    "stranger": None,
    BROWSER: Role.SUBMITTER,
}


class Guarded:
    """A server with a key for everybody, and a node that is connected."""

    def __init__(self, directory: Path, host: str) -> None:
        self.server = Served(directory, host=host, lease_seconds=3600)
        asyncio.run(_with_an_expired_key(self.server.data))
        self.tokens: dict[str, str] = {}
        self.session: Session | None = None

    def open(self) -> None:
        self.server.start()
        self.puppet = Puppet(self.server)
        self.session = self.puppet.connect()
        people = {role.value: self.server.key(role.value, role) for role in Role if role is not Role.NODE}
        revoked = self.server.client.post("/api/keys", json={"name": "revoked", "role": "admin"}).json()
        with self.server.as_holder_of(revoked["token"]) as client:
            assert client.get("/api/keys").status_code == 200
        assert self.server.client.delete(f"/api/keys/{revoked['id']}").status_code == 200
        self.tokens = {
            **people,
            "node": self.session.token,
            "join token": self.server.client.post("/api/nodes/join-tokens", json={}).json()["token"],
            "expired": EXPIRED,
            "revoked": revoked["token"],
            "forged node": f"ancn_{self.puppet.node}.{self.session.number}.{'0' * 64}",
            "stranger": "anc_somebody",
        }

    def client_of(self, asker: str) -> httpx.Client:
        if asker != BROWSER:
            return self.server.as_holder_of(self.tokens.get(asker))
        with self.server.as_holder_of(None) as unknown:
            answer = unknown.post("/api/session", json={"token": self.tokens["submitter"]})
        client = self.server.as_holder_of(None)
        client.headers["Origin"] = self.server.url
        client.headers["Cookie"] = answer.headers["set-cookie"].partition(";")[0]
        client.headers["X-Anchor-CSRF"] = answer.json()["csrf"]
        return client

    def end(self) -> None:
        if self.session is not None:
            self.session.close()
        self.server.end()


async def _with_an_expired_key(data: Path) -> None:
    store = await SqliteStore.open(data)
    await store.add_key(Key(digest=digest_of(EXPIRED), name="old", role=Role.ADMIN, created_at=1, expires_at=2))
    await store.close()


def _house(directory: Path, host: str) -> Iterator[Guarded]:
    house = Guarded(directory, host)
    try:
        house.open()
        yield house
    finally:
        house.end()


@pytest.fixture(scope="module")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    yield from _house(tmp_path_factory.mktemp("open"), "127.0.0.1")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    yield from _house(tmp_path_factory.mktemp("guarded"), ELSEWHERE)


def ask(client: httpx.Client, route: Route) -> httpx.Response:
    """A request that gets past the gate where the asker may, and does nothing even then."""
    path = route.path
    for name, value in PLACES.items():
        path = path.replace(name, value)
    body = {"json": {"nonsense": 1}} if route.body is not None else {}
    return client.request(route.method, path, **body)  # type: ignore[arg-type]


def verdict(answer: httpx.Response) -> str:
    if answer.status_code in {401, 403}:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["hint"]
        return f"{answer.status_code} {answer.json()['code']}"
    assert answer.status_code < 500, answer.text
    return "let in"


def test_only_the_listed_routes_need_no_role() -> None:
    assert {(route.method, route.path) for route in TABLE if not route.roles} == OPEN_TO_ANYBODY


def test_there_is_nothing_beside_the_table(guarded: Guarded) -> None:
    described = guarded.server.client.get("/api/openapi.json").json()["paths"]
    assert {(method.upper(), path) for path, methods in described.items() for method in methods} == {
        (route.method, route.path) for route in ROUTES
    }
    for path in ("/api", "/docs", "/openapi.json", "/metrics", "/agent", "/api/docs/../health", "//health"):
        assert guarded.server.client.get(guarded.server.url + path).status_code == 404
    # The dashboard's page is a file like any other: the same for everybody, whatever may be seen through it.
    with guarded.server.as_holder_of(None) as stranger:
        pages = [client.get("/") for client in (stranger, guarded.server.client)]
    assert [page.headers["content-type"] for page in pages] == ["text/html; charset=utf-8"] * 2
    assert pages[0].content == pages[1].content


@pytest.mark.parametrize("house", ["open_house", "guarded"])
@pytest.mark.parametrize("asker", ASKERS)
def test_every_route_lets_in_whom_it_should_and_nobody_else(
    house: str, asker: str, request: pytest.FixtureRequest
) -> None:
    home: Guarded = request.getfixturevalue(house)
    role = Role.ADMIN if asker == "nobody" and house == "open_house" else ASKERS[asker]
    wrong: dict[str, str] = {}
    with home.client_of(asker) as client:
        for route in sorted(TABLE, key=lambda route: (route.method, route.path) == ("DELETE", "/api/session")):
            if (route.method, route.path) in OPEN_TO_ANYBODY:
                continue
            if role is None:
                expected = "401 unauthenticated" if asker == "nobody" else "401 invalid_token"
            elif any(may(role, needed) for needed in route.roles):
                expected = "let in"
            else:
                expected = "403 forbidden"
            got = verdict(ask(client, route))
            if got != expected:
                wrong[f"{route.method} {route.path}"] = got
    assert wrong == {}


@pytest.mark.parametrize("asker", ASKERS)
def test_health_is_open_and_tells_nothing_else(guarded: Guarded, asker: str) -> None:
    with guarded.server.as_holder_of(guarded.tokens.get(asker)) as client:
        answer = client.get("/health")
    assert answer.status_code == 200
    assert set(answer.json()) == {"status", "version", "uptimeSeconds", "problems"}


@pytest.mark.parametrize("asker", [asker for asker in ASKERS if asker != "join token"])
def test_only_a_join_token_lets_a_machine_join(guarded: Guarded, asker: str) -> None:
    token = guarded.tokens.get(asker)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    key = {"publicKey": "A" * 43 + "=", "name": "x"}
    with httpx.Client(base_url=guarded.server.url, trust_env=False) as client:
        answer = client.post("/api/nodes/join", json=key, headers=headers)
    assert_problem(answer, 401, "invalid_join_token", hints="anchor node token")


def test_a_refusal_says_how_to_be_let_in(guarded: Guarded) -> None:
    with guarded.server.as_holder_of(None) as client:
        answer = client.get("/api/tasks")
        assert_problem(answer, 401, "unauthenticated", hints="--token or ANCHOR_TOKEN.*admin-token")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        odd = client.get("/api/tasks", headers={"Authorization": "Basic YTpi"})
        assert_problem(odd, 401, "unauthenticated", hints="Bearer TOKEN")
        weird = client.get("/api/tasks", headers=[(b"Authorization", b"Bearer \xe9\xff ancn_..")])
        assert_problem(weird, 401, "invalid_token")
    with guarded.server.as_holder_of(guarded.tokens["viewer"]) as client:
        assert_problem(
            client.post("/api/tasks", json={}), 403, "forbidden", says="role submitter; viewer", hints="submitter"
        )


@pytest.mark.parametrize("token", ["ancn_", "ancn_.", "ancn_a.b.c", "ancn_REX-1.1", "ancn_" + "." * 50, "x" * 5000])
def test_a_token_that_only_looks_like_one_is_refused(guarded: Guarded, token: str) -> None:
    with guarded.server.as_holder_of(token) as client:
        assert_problem(client.get("/api/tasks"), 401, "invalid_token")


# --- whose tasks


def test_submitters_see_and_touch_their_own_tasks_only(guarded: Guarded) -> None:
    server = guarded.server
    with (
        server.as_holder_of(server.key("alice", "submitter")) as alice,
        server.as_holder_of(server.key("bob", "submitter")) as bob,
        server.as_holder_of(guarded.tokens["viewer"]) as viewer,
    ):
        task = {"name": "t", "type": "noop", "labels": ["owners"], "requirements": {"labels": ["nowhere"]}}
        mine = [one["id"] for one in alice.post("/api/tasks", json=[task] * 3).json()]
        own = bob.post("/api/tasks", json=task).json()["id"]
        for path in ("", "/result", "/result?wait=1", "/logs", "/logs?follow=1", "/why"):
            assert_problem(bob.get(f"/api/tasks/{mine[0]}{path}"), 404, "not_found")
            assert alice.head(f"/api/tasks/{mine[0]}{path.partition('?')[0]}").status_code == 200
        assert alice.post(f"/api/tasks/{mine[2]}/cancel").status_code == 202
        for path in (f"{mine[0]}/cancel", f"{mine[0]}/retry", f"{mine[2]}/retry"):
            assert_problem(bob.post(f"/api/tasks/{path}"), 404, "not_found")
        absent = bob.get("/api/tasks/task_0000000000000").json()
        there = bob.get(f"/api/tasks/{mine[0]}").json()
        assert absent["detail"].replace("task_0000000000000", mine[0]) == there["detail"]
        for path, total in (("/api/tasks", "1"), ("/api/tasks?state=queued", "1"), ("/api/tasks?state=cancelled", "0")):
            listed = bob.get(path)
            assert listed.headers["x-total-count"] == total
            assert {one["id"] for one in listed.json()} <= {own}
        assert [one["id"] for one in bob.get("/api/tasks?label=owners").json()] == [own]
        counts = bob.get("/api/queue/stats").json()["tasks"]
        assert (counts["waiting"], counts["cancelled"]) == (1, 0)
        assert alice.get(f"/api/tasks/{mine[0]}").json()["owner"] == "alice"
        assert {one["id"] for one in viewer.get("/api/tasks?label=owners").json()} == {*mine, own}


def test_a_cursor_of_somebody_elses_list_shows_nothing_of_it(guarded: Guarded) -> None:
    server = guarded.server
    with (
        server.as_holder_of(server.key("carol", "submitter")) as carol,
        server.as_holder_of(server.key("dave", "submitter")) as dave,
    ):
        task = {"name": "t", "type": "noop", "requirements": {"labels": ["nowhere"]}}
        assert carol.post("/api/tasks", json=[task] * 5).status_code == 201
        page = carol.get("/api/tasks", params={"limit": 2})
        assert dave.get(page.links["next"]["url"]).json() == []


# --- pages of other sites


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example"}, "host_not_allowed"),
        ({"Host": "evil.example:5000"}, "host_not_allowed"),
        ({"Host": "localhost.evil.example"}, "host_not_allowed"),
        ({"Host": "127.0.0.1.evil.example"}, "host_not_allowed"),
        ({"Host": "[::2]:5000"}, "host_not_allowed"),
        ({"Host": "localhost:5000@evil.example"}, "host_not_allowed"),
        ({"Host": "[::1]evil.example"}, "host_not_allowed"),
        ({"Host": ""}, "host_not_allowed"),
        ({"Origin": "https://evil.example"}, "origin_not_allowed"),
        ({"Origin": "http://localhost:1"}, "origin_not_allowed"),
        ({"Origin": "null"}, "origin_not_allowed"),
        ({"Origin": "http://[half"}, "origin_not_allowed"),
        ({"Origin": ""}, "origin_not_allowed"),
        ({"Sec-Fetch-Site": "cross-site"}, "origin_not_allowed"),
        ({"Sec-Fetch-Site": "same-site"}, "origin_not_allowed"),
    ],
)
def test_a_web_page_of_another_site_cannot_drive_an_open_server(
    open_house: Guarded, headers: dict[str, str], code: str
) -> None:
    server = open_house.server
    before = server.tasks()
    task = server.submit(requirements={"labels": ["nowhere"]})
    for answer in (
        server.client.get("/api/tasks", headers=headers),
        server.client.get(f"/api/tasks/{task}/logs?follow=1", headers=headers),
        server.client.post("/api/tasks", json={"name": "t", "type": "noop"}, headers=headers),
        server.client.post(f"/api/tasks/{task}/cancel", headers=headers),
        server.client.post("/api/nodes/join-tokens", json={}, headers=headers),
    ):
        assert_problem(answer, 403, code)
    assert server.tasks() == before + 1


def test_pages_of_the_server_itself_may(open_house: Guarded) -> None:
    url = open_house.server.url
    own = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
    assert open_house.server.client.get("/api/tasks", headers=own).status_code == 200
    local = {"Host": "localhost:5000", "Origin": "http://localhost:5000"}
    assert open_house.server.client.get("/api/tasks", headers=local).status_code == 200


def test_a_token_is_enough_under_any_name(guarded: Guarded) -> None:
    named = {"Host": "anchor.example", "Origin": "https://dashboard.example"}
    assert guarded.server.client.get("/api/tasks", headers=named).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:5000"])
def test_a_web_page_gets_no_agent_socket(open_house: Guarded, origin: str) -> None:
    address = f"ws{open_house.server.url.removeprefix('http')}/agent"
    with pytest.raises(InvalidStatus, match="403"), connect(address, origin=Origin(origin), proxy=None):
        pass


# --- keys and tokens


def test_a_key_can_be_taken_back_at_once_and_is_kept_as_a_digest_only(guarded: Guarded) -> None:
    server = guarded.server
    made = server.client.post("/api/keys", json={"name": "for a while", "role": "viewer", "days": 3650}).json()
    with server.as_holder_of(made["token"]) as client:
        assert client.get("/api/tasks").status_code == 200
        listed = {key["id"]: key for key in server.client.get("/api/keys").json()}
        assert "token" not in listed[made["id"]]
        assert server.client.delete(f"/api/keys/{made['id']}").json()["id"] == made["id"]
        assert_problem(client.get("/api/tasks"), 401, "invalid_token")
    assert_problem(server.client.delete(f"/api/keys/{made['id']}"), 404, "not_found")
    assert_problem(server.client.delete("/api/keys/0"), 404, "not_found")
    for file in server.data.rglob("anchor.db*"):
        assert made["token"].encode() not in file.read_bytes()
    assert made["token"] not in server.said()


def test_the_first_admin_token_is_in_a_file_of_its_owner_and_stays(tmp_path: Path) -> None:
    server = Served(tmp_path, host=ELSEWHERE)
    server.start()
    file = server.data / "admin-token"
    token = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (server.data / "secret").stat().st_mode & 0o777 == 0o600
    assert token not in server.said()
    server.kill()
    server.start()
    assert file.read_text() == token
    assert server.client.get("/api/keys").status_code == 200
    server.end()


@pytest.mark.parametrize("secret", ["your-super-secret-jwt-key", "short"])
def test_a_server_with_a_sample_secret_does_not_start(tmp_path: Path, secret: str) -> None:
    server = Served(tmp_path, secret=secret)
    with pytest.raises(AssertionError, match=r"ANCHOR_SECRET is a sample secret(.|\n)*token_urlsafe"):
        server.start()
    assert "Traceback" not in server.said()


def test_a_join_token_admits_one_machine_however_many_ask_at_once(open_house: Guarded) -> None:
    server = open_house.server
    token = server.client.post("/api/nodes/join-tokens", json={}).json()["token"]
    start = threading.Barrier(20)
    answers: list[httpx.Response] = []

    def try_to_join(number: int) -> None:
        start.wait()
        answers.append(join(server, token, bytes([number]) * 32))

    threads = [threading.Thread(target=try_to_join, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [201] + [401] * 19
    for answer in answers:
        if answer.status_code == 401:
            assert_problem(answer, 401, "invalid_join_token", says="used", hints="anchor node token")
    [won] = [answer for answer in answers if answer.status_code == 201]
    assert server.client.get(won.headers["location"]).json()["nodeId"] == won.json()["nodeId"]


def test_a_join_token_expires(open_house: Guarded) -> None:
    server = open_house.server
    token = server.client.post("/api/nodes/join-tokens", json={"seconds": 1}).json()["token"]
    threading.Event().wait(1.1)
    assert_problem(join(server, token, bytes(32)), 401, "invalid_join_token")


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_of_the_wrong_size_does_not_use_up_the_join_token(open_house: Guarded, size: int) -> None:
    server = open_house.server
    token = server.client.post("/api/nodes/join-tokens", json={}).json()["token"]
    assert_problem(join(server, token, bytes(size)), 400, "invalid_public_key", says="32 bytes", at="/publicKey")
    odd = server.client.post("/api/nodes/join", json={"publicKey": "é"}, headers={"Authorization": f"Bearer {token}"})
    assert_problem(odd, 400, "invalid_public_key", hints="not used up")
    assert join(server, token, bytes(32)).status_code == 201


def test_a_node_token_lives_as_long_as_the_session_it_came_with(open_house: Guarded) -> None:
    server = open_house.server
    puppet = Puppet(server)
    blob = "/api/blobs/" + "0" * 64
    with puppet.connect() as first, server.as_holder_of(first.token) as old:
        assert old.get(blob).status_code == 404
        with puppet.connect() as second, server.as_holder_of(second.token) as new:
            assert_problem(old.get(blob), 401, "invalid_token")
            assert new.get(blob).status_code == 404
            assert server.client.post(f"/api/nodes/{puppet.node}/block").status_code == 202
            assert_problem(new.get(blob), 401, "invalid_token")
