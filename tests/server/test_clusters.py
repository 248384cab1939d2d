"""Apps through the API: made, shown, changed and removed; what makes no sense is refused with a word of its own."""

import hashlib
import io
import re
import socket
import tarfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hosting_puppet import SITE, SPEC, HostingPuppet, app_of, create, remove_all, until
from puppet import Session
from served import ELSEWHERE, Served, assert_problem

from anchor.core.app import SOURCE_BYTES_MAX
from anchor.wire.source_packing import packed_files


@pytest.fixture(scope="module")
def puppet(server: Served) -> HostingPuppet:
    return HostingPuppet(server)


@pytest.fixture
def session(puppet: HostingPuppet) -> Iterator[Session]:
    with puppet.connect() as session:
        yield session
        remove_all(puppet.server, session)


def names(server: Served) -> list[str]:
    return [app["name"] for app in server.client.get("/api/clusters").json()]


def test_the_specification_s_request_makes_an_express_app_that_runs_on_a_node(
    server: Served, puppet: HostingPuppet, session: Session
) -> None:
    answer = server.client.post("/api/clusters", json=SPEC)
    assert answer.status_code == 201, answer.text
    app = answer.json()
    assert answer.headers["location"] == f"/api/clusters/{app['id']}"
    assert app["id"].startswith("app_")
    assert (app["name"], app["title"], app["state"]) == ("my-web-app", "My Web App", "deploying")
    [item] = session.hosts()
    assert (item.plan.kind, item.plan.install, item.config.port, item.process) == ("node", "npm", 8080, "web")
    assert server.client.get(f"/api/blobs/{item.source}", headers={"range": "bytes=0-1"}).content == b"\x1f\x8b"
    session.says(item, state="building")
    session.says(item, state="starting")
    session.says(item, cpu=0.25, memory_mib=61.5)
    app = until(server, "my-web-app", lambda app: app["state"] == "running")
    [replica] = app["replicas"]
    assert (replica["nodeId"], replica["state"], replica["generation"]) == (puppet.node, "healthy", item.generation)
    assert replica["localUrl"] == "http://localhost:8080/"
    assert (app["live"], app["ready"], app["wanted"], app["port"], app["reason"]) == (1, 1, 1, 8080, None)
    port = server.url.rpartition(":")[2]
    assert app["urls"] == [f"http://my-web-app.apps.localhost:{port}/", f"{server.url}/apps/my-web-app/"]
    until(server, "my-web-app", lambda app: app["replicas"][0]["memoryMib"] == 61.5)
    [row] = server.client.get("/api/clusters").json()
    assert (row["nodes"], row["restarts"], row["cpu"], row["memoryMib"]) == ([puppet.node], 0, 0.25, 61.5)
    assert app["id"] == app_of(server, app["id"])["id"]


def test_a_name_that_is_taken_comes_with_one_that_is_free(server: Served, session: Session) -> None:
    create(server, "shop")
    create(server, "shop-2")
    again = server.client.post("/api/clusters", json={"name": "Shop!", "files": SITE})
    assert_problem(again, 409, "name_taken", says="shop", hints="shop-3 is free", at="/name")


def test_a_key_makes_one_app_however_often_it_is_sent(server: Served, session: Session) -> None:
    body = {"name": "once", "files": SITE}
    first, second = (
        server.client.post("/api/clusters", json=body, headers={"idempotency-key": "one app"}) for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] == second.json()["id"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    releases = [
        server.client.post(
            "/api/clusters/once/releases", json={"env": {"A": "1"}}, headers={"idempotency-key": "one release"}
        )
        for _ in range(2)
    ]
    assert [len(answer.json()["releases"]) for answer in releases] == [2, 2]


def test_apps_are_listed_newest_first_page_by_page(server: Served, session: Session) -> None:
    for name in ("one", "two", "three"):
        create(server, name)
    first = server.client.get("/api/clusters", params={"limit": 2})
    assert [app["name"] for app in first.json()] == ["three", "two"]
    assert first.headers["x-total-count"] == "3"
    second = server.client.get(first.links["next"]["url"])
    assert [app["name"] for app in second.json()] == ["one"]
    assert "next" not in second.links


def test_a_release_takes_over_what_it_does_not_name(server: Served, session: Session, puppet: HostingPuppet) -> None:
    create(server, "site", env={"A": "1", "B": "2"}, config={"port": 9000})
    puppet.host_all(session)
    until(server, "site", lambda app: app["state"] == "running")
    other = server.client.post(
        "/api/clusters/site/releases", json={"files": {"index.html": "new"}, "env": {"B": None, "C": "3"}}
    )
    assert other.status_code == 201, other.text
    app = other.json()
    assert (app["env"], app["port"], app["live"]) == (["A", "C"], 9000, 1)
    assert [release["number"] for release in app["releases"]] == [1, 2]
    assert app["releases"][0]["source"] != app["releases"][1]["source"]
    old, new = sorted(session.hosts(2), key=lambda item: item.generation)
    assert session.variables(new) == {"A": "1", "C": "3"}
    assert (old.serves, new.serves) == (True, False)
    session.says(old, new)
    old, new = sorted(session.hosts(2), key=lambda item: item.generation)
    while not new.serves:
        old, new = sorted(session.hosts(2), key=lambda item: item.generation)
    assert (old.drains, old.serves, new.drains) == (True, False, False)
    session.says(new)
    app = until(server, "site", lambda app: app["state"] == "running" and app["live"] == 2)
    back = server.client.post("/api/clusters/site/rollback")
    assert back.status_code == 202, back.text
    newest = back.json()["releases"][-1]
    assert (newest["number"], newest["of"], newest["env"]) == (3, 1, ["A", "B"])
    assert newest["source"] == app["releases"][0]["source"]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_is_deployed_as_it_is(server: Served, session: Session, kind: str) -> None:
    create(server, "packed")
    content = archive(kind, {"index.html": b"packed", "deep/page.html": b"deeper"})
    answer = server.client.post("/api/clusters/packed/deploy", content=content)
    assert answer.status_code == 201, answer.text
    digest = hashlib.sha256(content).hexdigest()
    assert answer.json()["releases"][-1]["source"] == f"sha256:{digest}"
    assert server.client.get(f"/api/blobs/{digest}").content == content


def archive(kind: str, files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(made, "w") as zipped:
            for path, content in files.items():
                zipped.writestr(path, content)
    else:
        with tarfile.open(fileobj=made, mode="w:gz" if kind == "tar.gz" else "w") as tarred:
            for path, content in files.items():
                member = tarfile.TarInfo(path)
                member.size = len(content)
                tarred.addfile(member, io.BytesIO(content))
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "bad_archive", "empty"),
        (b"no archive at all", "bad_archive", ""),
        (archive("zip", {"notes.txt": b"no app"}), "not_an_app", ""),
        (archive("zip", {"../out.html": b""}), "bad_archive", r"\.\./out\.html"),
        (archive("tar", {"/etc/passwd": b""}), "bad_archive", "/etc/passwd"),
    ],
    ids=["empty", "no archive", "no app", "a path that leads out", "an absolute path"],
)
def test_what_is_no_app_is_refused_at_once_and_changes_nothing(
    server: Served, session: Session, content: bytes, code: str, says: str
) -> None:
    create(server, "kept")
    answer = server.client.post("/api/clusters/kept/deploy", content=content)
    assert (answer.status_code, answer.json()["code"]) == (422 if content else 400, code)
    assert re.search(says, answer.json()["detail"])
    assert len(app_of(server, "kept")["releases"]) == 1


def test_an_upload_says_how_it_would_be_run_and_nothing_is_made_of_it(server: Served, session: Session) -> None:
    def planned(kept: bytes, **fields: Any) -> Any:
        digest = hashlib.sha256(kept).hexdigest()
        assert server.client.put(f"/api/blobs/{digest}", content=kept).status_code == 201
        return server.client.post("/api/cluster-plans", json={"source": f"sha256:{digest}", **fields})

    program = packed_files({"main.py": "print(1)"})
    plan = planned(program, type="worker").json()
    assert (plan["kind"], list(plan["processes"])) == ("python", ["worker"])
    assert planned(program, config={"command": "python -m shop"}).json()["processes"] == {"web": "python -m shop"}
    assert_problem(planned(program, config={"ram": "1MB"}), 400, "invalid_config")
    assert planned(packed_files({"notes.txt": "?"})).status_code == 422
    assert names(server) == []


def test_files_that_are_no_app_make_none(server: Served, session: Session) -> None:
    answer = server.client.post("/api/clusters", json={"name": "none", "files": {"README.md": "words"}})
    assert (answer.status_code, answer.json()["code"]) == (422, "not_an_app")
    assert "package.json" in answer.json()["detail"]
    assert "README.md" in answer.json()["hint"]
    assert "none" not in names(server)


def test_an_upload_that_is_announced_as_too_large_is_refused_before_it_is_sent(
    server: Served, session: Session
) -> None:
    create(server, "small")

    host, _, port = server.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as asking:
        head = f"POST /api/clusters/small/deploy HTTP/1.1\r\nHost: localhost:{port}\r\n"
        asking.sendall(f"{head}Content-Length: {SOURCE_BYTES_MAX + 1}\r\nExpect: 100-continue\r\n\r\n".encode())
        answer = asking.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"256 MiB" in answer


@pytest.mark.parametrize(
    ("fields", "status", "code", "at"),
    [
        ({"name": "!!!"}, 400, "bad_name", "/name"),
        ({"name": "a\nb"}, 400, "bad_name", "/name"),
        ({"name": ""}, 400, "invalid_field", "/name"),
        ({"type": "Wbe"}, 400, "invalid_type", "/type"),
        ({"config": {"port": 0}}, 400, "invalid_field", "/config/port"),
        ({"config": {"port": 65536}}, 400, "invalid_field", "/config/port"),
        ({"config": {"port": "8080"}}, 400, "invalid_field", "/config/port"),
        ({"config": {"ram": "lots"}}, 400, "invalid_field", "/config/ram"),
        ({"config": {"ram": "1MB"}}, 400, "invalid_config", "/config/ram"),
        ({"config": {"cpu": 0}}, 400, "invalid_field", "/config/cpu"),
        ({"config": {"prot": 8080}}, 400, "invalid_field", "/config/prot"),
        ({"config": {"scale": {"web": 101}}}, 400, "invalid_field", "/config/scale/..."),
        ({"config": {"scale": {"release": 1}}}, 400, "invalid_config", "/config/scale/release"),
        ({"config": {"requirements": {"expression": "ram >"}}}, 400, "invalid_config", None),
        ({"env": {"A-B": "1"}}, 400, "invalid_field", "/env"),
        ({"env": {"PORT": "1"}}, 400, "invalid_env", "/env/PORT"),
        ({"env": {"A": "\0"}}, 400, "invalid_env", "/env/A"),
        ({"env": {f"A{number}": "" for number in range(1_001)}}, 400, "invalid_env", None),
        ({"source": "sha256:" + "0" * 64}, 422, "blob_missing", "/source"),
        ({"source": "sha256:" + "0" * 64, "files": {}}, 400, "invalid_field", "/files"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else None,
)
def test_what_makes_no_sense_is_refused_with_its_place(
    server: Served, fields: dict[str, Any], status: int, code: str, at: str | None
) -> None:
    answer = server.client.post("/api/clusters", json={"name": "refused", **fields})
    assert_problem(answer, status, code, at=at)
    assert names(server) == []


def test_variables_are_set_and_taken_away_and_named_but_never_shown(server: Served, session: Session) -> None:
    create(server, "vars", env={"FIRST": "canary-1"})
    answer = server.client.put("/api/clusters/vars/env", json={"SECOND": "canary-2", "FIRST": None, "NONE": None})
    assert answer.status_code == 202, answer.text
    assert server.client.get("/api/clusters/vars/env").json() == ["SECOND"]
    assert len(answer.json()["releases"]) == 2
    unchanged = server.client.put("/api/clusters/vars/env", json={"NONE": None})
    assert len(unchanged.json()["releases"]) == 2
    too_much = server.client.put("/api/clusters/vars/env", json={f"V{at}": "x" * 32_000 for at in range(3)})
    assert_problem(too_much, 400, "invalid_env", says="65,536")
    for path in ("", "/vars", "/vars/env", "/vars/logs"):
        assert "canary" not in server.client.get(f"/api/clusters{path}").text


def test_of_variables_set_at_the_same_time_none_is_lost(server: Served, session: Session) -> None:
    create(server, "many")
    names = [f"V{number}" for number in range(8)]

    def put(name: str) -> int:
        return server.client.put("/api/clusters/many/env", json={name: "x"}).status_code

    with ThreadPoolExecutor(len(names)) as pool:
        assert set(pool.map(put, names)) == {202}
    assert server.client.get("/api/clusters/many/env").json() == names


def test_processes_are_scaled_by_name_and_the_only_one_without(
    server: Served, session: Session, puppet: HostingPuppet
) -> None:
    create(server, "wide")
    puppet.host_all(session)
    until(server, "wide", lambda app: app["state"] == "running")
    answer = server.client.post("/api/clusters/wide/scale", json={"replicas": 3})
    assert answer.status_code == 202, answer.text
    assert answer.json()["wanted"] == 3
    puppet.host_all(session, 3)
    until(server, "wide", lambda app: app["ready"] == 3)
    unknown = server.client.post("/api/clusters/wide/scale", json={"wbe": 3})
    assert_problem(unknown, 400, "no_such_process", hints="Did you mean web")
    assert_problem(server.client.post("/api/clusters/wide/scale", json={}), 400, "invalid_field")


def test_a_worker_is_nothing_that_requests_are_routed_to(server: Served, session: Session) -> None:
    app = create(server, "cron", type="worker", files={"main.py": "print('hi')\n"})
    assert app["urls"] == []
    [item] = session.hosts()
    assert (item.process, list(item.plan.processes), item.serves) == ("worker", ["worker"], False)
    again = server.client.post("/api/clusters/cron/releases", json={"files": {"main.py": "print('ho')\n"}}).json()
    assert list(again["releases"][-1]["plan"]["processes"]) == ["worker"]


def test_an_app_is_stopped_started_and_removed(server: Served, session: Session, puppet: HostingPuppet) -> None:
    create(server, "brief")
    [item] = puppet.host_all(session)
    until(server, "brief", lambda app: app["state"] == "running")
    assert server.client.post("/api/clusters/brief/stop").status_code == 202
    while not session.hosts()[0].drains:
        pass
    session.says()
    app = until(server, "brief", lambda app: app["state"] == "stopped")
    assert (app["ready"], app["replicas"]) == (0, [])
    assert server.client.post("/api/clusters/brief/start").status_code == 202
    [again] = puppet.host_all(session)
    assert again.generation > item.generation
    until(server, "brief", lambda app: app["state"] == "running")
    gone = server.client.delete("/api/clusters/brief")
    assert (gone.status_code, gone.json()["state"]) == (202, "removing")
    remove_all(server, session)
    assert_problem(server.client.get("/api/clusters/brief"), 404, "not_found", hints="app ls")
    create(server, "brief")


def test_whose_app_it_is_not_finds_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = Served(tmp_path_factory.mktemp("roles"), host=ELSEWHERE)
    server.start()
    mine, other, viewer = (
        server.as_holder_of(server.key(name, role))
        for name, role in (("me", "submitter"), ("you", "submitter"), ("all", "viewer"))
    )
    assert mine.post("/api/clusters", json={"name": "mine", "files": SITE}).status_code == 201
    assert mine.get("/api/clusters/mine").json()["owner"] == "me"
    for ask in (
        lambda: other.get("/api/clusters/mine"),
        lambda: other.get("/api/clusters/mine/env"),
        lambda: other.get("/api/clusters/mine/logs"),
        lambda: other.post("/api/clusters/mine/releases", json={}),
        lambda: other.post("/api/clusters/mine/deploy", content=archive("zip", {"index.html": b""})),
        lambda: other.post("/api/clusters/mine/scale", json={"web": 2}),
        lambda: other.post("/api/clusters/mine/rollback", json={}),
        lambda: other.post("/api/clusters/mine/stop"),
        lambda: other.put("/api/clusters/mine/env", json={"A": "1"}),
        lambda: other.delete("/api/clusters/mine"),
    ):
        assert_problem(ask(), 404, "not_found")
    assert other.get("/api/clusters").json() == []
    assert [app["name"] for app in viewer.get("/api/clusters").json()] == ["mine"]
    assert_problem(viewer.delete("/api/clusters/mine"), 403, "forbidden")
    for client in (mine, other, viewer):
        client.close()
    server.end()
