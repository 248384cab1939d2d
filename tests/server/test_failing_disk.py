"""A disk that cannot be written to is trouble of the server's own: nobody else is sent away for it."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from puppet import Puppet
from served import Served

from anchor.wire.link import Challenge, Refused

if sys.platform != "linux":
    pytest.skip("only Linux can bound another process's files", allow_module_level=True)
import resource


@contextlib.contextmanager
def no_file_may_grow(pid: int) -> Iterator[None]:
    """As a disk that fails: writes of this process are errors from here on."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    server.start()
    yield server
    server.kill()


def test_an_agent_that_comes_meanwhile_is_told_to_come_back_and_then_welcome(server: Served) -> None:
    puppet = Puppet(server)
    with no_file_may_grow(server.pid), puppet.call() as session:
        session.send(puppet.hello(session.next(Challenge).nonce))
        refused = session.next(Refused)
        assert refused.code == "database_error"
        assert refused.retry_after
    with puppet.connect() as session:
        assert session.number


def test_submits_are_refused_meanwhile_and_what_was_there_is_served_again_without_a_restart(server: Served) -> None:
    kept = server.submit()
    with no_file_may_grow(server.pid):
        answer = server.client.post("/api/tasks", json={"name": "t", "type": "noop"})
        assert (answer.status_code, answer.json()["code"]) == (503, "database_error")
        assert server.task(kept)["state"] == "queued"
    server.submit()
    until = time.monotonic() + 30
    while not server.is_well():
        assert time.monotonic() < until, server.client.get("/health").text
        time.sleep(0.1)
    assert server.task(kept)["state"] == "queued"
