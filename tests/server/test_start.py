"""A server that cannot start says why, what to do about it, and leaves alone what is there."""

import os
import socket
from pathlib import Path

import pytest
from served import Served

CONFLICT = 5
UNREACHABLE = 7


def refuses_to_start(server: Served, says: str) -> int | None:
    with pytest.raises(AssertionError, match=says):
        server.start()
    assert "Hint: " in server.said()
    assert server.mistakes() == []
    return server.status


def test_one_data_directory_has_one_server(own_server: Served, tmp_path: Path) -> None:
    task = own_server.submit(requirements={"labels": ["nowhere"]})
    second = Served(tmp_path / "second")
    (tmp_path / "second").mkdir()
    second.data.symlink_to(own_server.data)
    assert refuses_to_start(second, "data") == CONFLICT
    assert own_server.task(task)["state"] == "queued"
    assert own_server.is_well()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refuses_to_start(Served(tmp_path, port=port), rf"127.0.0.1:{port}(.|\n)*--port") == CONFLICT


def test_an_address_of_another_machine_is_named(tmp_path: Path) -> None:
    assert refuses_to_start(Served(tmp_path, host="192.0.2.1"), r"192.0.2.1") == CONFLICT


def test_a_data_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    server = Served(tmp_path)
    server.data.write_text("something else")
    assert refuses_to_start(server, "data") == UNREACHABLE
    assert server.data.read_text() == "something else"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    server = Served(tmp_path)
    server.data.mkdir(mode=0o500)
    assert refuses_to_start(server, "--data") == UNREACHABLE


def test_a_database_that_is_none_is_left_as_it_is(tmp_path: Path) -> None:
    server = Served(tmp_path)
    server.data.mkdir()
    (server.data / "anchor.db").write_bytes(b"these are somebody's notes" * 1000)
    refuses_to_start(server, "damaged")
    assert (server.data / "anchor.db").read_bytes() == b"these are somebody's notes" * 1000
