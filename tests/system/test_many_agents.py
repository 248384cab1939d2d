"""Many agents of one server: they come back one by one, nobody else notices, and a server that stops lets them go."""

import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.system.crowds import Crowd, busiest_second
from tests.system.fleet import Server

STORM = 200
BACK_SECONDS = 30.0
SHARE_MAX = 0.4
"""No second may see more of the reconnects than this."""
NOTHING = {"name": "nothing", "type": "noop", "requirements": {"labels": ["nobody"]}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("many"), lease_seconds=15, heartbeat_seconds=1)
    server.start_and_wait()
    yield server
    server.kill()


class Submitter(threading.Thread):
    """Submits one task after the other and notes how long each took."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._enough = threading.Event()
        self.took: list[float] = []

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30, trust_env=False) as client:
            while not self._enough.is_set():
                begun = time.monotonic()
                client.post("/api/tasks", json=NOTHING).raise_for_status()
                self.took.append(time.monotonic() - begun)
                time.sleep(0.02)

    def p99(self) -> float:
        self._enough.set()
        self.join(30)
        return sorted(self.took)[len(self.took) * 99 // 100]


def test_200_agents_dropped_at_once_come_back_spread_while_submits_and_heartbeats_go_on(server: Server) -> None:
    with Crowd(server.url, 20) as others, Crowd(server.url, STORM) as crowd:
        others.wait_until_connected()
        crowd.wait_until_connected()
        submitter = Submitter(server.url)
        submitter.start()
        at = crowd.drop()
        crowd.wait_for(lambda: len(crowd.after(at, "lost")) == STORM, 10)
        crowd.wait_until_connected(BACK_SECONDS)
        back = [seconds for seconds, _, _ in crowd.after(at, "connected")]
        assert len(back) == STORM
        assert max(back) < BACK_SECONDS
        assert busiest_second(back) <= SHARE_MAX
        assert submitter.p99() < 1.0
        assert others.connected == {node for _, node, _, _ in others.events if node}
        assert max(took for _, _, took in others.after(at, "renewed")) < 3.0


def test_without_the_spread_most_would_come_back_in_the_same_second(server: Server) -> None:
    with Crowd(server.url, 60, jitter=False) as crowd:
        crowd.wait_until_connected()
        at = crowd.drop()
        crowd.wait_for(lambda: len(crowd.after(at, "lost")) == crowd.count, 10)
        crowd.wait_until_connected(BACK_SECONDS)
        assert busiest_second([seconds for seconds, _, _ in crowd.after(at, "connected")]) > SHARE_MAX


def test_a_server_that_stops_lets_a_hundred_agents_go_and_they_are_back_when_it_is(server: Server) -> None:
    with Crowd(server.url, 100) as crowd:
        crowd.wait_until_connected()
        asked = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - asked < 10
        crowd.wait_for(lambda: not crowd.connected, 10)
        assert max(seconds for seconds, _, _ in crowd.after(asked, "lost")) < 10
        server.start_and_wait()
        crowd.wait_until_connected(BACK_SECONDS)
