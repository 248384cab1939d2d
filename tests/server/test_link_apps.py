"""What passes between a server and a node that hosts apps: who is told what, and whose word counts."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosting_puppet import HostingPuppet, create, remove_all, until
from puppet import Session
from served import Served

from anchor.core.attempt import Reason
from anchor.wire import box, link

CANARY = "canary-7f3a91"


@pytest.fixture(scope="module")
def puppet(server: Served) -> HostingPuppet:
    return HostingPuppet(server)


@pytest.fixture
def session(puppet: HostingPuppet) -> Iterator[Session]:
    with puppet.connect() as session:
        yield session
        remove_all(puppet.server, session)


def test_a_key_for_secrets_that_the_node_did_not_sign_lets_nobody_in(puppet: HostingPuppet) -> None:
    other = box.public_of(box.new_private_key())
    signature = puppet.key.sign(link.box_bytes(puppet.node, bytes(32)))
    for key, signed in ((other, b""), (other, signature), (bytes(32), signature)):
        with puppet.call() as session:
            nonce = session.next(link.Challenge).nonce
            session.send(puppet.hello(nonce, box_key=key, box_signature=signed))
            assert session.next(link.Refused).code == "invalid_box_key"


def test_a_node_of_protocol_3_is_told_of_no_apps(server: Served, puppet: HostingPuppet) -> None:
    with puppet.call() as session:
        nonce = session.next(link.Challenge).nonce
        hello = puppet.hello(nonce, protocol_max=3, box_key=b"", box_signature=b"")
        session.send(hello)
        assert session.next(link.Welcome).protocol == 3
        create(server, "old")
        task = server.submit(type="noop")
        while True:
            frame = link.decode_from_server(session.socket.recv(timeout=20))  # type: ignore[arg-type]
            assert not isinstance(frame, link.Host)
            if isinstance(frame, link.Assign):
                assert len(frame.items) == 1
                break
        server.client.post(f"/api/tasks/{task}/cancel")
    with puppet.connect() as session:
        remove_all(server, session)


def test_only_the_session_that_is_told_may_say_how_a_replica_is(server: Served, session: Session) -> None:
    create(server, "fenced")
    [item] = session.hosts()
    other = HostingPuppet(server)
    with other.connect() as stranger:
        stranger.says(item)
        session.number += 1
        session.says(item)
        assert "another session" in session.next(link.Nack).message
        session.number -= 1
        session.says(item, state="starting")
        app = until(server, "fenced", lambda app: app["replicas"][0]["state"] != "placed")
        assert app["replicas"][0]["state"] == "starting"
    server.client.post(f"/api/nodes/{other.node}/block")


def test_a_lock_counts_once_its_blob_is_there(server: Served, session: Session) -> None:
    create(server, "locked")
    [item] = session.hosts()
    content = b"express==1"
    digest = hashlib.sha256(content).hexdigest()
    session.says(item, state="starting", lock=digest)
    session.says(item, state="starting", lock="../../etc/passwd")
    session.says(item, lock="f" * 64)
    until(server, "locked", lambda app: app["state"] == "running")
    assert session.hosts()[0].lock == ""
    server.client.put(f"/api/blobs/{digest}", content=content).raise_for_status()
    session.says(item, lock=digest)
    while session.hosts()[0].lock != digest:
        pass


def test_a_replica_that_failed_says_why(server: Served, session: Session) -> None:
    create(server, "broken")
    [item] = session.hosts()
    session.says(item, state="failed", reason=Reason("build_failed", "npm said no.", "Read the log."))
    app = until(server, "broken", lambda app: app["state"] == "failed")
    assert (app["reason"]["code"], app["reason"]["hint"]) == ("build_failed", "Read the log.")
    assert "npm said no." in app["reason"]["message"]
    assert app["releases"][-1]["state"] == "failed"


def test_a_reason_is_kept_no_longer_than_a_person_reads(server: Served, session: Session) -> None:
    create(server, "talkative")
    [item] = session.hosts()
    session.says(item, state="failed", reason=Reason("c" * 10_000, "m" * 500_000, "h" * 100_000))
    app = until(server, "talkative", lambda app: app["state"] == "failed")
    assert len(str(app["reason"])) + len(str(app["releases"])) < 25_000


def test_variables_reach_their_node_and_are_nowhere_else_in_clear(tmp_path: Path) -> None:
    server = Served(tmp_path, log_level="debug")
    server.start()
    puppet = HostingPuppet(server)
    with puppet.connect() as session:
        create(server, "vault", env={"TOKEN": CANARY})
        [item] = session.hosts()
        assert session.variables(item) == {"TOKEN": CANARY}
        session.says(item)
        until(server, "vault", lambda app: app["state"] == "running")
        shown = [server.client.get(path).text for path in PATHS]
        refused = server.client.put("/api/clusters/vault/env", json={"TOKEN": CANARY, "PORT": CANARY})
        shown += [refused.text, server.said()]
    server.end()
    kept = [path for path in server.data.rglob("*") if path.is_file()]
    assert kept
    assert [path for path in kept if CANARY.encode() in path.read_bytes()] == []
    assert [text for text in shown if CANARY in text] == []
    assert all(text and "error" not in text[:10] for text in shown[:2])


PATHS = ("/api/clusters", "/api/clusters/vault", "/api/clusters/vault/env", "/api/clusters/vault/logs", "/api/audit")


def test_a_server_started_again_goes_on_with_what_runs_and_under_another_secret_says_so(tmp_path: Path) -> None:
    server = Served(tmp_path, secret="the first secret of this server", lease_seconds="5", heartbeat_seconds="1")
    server.start()
    puppet = HostingPuppet(server)
    with puppet.connect() as session:
        create(server, "vault", env={"TOKEN": CANARY})
        create(server, "plain")
        puppet.host_all(session, 2)
    server.stop()
    server.start()
    with puppet.connect() as session:
        items = session.hosts(2)
        assert [item.generation for item in items] == [1, 1]
        assert {tuple(session.variables(item).items()) for item in items} == {(("TOKEN", CANARY),), ()}
        session.says(*items)
    server.stop()
    server = changed_secret(server, tmp_path)
    puppet.server = server
    health = server.client.get("/health").json()
    assert [problem["code"] for problem in health["problems"]] == ["secret_changed"]
    with puppet.connect() as session:
        # It is not told to stop what it runs, and nothing new is begun that would lack its variables.
        session.says(*items)
        server.client.post("/api/clusters/vault/stop")
        assert [item.name for item in session.hosts(1)] == ["plain"]
        session.says(*(item for item in items if item.name == "plain"))
        until(server, "vault", lambda app: app["state"] == "stopped")
        server.client.post("/api/clusters/vault/start")
        session.says(*(item for item in items if item.name == "plain"))
        failed = until(server, "vault", lambda app: app["state"] == "failed" and app["reason"] is not None)
        assert failed["reason"]["code"] == "secret_changed"
        assert "ANCHOR_SECRET" in failed["reason"]["hint"]
        assert server.client.put("/api/clusters/vault/env", json={"TOKEN": "another"}).status_code == 202
        assert {"TOKEN": "another"} in [session.variables(item) for item in session.hosts(2)]
    assert server.client.get("/health").json()["problems"] == []
    server.stop()


def changed_secret(server: Served, directory: Path) -> Served:
    again = Served(directory, secret="another secret of this server", lease_seconds="5", heartbeat_seconds="1")
    again.start()
    return again
