"""What the tests with killed processes share: a server, and two agents connected to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.fleet import Agent, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start_and_wait()
    yield server
    server.kill()


@pytest.fixture
def agents(tmp_path: Path, server: Server) -> Iterator[list[Agent]]:
    # Two: a task that goes down with three different agents is given up as poison, which these are not.
    agents = [Agent(tmp_path, server, f"agent{number}") for number in range(2)]
    for agent in agents:
        agent.join()
    for agent in agents:
        agent.wait_until_online()
    yield agents
    for agent in agents:
        agent.kill()
