"""Bad apps: each comes to a clear end with a reason and a hint, within a bounded time, and none harms its neighbour."""

import contextlib
import io
import select
import socket
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.network import Network, View, a_network_with
from tests.acceptance.small_apps import (
    ANSWERING,
    CRASHING,
    ELSEWHERE,
    FAILING_BUILD,
    FLOODING,
    HUNGRY,
    MANY,
    SILENT,
)
from tests.system.fleet import free_port

END_SECONDS = 45.0
NEIGHBOUR_SECONDS = 5.0
"""On a machine that is busy with other tests as well: nothing hangs."""
"""The neighbour's slowest answer in a hundred."""
MIB, GIB = 1 << 20, 1 << 30

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network_with(tmp_path_factory.mktemp("bad"), lease_seconds=30) as network:
        network.create("neighbour", ANSWERING)
        network.running("neighbour")
        yield network


@dataclass(frozen=True)
class Bad:
    """An app, and what its owner has to be told: the code, and words of the message and the hint."""

    files: dict[str, str]
    code: str
    says: str
    config: dict[str, Any] = field(default_factory=dict)


QUICK = {"startSeconds": 3}
FAILING = {
    "silent": Bad(SILENT, "never_listened", "8080", QUICK),
    "elsewhere": Bad(ELSEWHERE, "wrong_port", "3333", QUICK),
    "crashing": Bad(CRASHING, "crash_loop", "the cupboard is bare"),
    "hungry": Bad(HUNGRY, "memory_limit", "128", {"ram": "128MB"}),
    "unbuildable": Bad(ANSWERING, "build_failed", "no such thing", {"build": FAILING_BUILD}),
}


def test_apps_that_fail_say_why_and_their_neighbour_answers_meanwhile(network: Network) -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = taken.getsockname()[1]
    bad = FAILING | {"displaced": Bad(ANSWERING, "port_in_use", str(port), {"port": port})}
    with contextlib.closing(taken), network.load("neighbour", rate=25) as load:
        for name, app in bad.items():
            network.create(name, app.files, config=app.config)
        with ThreadPoolExecutor(len(bad)) as threads:
            views = dict(zip(bad, threads.map(lambda name: failed(network, name), bad), strict=True))
    for name, app in bad.items():
        reason = views[name]["reason"]
        assert reason["code"] == app.code, reason
        assert app.says in f"{reason['message']} {reason.get('hint', '')}", reason
        assert reason["hint"], reason
        answer = network.get(name)
        assert (answer.status_code, answer.headers["retry-after"] > "") == (503, True)
    assert not load.counts.failed, load.counts.said()
    assert load.counts.percentile(0.99) < NEIGHBOUR_SECONDS, load.counts.said()


def test_apps_that_flood_or_multiply_are_bounded_and_their_neighbour_answers_meanwhile(network: Network) -> None:
    with network.load("neighbour", rate=25) as load:
        for name, files in {"flooding": FLOODING, "many": MANY}.items():
            network.create(name, files)
        network.running("flooding")
        network.until("many", lambda view: refused(network) > 0 or view["state"] == "failed", END_SECONDS)
        assert network.get("flooding").text == "here"
        lines = network.log("flooding")
        assert len(lines) < 4 << 20
        for name in ("flooding", "many"):
            network.do(name, "stop")
            network.until(name, lambda view: view["state"] == "stopped")
    assert not load.counts.failed, load.counts.said()
    assert load.counts.percentile(0.99) < NEIGHBOUR_SECONDS, load.counts.said()
    assert "sleep" not in [process.name() for process in network.everything()]


def failed(network: Network, name: str) -> View:
    """An app once it has failed."""
    return network.until(name, lambda view: view["state"] == "failed", END_SECONDS)


def refused(network: Network) -> int:
    """How many processes an app was refused."""
    answer = network.get("many")
    return int(answer.json()["refused"]) if answer.status_code == 200 else 0


def test_two_apps_that_want_one_port_are_told_so(network: Network) -> None:
    port = free_port()
    network.create("first", ANSWERING, config={"port": port})
    network.running("first")
    network.create("second", ANSWERING, config={"port": port})
    view = network.until("second", lambda view: view["reason"] is not None)
    assert str(port) in view["reason"]["message"], view["reason"]
    for name in ("first", "second"):
        network.http.delete(f"/api/clusters/{name}").raise_for_status()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"config": {"port": 0}}, "/config/port"),
        ({"config": {"port": 65_536}}, "/config/port"),
        ({"config": {"port": "8080"}}, "/config/port"),
        ({"config": {"ram": "lots"}}, "/config/ram"),
        ({"config": {"cpu": 0}}, "/config/cpu"),
        ({"config": {"prot": 8080}}, "/config/prot"),
        ({"name": "!!!"}, "/name"),
        ({"name": "a" * 300}, "/name"),
        ({"type": "Toaster"}, "/type"),
    ],
)
def test_a_request_that_is_wrong_is_told_where(network: Network, change: dict[str, Any], pointer: str) -> None:
    body = {"name": "wrong", "type": "Web", "config": {}, "files": ANSWERING} | change
    problem = network.http.post("/api/clusters", json=body)
    assert problem.status_code == 400, problem.text
    assert [one["pointer"] for one in problem.json()["errors"]] == [pointer]
    assert network.http.get("/api/clusters/wrong").status_code == 404


def a_zip(*names: str, content: bytes = b"x", links: str = "") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.html", "<h1>hello</h1>")
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            if links:
                entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, links.encode() or content)
    return packed.getvalue()


def a_tar(name: str, *, kind: bytes, target: str = "") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, target
        archive.addfile(entry)
    return packed.getvalue()


HOSTILE = {
    "a path that climbs": (a_zip("../../evil.js"), "evil.js"),
    "an absolute path": (a_zip("/etc/evil.js"), "evil.js"),
    "a drive": (a_zip("C:\\evil.js"), "evil.js"),
    "a link that leaves": (a_zip("leak", links="../../../etc/passwd"), "leak"),
    "a hard link that leaves": (a_tar("leak", kind=tarfile.LNKTYPE, target="/etc/passwd"), "leak"),
    "a device": (a_tar("zero", kind=tarfile.CHRTYPE), "zero"),
    "a bomb": (a_zip("zeros.bin", content=bytes(64 << 20)), "zeros.bin"),
    "no archive": (b"hello " * 100, ""),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_archive_that_means_harm_is_refused_by_name(network: Network, kind: str, tmp_path: Path) -> None:
    packed, entry = HOSTILE[kind]
    problem = network.http.post("/api/clusters/neighbour/deploy", content=packed)
    assert problem.status_code == 422, problem.text
    assert entry in problem.text
    assert problem.json()["hint"]
    assert network.get("neighbour").status_code == 200


def test_a_folder_that_is_no_app_is_refused_at_once(network: Network, tmp_path: Path) -> None:
    (tmp_path / "shopping.txt").write_text("milk")
    done = network.anchor("app", "deploy", str(tmp_path), "--name", "shopping")
    assert done.returncode == 6, done
    assert "package.json" in done.stderr
    assert "Traceback" not in done.stderr
    assert network.http.get("/api/clusters/shopping").status_code == 404


def test_a_build_that_fails_shows_its_last_lines_at_the_terminal(network: Network, tmp_path: Path) -> None:
    for name, text in ANSWERING.items():
        (tmp_path / name).write_text(text)
    done = network.anchor("app", "deploy", str(tmp_path), "--name", "broken", "--build", FAILING_BUILD)
    assert done.returncode == 1, done
    assert "one two" in done.stderr
    assert "no such thing" in done.stderr


@pytest.mark.parametrize("length", ["said", "unsaid"])
def test_a_gigabyte_is_refused_before_it_is_all_there(network: Network, length: str) -> None:
    framing = f"Content-Length: {GIB}" if length == "said" else "Transfer-Encoding: chunked"
    piece = bytes(MIB) if length == "said" else b"100000\r\n" + bytes(MIB) + b"\r\n"
    sent = 0
    with network.socket() as line:
        line.sendall(f"POST /api/clusters/neighbour/deploy HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
        while sent < GIB and not select.select([line], [], [], 0)[0]:
            line.sendall(piece)
            sent += MIB
        assert line.recv(MIB).startswith(b"HTTP/1.1 413 ")
    assert sent <= (16 if length == "said" else 300) * MIB
    stored = sum(path.stat().st_size for path in network.server.data.rglob("*") if path.is_file())
    assert stored < 64 * MIB
    assert len(network.app("neighbour")["releases"]) == 1
