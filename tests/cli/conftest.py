"""One server with its agent, as a user starts them, for all tests of this directory."""

import signal
import subprocess
from collections.abc import Iterator

import pytest
from tests.cli.command import ANCHOR, Cli, url_said_by


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
        yield cli
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0
