"""`anchor up` and its kin as processes: the tour, an open address, and starts that cannot work."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.command import ANCHOR, Cli, exit_code_in_process, url_said_by


def test_the_tour_runs_real_work_and_ends_well(tmp_path: Path) -> None:
    cli = Cli(tmp_path, "")
    done = cli("up", "--demo", "--once", "--port", "0", seconds=60, ANCHOR_URL="http://127.0.0.1:1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('"count":78498') >= 2
    assert "it took 3 attempts" in done.stdout
    assert "That was the tour" in done.stdout
    assert "That is the dashboard, for a browser" in done.stderr
    assert "stays up" not in done.stderr  # It does not, here.
    assert "Traceback" not in done.stderr


def test_on_an_open_address_everybody_needs_a_token_and_the_owner_has_it(tmp_path: Path) -> None:
    cli = Cli(tmp_path, "")
    log = tmp_path / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*ANCHOR, "server", "--host", "0.0.0.0", "--port", "0"],
            env=cli.environment(),
            stderr=file,
            stdin=subprocess.DEVNULL,
        )
    try:
        cli.url = url_said_by(process, log)
        token = tmp_path / "data" / "admin-token"
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert cli("task", "ls", ANCHOR_DATA=str(tmp_path / "other")).returncode == 4
        assert cli("task", "ls").returncode == 0
        command = cli("node", "token").stdout.split()
        assert command[:2] == ["anchor", "join"]
        agent = subprocess.Popen(
            [*ANCHOR, "join", cli.url, command[3], "--data", str(tmp_path / "joined"), "--name", "Second"],
            env=cli.environment(),
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        try:
            assert agent.stderr is not None
            while b"connected" not in (line := agent.stderr.readline()):
                assert line, "the agent ended"
            assert "SEC-" in cli("node", "ls").stdout
            again = cli("join", cli.url, command[3], "--data", str(tmp_path / "third"))
            assert again.returncode == 4
            assert "was used before" in again.stderr
            other, data = cli("node", "token").stdout.split()[3], str(tmp_path / "fourth")
            later = cli("join", cli.url, other, "--no-start", "--data", data)
            assert f"is started with `anchor agent {cli.url} --data {data}`" in later.stderr
        finally:
            agent.send_signal(signal.SIGINT)
            agent.communicate(timeout=20)
        assert agent.returncode == 0
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
    assert process.returncode == 0


def test_a_port_in_use_and_a_data_directory_in_use_are_said_so(anchor: Cli, tmp_path: Path) -> None:
    port = anchor.url.rpartition(":")[2]
    taken = anchor("up", "--port", port, "--data", str(tmp_path / "free"))
    assert taken.returncode == 5
    assert f":{port}" in taken.stderr
    locked = anchor("server", "--port", "0")
    assert locked.returncode == 5
    assert "in use by another Anchor server" in locked.stderr


@pytest.mark.parametrize(
    ("words", "variables", "code", "says"),
    [
        (["up", "--port", "99999"], {}, 2, "--port is 99999"),
        (["up", "--once"], {}, 2, "--once ends the tour"),
        (["server"], {"ANCHOR_PROT": "1"}, 2, "ANCHOR_PROT"),
        (["server"], {"JWT_SECRET": "changeme"}, 2, "JWT_SECRET"),
        (["server"], {"REDIS_HOST": "db"}, 2, "belongs to one server"),
    ],
)
def test_a_start_that_cannot_work_says_what_to_change(
    words: list[str],
    variables: dict[str, str],
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert exit_code_in_process(words, variables, monkeypatch) == code
    printed, said = capfd.readouterr()
    assert printed == ""
    assert says in said
    assert "Hint:" in said


def test_an_agent_without_a_server_says_so(tmp_path: Path) -> None:
    done = Cli(tmp_path, "")("agent", "http://127.0.0.1:1")
    assert done.returncode == 7
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_directory_without_write_permission_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    done = Cli(tmp_path, "")("up", "--data", str(closed / "data"))
    assert done.returncode == 7
    assert str(closed) in done.stderr


def test_the_doctor_examines_this_machine(tmp_path: Path) -> None:
    done = Cli(tmp_path, "http://127.0.0.1:1")("doctor", "-o", "json")
    assert '"name": "Runtime isolate"' in done.stdout
    assert done.returncode == 1
    assert "No Anchor server answers" in done.stdout
