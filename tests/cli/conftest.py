"""One server with its agent, as a user starts them, for all tests of this directory."""

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.cli.command import ANCHOR, START_SECONDS, Cli, url_said_by

from anchor.client import Client


@pytest.fixture(scope="session", autouse=True)
def heeding_ctrl_c() -> Iterator[None]:
    """What is started here heeds Ctrl-C, even where whoever started pytest has it ignored: that would be passed on."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def anchor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    directory = tmp_path_factory.mktemp("cli")
    cli = Cli(directory, "")
    log = directory / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*ANCHOR, "up", "--port", "0", "--data", str(directory / "data"), "--label", "lab", "--slots", "2"],
            cwd=directory,
            env={name: value for name, value in cli.environment().items() if not name.startswith("ANCHOR_")},
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
        )
    try:
        cli.url = url_said_by(process, log)
        _wait_for_the_agent(cli.url)
        yield cli
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0


def _wait_for_the_agent(url: str) -> None:
    until = time.monotonic() + START_SECONDS
    with Client(url) as client:
        while not any(node.status == "online" for node in client.nodes()):
            assert time.monotonic() < until, "the local agent did not connect"
            time.sleep(0.05)
