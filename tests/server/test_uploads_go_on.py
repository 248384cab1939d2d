"""Blobs come in parts that go on where they broke off, and go out in the ranges that are asked for."""

import hashlib
import os
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from served import Served, assert_problem

MIB = 1 << 20
GIB = 1 << 30


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def send(server: Served, path: str, content: bytes, first: int, last: int, client: httpx.Client | None = None):
    headers = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
    return (client or server.client).put(path, content=content[first : last + 1], headers=headers)


def ask(server: Served, path: str, total: int, client: httpx.Client | None = None) -> httpx.Response:
    return (client or server.client).put(path, headers={"Content-Range": f"bytes */{total}"})


def test_an_upload_goes_on_where_it_broke_off_also_after_the_server_was_killed(own_server: Served) -> None:
    content = os.urandom(3_000_000)
    path = f"/api/blobs/{digest_of(content)}"
    told = ask(own_server, path, len(content))
    assert (told.status_code, told.headers.get("range")) == (308, None)
    part = send(own_server, path, content, 0, 1_999_999)
    assert (part.status_code, part.headers["range"]) == (308, "bytes=0-1999999")
    own_server.kill()
    own_server.start()
    told = ask(own_server, path, len(content))
    assert (told.status_code, told.headers["range"]) == (308, "bytes=0-1999999")
    whole = send(own_server, path, content, 2_000_000, 2_999_999)
    assert (whole.status_code, whole.json()) == (201, {"sha256": digest_of(content), "size": 3_000_000})
    assert own_server.client.get(path).content == content
    assert ask(own_server, path, len(content)).status_code == 201
    assert [path for path in (own_server.data / "parts").rglob("*") if path.is_file()] == []


def test_what_came_before_a_connection_broke_is_kept(server: Served) -> None:
    content = os.urandom(2_000_000)
    path = f"/api/blobs/{digest_of(content)}"
    at = urlsplit(server.url)
    with socket.create_connection((at.hostname, at.port), timeout=10) as line:
        head = f"PUT {path} HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Length: 2000000\r\n"
        line.sendall(f"{head}Content-Range: bytes 0-1999999/2000000\r\n\r\n".encode() + content[:700_000])
    until = 200
    while (told := ask(server, path, len(content))).headers.get("range") != "bytes=0-699999":
        until -= 1
        assert until, told.headers
    assert send(server, path, content, 700_000, 1_999_999).status_code == 201


def test_a_part_at_the_wrong_place_is_told_where_to_go_on(server: Served) -> None:
    content = os.urandom(1000)
    path = f"/api/blobs/{digest_of(content)}"
    early = send(server, path, content, 500, 999)
    assert_problem(early, 409, "wrong_offset", says="0 bytes", hints="byte 0")
    assert early.json()["offset"] == 0
    send(server, path, content, 0, 299)
    again = send(server, path, content, 0, 299)
    assert_problem(again, 409, "wrong_offset", hints="byte 300")
    assert (again.json()["offset"], again.headers["range"]) == (300, "bytes=0-299")
    assert send(server, path, content, 300, 999).status_code == 201


def test_parts_that_do_not_add_up_to_the_digest_are_dropped(server: Served) -> None:
    content = os.urandom(1000)
    path = "/api/blobs/" + "1" * 64
    send(server, path, content, 0, 499)
    assert_problem(send(server, path, content, 500, 999), 422, "digest_mismatch", hints="from the first on")
    assert ask(server, path, 1000).headers.get("range") is None
    assert server.client.get(path).status_code == 404


@pytest.mark.parametrize(
    "text",
    ["", "bytes 0-9", "bytes 5-4/10", "bytes 0-10/10", "lines 0-9/10", "bytes -1-9/10", "bytes 0-9/*", "bytes 0-9/x"],
)
def test_a_content_range_that_makes_no_sense_is_refused(server: Served, text: str) -> None:
    answer = server.client.put("/api/blobs/" + "2" * 64, content=b"0123456789", headers={"Content-Range": text})
    assert_problem(answer, 400, "invalid_range", hints="bytes 0-1048575/4194304")


def test_a_body_that_is_not_as_long_as_its_range_is_refused(server: Served) -> None:
    for digest, content in (("3" * 64, b"123"), ("6" * 64, b"x" * 15)):
        headers = {"Content-Range": "bytes 0-9/20"}
        answer = server.client.put(f"/api/blobs/{digest}", content=content, headers=headers)
        assert_problem(answer, 400, "range_mismatch")


def test_blobs_beyond_the_limit_are_refused_before_they_are_sent(server: Served) -> None:
    at = urlsplit(server.url)
    for field in (f"Content-Length: {GIB + 1}", f"Content-Length: 5\r\nContent-Range: bytes 0-4/{GIB + 1}"):
        with socket.create_connection((at.hostname, at.port), timeout=10) as line:
            head = f"PUT /api/blobs/{'4' * 64} HTTP/1.1\r\nHost: {at.netloc}\r\nExpect: 100-continue\r\n{field}\r\n\r\n"
            line.sendall(head.encode())
            answer = line.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 413"), answer
            assert b"100 Continue" not in answer
    with socket.create_connection((at.hostname, at.port), timeout=10) as line:
        path = f"/api/blobs/{digest_of(b'hello')}"
        line.sendall(
            f"PUT {path} HTTP/1.1\r\nHost: {at.netloc}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n".encode()
        )
        assert line.recv(65_536).startswith(b"HTTP/1.1 100")
        line.sendall(b"hello")
        assert line.recv(65_536).startswith(b"HTTP/1.1 201")


def test_two_uploads_of_one_blob_at_once_end_in_one_blob(server: Served) -> None:
    content = os.urandom(4 * MIB)
    path = f"/api/blobs/{digest_of(content)}"
    codes: list[int] = []

    def bring() -> None:
        with server.as_holder_of(None) as client:
            codes.append(send(server, path, content, 0, len(content) - 1, client).status_code)

    uploads = [threading.Thread(target=bring) for _ in range(4)]
    for one in uploads:
        one.start()
    for one in uploads:
        one.join()
    assert set(codes) <= {201, 409}
    assert 201 in codes
    assert server.client.get(path).content == content


def test_owners_do_not_go_on_with_each_others_parts(server: Served) -> None:
    content = os.urandom(1000)
    path = f"/api/blobs/{digest_of(content)}"
    with (
        server.as_holder_of(server.key("ann", "submitter")) as ann,
        server.as_holder_of(server.key("bob", "submitter")) as bob,
    ):
        assert send(server, path, content, 0, 499, ann).headers["range"] == "bytes=0-499"
        assert ask(server, path, 1000, bob).headers.get("range") is None


def test_a_flood_of_bytes_is_not_kept_in_memory(own_server: Served) -> None:
    total = 96 * MIB
    digest = hashlib.sha256()
    for _ in range(96):
        digest.update(bytes(MIB))

    def zeros():
        for _ in range(96):
            yield bytes(MIB)

    before = own_server.memory_mib()
    path = f"/api/blobs/{digest.hexdigest()}"
    headers = {"Content-Range": f"bytes 0-{total - 1}/{total}", "Content-Length": str(total)}
    assert own_server.client.put(path, content=zeros(), headers=headers).status_code == 201
    with own_server.client.stream("GET", path) as answer:
        assert sum(len(chunk) for chunk in answer.iter_raw()) == total
    assert own_server.memory_mib() - before < 40


# --- downloads


@pytest.fixture(scope="module")
def blob(server: Served) -> tuple[str, bytes]:
    content = os.urandom(700_000)
    path = f"/api/blobs/{digest_of(content)}"
    assert server.client.put(path, content=content).status_code == 201
    return path, content


@pytest.mark.parametrize(
    ("wanted", "first", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-", 10, 700_000),
        ("bytes=-5", 699_995, 700_000),
        ("bytes=-9999999", 0, 700_000),
        ("bytes=300000-9999999", 300_000, 700_000),
        ("bytes=0-699999", 0, 700_000),
    ],
)
def test_a_range_is_answered_with_those_bytes(
    server: Served, blob: tuple[str, bytes], wanted: str, first: int, end: int
) -> None:
    path, content = blob
    answer = server.client.get(path, headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {first}-{end - 1}/700000"
    assert answer.content == content[first:end]
    assert int(answer.headers["content-length"]) == end - first


@pytest.mark.parametrize("wanted", ["bytes=700000-", "bytes=-0", "bytes=99999999-999999999"])
def test_a_range_outside_of_the_bytes_is_said_to_be(server: Served, blob: tuple[str, bytes], wanted: str) -> None:
    answer = server.client.get(blob[0], headers={"Range": wanted})
    assert_problem(answer, 416, "range_not_satisfiable", says="700,000 bytes")
    assert answer.headers["content-range"] == "bytes */700000"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Range": "bytes=0-1,5-6"},
        {"Range": "bytes=5-4"},
        {"Range": "bytes=-"},
        {"Range": "lines=1-2"},
        {"Range": "bytes=0-1", "If-Range": '"another"'},
    ],
)
def test_without_one_range_that_can_be_read_everything_comes(
    server: Served, blob: tuple[str, bytes], headers: dict[str, str]
) -> None:
    answer = server.client.get(blob[0], headers=headers)
    assert (answer.status_code, answer.content) == (200, blob[1])


def test_what_goes_out_is_named_whole_and_no_page_of_this_site(server: Served, blob: tuple[str, bytes]) -> None:
    path, content = blob
    answer = server.client.head(path)
    digest = path.rpartition("/")[2]
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "700000"
    assert (answer.headers["etag"], answer.headers["accept-ranges"]) == (f'"{digest}"', "bytes")
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["content-security-policy"] == "sandbox"
    again = server.client.get(path, headers={"Range": "bytes=5-9", "If-Range": f'"{digest}"'})
    assert (again.status_code, again.content) == (206, content[5:10])


def test_parts_and_blobs_of_a_stranger_are_not_let_in(tmp_path: Path, server: Served) -> None:
    with server.as_holder_of("anc_nobody") as stranger:
        answer = ask(server, "/api/blobs/" + "5" * 64, 10, stranger)
    assert_problem(answer, 401, "invalid_token")
