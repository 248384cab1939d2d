"""One server with its agent for the tests of the SDK."""

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.cli.command import ANCHOR, START_SECONDS, Cli, url_said_by

from anchor.agent.sandbox.probe import probe
from anchor.client import Client


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server whose node runs native tasks."""
    if probe().level != "confined":
        pytest.skip(f"functions need runtime native, and there is none here: {probe().why}")
    directory = tmp_path_factory.mktemp("lab")
    cli = Cli(directory, "")
    log = directory / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*ANCHOR, "up", "--port", "0", "--data", str(directory / "data"), "--slots", "4"],
            cwd=directory,
            env={name: value for name, value in cli.environment().items() if not name.startswith("ANCHOR_")},
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
        )
    try:
        url = url_said_by(process, log)
        until = time.monotonic() + START_SECONDS
        with Client(url) as client:
            while not any(node.status == "online" for node in client.nodes()):
                assert time.monotonic() < until, log.read_text(encoding="utf-8")
                time.sleep(0.05)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        finally:
            process.kill()
            process.wait()
