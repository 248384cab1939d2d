"""The SDK and files: uploads that go on, downloads that are verified, and names that lead nowhere else."""

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from tests.cli.command import Cli

from anchor.client import AsyncClient, Client
from anchor.client.fetching import PART_SUFFIX, wanted_files
from anchor.core.errors import Conflict, InvalidRequest, NotFound, Unavailable
from anchor.wire.rest import TaskFile

LARGE = 3_000_000


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Breaking(ThreadingHTTPServer):
    """A proxy that passes `room` bytes of each body either way and then cuts the line, `breaks` times."""

    daemon_threads = True

    def __init__(self, url: str, *, breaks: int, room: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = httpx.Client(base_url=url, trust_env=False)
        self.breaks = breaks
        self.room = room
        self.asked: list[tuple[str, str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Breaking
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _pass_on(self) -> None:
        at, length = self.server, int(self.headers.get("content-length", 0))
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() in {"range", "if-range", "content-range"}
        }
        wanted = headers.get("Content-Range", "") or headers.get("Range", "")
        at.asked.append((self.command, self.path, wanted))
        cut = at.breaks > 0 and (length > at.room or (self.command == "GET" and "/blobs/" in self.path))
        at.breaks -= cut
        body = self.rfile.read(min(length, at.room) if cut else length)
        if cut and length:
            with_break = iter([body])
            with contextlib.suppress(httpx.HTTPError):  # it promised more
                at.behind.put(self.path, content=with_break, headers={**headers, "Content-Length": str(length)})
            self.close_connection = True
            return
        answer = at.behind.request(self.command, self.path, content=body or None, headers=headers)
        self.send_response(answer.status_code)
        for name in ("content-type", "content-length", "content-range", "range", "etag"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        if "content-length" not in answer.headers:
            self.send_header("content-length", "0")
        self.end_headers()
        self.wfile.write(answer.content[: at.room] if cut else answer.content)
        self.close_connection = cut

    do_GET = do_PUT = do_HEAD = _pass_on


@pytest.fixture
def breaking(anchor: Cli) -> Iterator[Breaking]:
    proxy = Breaking(anchor.url, breaks=2, room=1_000_000)
    serving = threading.Thread(target=proxy.serve_forever)
    serving.start()
    yield proxy
    proxy.shutdown()
    serving.join()
    proxy.server_close()
    proxy.behind.close()


def test_an_upload_goes_on_where_the_connection_broke(breaking: Breaking, tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    (tmp_path / "large").write_bytes(content)
    with Client(breaking.url) as client:
        assert client.upload(tmp_path / "large") == digest_of(content)
        begun = [int(wanted.split()[1].split("-")[0]) for method, _, wanted in breaking.asked if "-" in wanted]
        assert begun[0] == 0
        assert begun == sorted(begun)
        assert 0 < begun[-1] < LARGE
        assert client.blob(digest_of(content)) == content
        breaking.asked.clear()
        assert client.upload(content) == digest_of(content)
        assert [method for method, _, _ in breaking.asked] == ["HEAD"]


def test_a_download_goes_on_where_the_connection_broke(breaking: Breaking, anchor: Cli, tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    with Client(anchor.url) as client:
        digest = client.upload(content)
    with Client(breaking.url) as client:
        assert client.download(digest, tmp_path / "large").read_bytes() == content
        assert [wanted for _, _, wanted in breaking.asked] == ["", "bytes=1000000-", "bytes=2000000-"]
        assert os.listdir(tmp_path) == ["large"]
        with pytest.raises(Conflict):
            client.download(digest, tmp_path / "large")
        (tmp_path / "large").write_bytes(b"old")
        assert client.download(digest, tmp_path / "large", overwrite=True).read_bytes() == content


def test_what_an_earlier_try_brought_is_used_if_it_is_the_beginning_and_else_fetched_anew(
    anchor: Cli, tmp_path: Path
) -> None:
    content = os.urandom(100_000)
    with Client(anchor.url) as client:
        digest = client.upload(content)
        part = tmp_path / f".{digest}{PART_SUFFIX}"
        for begun in (content[:40_000], content, b""):
            part.write_bytes(begun)
            assert client.download(digest, tmp_path / "x", overwrite=True).read_bytes() == content
        part.write_bytes(b"something else")
        with pytest.raises(Unavailable) as refused:
            client.download(digest, tmp_path / "x", overwrite=True)
        assert refused.value.code == "digest_mismatch"
        assert client.download(digest, tmp_path / "x", overwrite=True).read_bytes() == content
        part.write_bytes(content + b"more")
        assert client.download(digest, tmp_path / "x", overwrite=True).read_bytes() == content
        assert os.listdir(tmp_path) == ["x"]
        with pytest.raises(NotFound):
            client.download("0" * 64, tmp_path / "y")


@pytest.mark.anyio
async def test_the_asyncio_client_says_and_means_the_same(breaking: Breaking, tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    await asyncio.to_thread((tmp_path / "large").write_bytes, content)
    async with AsyncClient(breaking.url) as client:
        digest = await client.upload(tmp_path / "large")
        assert digest == digest_of(content)
        breaking.breaks = 1
        saved = await client.download(digest, tmp_path / "again")
        assert await asyncio.to_thread(saved.read_bytes) == content


def test_a_file_that_is_not_there_is_said_to_be_unreadable(anchor: Cli, tmp_path: Path) -> None:
    with Client(anchor.url) as client, pytest.raises(InvalidRequest) as refused:
        client.upload(tmp_path / "absent")
    assert "cannot be read" in refused.value.message


# --- where files are saved


def file(name: str) -> TaskFile:
    return TaskFile(name=name, size=0, sha256="0" * 64, url=f"/api/tasks/t/files/{name}")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a\0b", "a\\b", "", f".{'0' * 64}{PART_SUFFIX}"])
def test_a_name_that_leads_elsewhere_is_not_saved(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        wanted_files([file("fine"), file(name)], tmp_path / "to", overwrite=True)
    assert refused.value.code == "unsafe_name"
    assert not (tmp_path / "to").exists()


def test_nothing_is_saved_through_a_link_or_over_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    to = tmp_path / "to"
    to.mkdir()
    (to / "link").symlink_to(tmp_path / "elsewhere")
    (to / "dangling").symlink_to(tmp_path / "nowhere")
    (to / "there").write_text("mine")
    for name, overwrite in (("link/x", True), ("there", False), ("dangling", False)):
        with pytest.raises(Conflict):
            wanted_files([file(name)], to, overwrite=overwrite)
    with pytest.raises(InvalidRequest):
        wanted_files([file("there/below")], to, overwrite=True)
    assert os.listdir(tmp_path / "elsewhere") == []
    [wanted] = wanted_files([file("a/b/c")], to, overwrite=False)
    assert wanted.to == to / "a" / "b" / "c"
    assert wanted.to.parent.is_dir()
