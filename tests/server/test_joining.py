"""A machine without Anchor joins: what it fetches, what becomes of its token, and how it is refused."""

import base64
import io
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from puppet import Puppet, join
from served import ELSEWHERE, Served, assert_problem

SCRIPTS = ("/join.sh", "/join.ps1")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that wants a token from everybody."""
    served = Served(tmp_path_factory.mktemp("guarded"), host=ELSEWHERE)
    served.start()
    yield served
    served.end()


def new_token(server: Served, **wish: int) -> dict[str, Any]:
    made = server.client.post("/api/nodes/join-tokens", json=wish)
    assert made.status_code == 201, made.text
    token: dict[str, Any] = made.json()
    return token


def seen(server: Served, token: dict[str, Any]) -> dict[str, Any]:
    view: dict[str, Any] = server.client.get(f"/api/nodes/join-tokens/{token['id']}").json()
    return view


def test_a_token_tells_what_became_of_it_and_never_itself(own_server: Served) -> None:
    token = new_token(own_server)
    view = seen(own_server, token)
    assert (view["state"], view["nodeId"], view["usedAt"], view["usedFrom"]) == ("waiting", None, None, None)
    node = join(own_server, token["token"], bytes(32)).json()["nodeId"]
    own_server.kill()
    own_server.start()
    used = seen(own_server, token)
    assert (used["state"], used["nodeId"], used["usedFrom"]) == ("used", node, "127.0.0.1")
    assert used["usedAt"] < used["expiresAt"] == token["expiresAt"]
    assert token["token"] not in str(used)


def test_a_dead_token_is_refused_in_words_that_say_why(server: Served) -> None:
    used, short = new_token(server), new_token(server, seconds=1)
    assert join(server, used["token"], bytes(32)).status_code == 201
    assert_problem(join(server, used["token"], bytes(32)), 401, "invalid_join_token", says="used", hints="Add a node")
    until = time.monotonic() + 10
    while seen(server, short)["state"] != "expired" and time.monotonic() < until:
        time.sleep(0.05)
    assert_problem(join(server, short["token"], bytes(32)), 401, "invalid_join_token", says="expired")
    assert_problem(join(server, "ancj_nobody", bytes(32)), 401, "invalid_join_token", says="not known")
    assert seen(server, short)["nodeId"] is None


def test_no_other_key_is_shown_as_a_join_token(server: Served) -> None:
    key = sha256(server.key("somebody", "viewer").encode()).hexdigest()
    for id_ in (key, "nothing"):
        assert_problem(server.client.get(f"/api/nodes/join-tokens/{id_}"), 404, "not_found")


@pytest.mark.parametrize(
    ("host", "meant"),
    [("anchor.lab:8443", "http://anchor.lab:8443"), ("[fd00::1]:5000", "http://[fd00::1]:5000"), ("a;b'$(x)", None)],
)
def test_the_commands_name_the_server_as_its_caller_does(guarded: Served, host: str, meant: str | None) -> None:
    made = guarded.client.post("/api/nodes/join-tokens", json={}, headers={"Host": host})
    commands, token = made.json()["commands"], made.json()["token"]
    meant = meant or guarded.url
    mark = '"' if "[" in meant else ""  # zsh and others would look for files of such a name
    said = mark + meant + mark
    assert commands["linux"] == f"curl -fsSL {mark}{meant}/join.sh{mark} | sh -s -- {said} {token}"
    assert commands["windows"] == f"& ([scriptblock]::Create((irm {mark}{meant}/join.ps1{mark}))) {said} {token}"
    wheel = rf"{mark}{re.escape(meant)}/dist/anchor_network-\S+\.whl{mark}"
    assert re.fullmatch(rf"pip install {wheel} && anchor join {re.escape(said)} {token}", commands["python"])


def test_the_scripts_are_to_be_read_by_anybody_and_hold_no_secret(guarded: Served) -> None:
    with guarded.as_holder_of(None) as nobody:
        for path in SCRIPTS:
            answer = nobody.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert "@WHEEL@" not in answer.text
            assert "@SHA256@" not in answer.text
            assert not re.search(r"anc[jn]?_\w", answer.text)


def test_the_package_is_whole_and_the_one_that_the_scripts_name(server: Served) -> None:
    script = server.client.get("/join.sh").text
    [name], [digest] = re.findall(r"^WHEEL='(.+)'$", script, re.MULTILINE), re.findall(r"SHA256='(\w{64})'", script)
    content = server.client.get(f"/dist/{name}").content
    assert sha256(content).hexdigest() == digest
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        names = wheel.namelist()
        assert not [one for one in names if "__pycache__" in one or "/.mypy_cache/" in one]
        [record] = [one for one in names if one.endswith(".dist-info/RECORD")]
        lines = [line.rsplit(",", 2) for line in wheel.read(record).decode().splitlines()]
        assert sorted(line[0] for line in lines) == sorted(names)
        for file, written, size in lines:
            if file != record:
                told = base64.urlsafe_b64encode(sha256(wheel.read(file)).digest()).rstrip(b"=").decode()
                assert (written, int(size)) == (f"sha256={told}", len(wheel.read(file)))
        for needed in ("anchor/__init__.py", "anchor/cli/__init__.py", "anchor/server/joining/join.sh"):
            assert needed in names
    assert_problem(server.client.get("/dist/other.whl"), 404, "not_found", says=name)


def test_the_package_of_one_version_is_the_same_bytes_each_time() -> None:
    made = "from anchor.server.own_wheel import own_wheel; print(own_wheel().sha256)"
    digests = {subprocess.check_output([sys.executable, "-c", made], text=True) for _ in range(2)}
    assert len(digests) == 1


def test_the_shell_script_is_one_that_a_shell_can_read(server: Served, tmp_path: Path) -> None:
    script = tmp_path / "join.sh"
    script.write_text(server.client.get("/join.sh").text)
    assert subprocess.run(["sh", "-n", script], capture_output=True, check=False).returncode == 0
    bare = subprocess.run(["sh", script], capture_output=True, text=True, check=False)
    assert bare.returncode == 1
    assert "which server to join" in bare.stderr


def test_a_label_given_by_an_operator_is_one_that_tasks_find_the_node_by(own_server: Served) -> None:
    puppet = Puppet(own_server, labels=("own",))
    session = puppet.connect()
    waits = own_server.submit(requirements={"labels": ["own", "given"]})
    assert own_server.client.get(f"/api/tasks/{waits}").json()["state"] == "queued"
    labels = f"/api/nodes/{puppet.node}/labels"
    view = own_server.client.put(labels, json={"labels": ["given", " given ", "own"]})
    assert view.status_code == 200, view.text
    assert (view.json()["labels"], view.json()["givenLabels"]) == (["own", "given"], ["given", "own"])
    assert len(session.assigned()) == 1
    own_server.client.put(labels, json={"labels": []})
    gone = own_server.submit(requirements={"labels": ["given"]})
    assert own_server.client.get(f"/api/tasks/{gone}").json()["state"] == "queued"
    session.close()
    events = own_server.client.get("/api/audit", params={"subject": puppet.node}).json()
    assert [one["kind"] for one in events] == ["node_labelled", "node_labelled", "node_joined"]


@pytest.mark.parametrize("labels", [[""], ["x" * 101], ["a\nb"], [f"l{n}" for n in range(51)]])
def test_labels_that_nobody_could_read_are_refused(server: Served, labels: list[str]) -> None:
    answer = server.client.put("/api/nodes/AAA-000000/labels", json={"labels": labels})
    assert_problem(answer, 400, "invalid_field", hints="Tasks ask for labels")


def test_why_a_node_is_blocked_is_said_on_it_and_in_the_trail(server: Served) -> None:
    puppet = Puppet(server)
    path = f"/api/nodes/{puppet.node}"
    blocked = server.client.post(f"{path}/block", json={"reason": "  it cheats "}).json()
    assert blocked["reason"]["message"] == "Blocked by local: it cheats"
    assert server.client.post(f"{path}/drain").json()["reason"]["message"] == "Draining by local."
    newest = server.client.get("/api/audit", params={"kind": "node_blocked"}).json()[0]
    assert newest["message"] == f"{puppet.node} is blocked now: it cheats"
    too_long = server.client.post(f"{path}/block", json={"reason": "x" * 301})
    assert_problem(too_long, 400, "invalid_field", at="/reason")
