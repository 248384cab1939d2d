"""The server of static sites: types, tags, ranges, its own pages for what is missing, and nothing from outside."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from anchor.agent.apps import static_server

BIG = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web") / "site"
    (folder / "docs").mkdir(parents=True)
    (folder.parent / "secret.txt").write_text("secret")
    for name, text in {
        "index.html": "home",
        "docs/index.html": "docs",
        "about.html": "about",
        "style.css": "a{}",
        "app.mjs": "1",
        "404.html": "nothing here",
        ".env": "KEY=1",
        "a b.txt": "spaced",
    }.items():
        (folder / name).write_text(text)
    (folder / "big.bin").write_bytes(BIG)
    (folder / "out").symlink_to("../secret.txt")
    (folder / "in").symlink_to("style.css")
    return folder


@pytest.fixture(scope="module")
def port(site: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-I", "-S", static_server.__file__, str(site), str(port)])
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    yield port
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": "x", **headers}.items():
        line.putheader(name.replace("_", "-"), value)
    line.endheaders()
    answer = line.getresponse()
    body = answer.read()
    line.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/", "text/html; charset=utf-8", b"home"),
        ("/?a=1", "text/html; charset=utf-8", b"home"),
        ("/docs/", "text/html; charset=utf-8", b"docs"),
        ("/about", "text/html; charset=utf-8", b"about"),
        ("/style.css", "text/css; charset=utf-8", b"a{}"),
        ("/app.mjs", "text/javascript; charset=utf-8", b"1"),
        ("/a%20b.txt", "text/plain; charset=utf-8", b"spaced"),
        ("/in", "application/octet-stream", b"a{}"),
        ("/big.bin", "application/octet-stream", BIG),
    ],
)
def test_a_file_is_served_with_its_type(port: int, path: str, kind: str, body: bytes) -> None:
    status, headers, content = ask(port, path)
    assert (status, headers["content-type"], content) == (200, kind, body)
    status, head, nothing = ask(port, path, "HEAD")
    assert (status, head["content-length"], nothing) == (200, str(len(body)), b"")


def test_a_folder_is_found_with_its_slash(port: int) -> None:
    assert ask(port, "/docs?x=1")[1]["location"] == "/docs/?x=1"
    assert ask(port, "//docs")[1]["location"] == "/docs/"


@pytest.mark.parametrize(
    "path",
    [
        "/gone",
        "/.env",
        "/out",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/docs/..%2f..%2fsecret.txt",
        "/%ff",
        "/a%00",
        "/docs/../.env",
    ],
)
def test_what_is_not_there_or_not_for_visitors_gets_the_sites_own_page(port: int, path: str) -> None:
    status, _, body = ask(port, path)
    assert (status, body) == (404, b"nothing here")


@pytest.mark.parametrize("path", ["/style.css", "/big.bin"])
def test_what_a_visitor_has_is_not_sent_again(port: int, path: str) -> None:
    _, headers, _ = ask(port, path)
    assert ask(port, path, If_None_Match=f'"other", {headers["etag"]}')[::2] == (304, b"")
    assert ask(port, path, If_Modified_Since=headers["last-modified"])[0] == 304
    assert ask(port, path, If_None_Match='"other"', If_Modified_Since=headers["last-modified"])[0] == 200
    assert ask(port, path, If_Modified_Since="nonsense")[0] == 200


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=10-19", 206, BIG[10:20]),
        (f"bytes={len(BIG) - 5}-", 206, BIG[-5:]),
        ("bytes=-3", 206, BIG[-3:]),
        ("bytes=0-99999999", 206, BIG),
        (f"bytes={len(BIG)}-", 416, b""),
        ("bytes=5-1", 200, BIG),
        ("bytes=0-1,4-5", 200, BIG),
        ("lines=1-2", 200, BIG),
    ],
)
def test_parts_of_a_file_are_sent(port: int, asked: str, status: int, body: bytes) -> None:
    assert ask(port, "/big.bin", Range=asked)[::2] == (status, body)
    assert ask(port, "/big.bin", Range=asked, If_Range='"other"')[::2] == (200, BIG)


def test_only_reading_is_understood_and_nonsense_is_refused(port: int) -> None:
    assert ask(port, "/", "POST")[0] == 405
    assert ask(port, "/", "DELETE")[1]["allow"] == "GET, HEAD"
    for raw in (
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n a: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nx : y\r\n\r\n",
        b"\x16\x03\x01" * 99 + b"\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), 10) as line:
            line.sendall(raw)
            assert line.makefile("rb").readline().startswith(b"HTTP/1.1 400 ")
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        line.sendall(b"GET / HTTP/1.1\r\nA: " + b"x" * 40_000)
        assert line.makefile("rb").readline().startswith(b"HTTP/1.1 431 ")


def test_requests_on_one_connection_are_answered_in_order_also_behind_a_large_file(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        line.sendall(b"GET /big.bin HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = line.makefile("rb").read()
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(b"\r\n\r\nhome")
    assert BIG in answer


def test_a_changed_file_is_served_as_it_is_now(port: int, site: Path) -> None:
    (site / "news.txt").write_text("old")
    first = ask(port, "/news.txt")
    fresh = site / "news.new"
    fresh.write_text("new, and longer")
    os.replace(fresh, site / "news.txt")
    second = ask(port, "/news.txt", If_None_Match=first[1]["etag"])
    assert (first[2], second[0], second[2]) == (b"old", 200, b"new, and longer")


def test_a_page_for_every_route_is_used_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "200.html").write_text("routes")
    (tmp_path / "404.html").write_text("none")
    found = static_server.Site(str(tmp_path)).fallback()
    assert found is not None
    assert (found.status.value, Path(found.path).name) == (200, "200.html")
