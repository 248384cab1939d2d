"""A server is killed while it deploys, drains and goes back: what was asked for comes about all the same."""

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.acceptance.network import Network, View
from tests.engines.mongo import running_mongo
from tests.engines.valkey import running_valkey
from tests.system.fleet import GIVE_UP_SECONDS

CONFIG = {"ram": "64MB", "scale": {"web": 2}, "drainSeconds": 0.5}
UNDER_WAY = {"placed", "building", "starting"}


def files(text: str) -> dict[str, str]:
    return {"index.html": f"<p>{text}</p>"}


@contextlib.contextmanager
def shared(directory: Path) -> Iterator[dict[str, Any]]:
    """The settings of a server on engines that servers can share."""
    with running_mongo(directory / "mongo") as mongo, running_valkey(directory / "valkey") as valkey:
        yield {"store": mongo.url_of("killed"), "queue": valkey.url, "secret": secrets.token_urlsafe(32)}


class Killed(Network):
    """A network whose server is killed whenever something is under way; one agent, which lives on."""

    def kill_once(self, holds: Callable[[View], bool]) -> None:
        """kill -9 the server as soon as something holds of the app, and start it again."""
        self.until("killed", holds)
        self.server.kill()
        self.server.start_and_wait()

    def until(self, name: str, holds: Callable[[View], bool], seconds: float = GIVE_UP_SECONDS) -> View:
        return super().until(name, lambda view: one_healthy_a_place(view) and holds(view), seconds)

    def live(self, release: int) -> View:
        """The app once this release is the one that serves, whole, and nothing else is left of it."""
        return self.until(
            "killed",
            lambda view: (
                (view["state"], view["live"], view["ready"]) == ("running", release, 2) and len(view["replicas"]) == 2
            ),
        )

    def programs(self) -> set[int]:
        """The processes that the agent has started."""
        return {child.pid for child in psutil.Process(self.agents[0].pid).children(recursive=True)}


def one_healthy_a_place(view: View) -> bool:
    """Invariant 19, of what a server shows; raises where it does not hold."""
    healthy = [one for one in view["replicas"] if one["state"] == "healthy"]
    places = Counter((one["process"], one["index"]) for one in healthy)
    assert not places or max(places.values()) == 1, view["replicas"]
    generations = [one["generation"] for one in view["replicas"]]
    assert len(set(generations)) == len(generations), view["replicas"]
    return True


@pytest.mark.timeout(180)
def test_19_a_server_killed_while_it_deploys_drains_and_goes_back_brings_it_to_its_end(tmp_path: Path) -> None:
    """On engines that servers can share; tests/acceptance kills one on its embedded store."""
    # The waits of an agent that is cut off are in proportion to the lease.
    with shared(tmp_path) as settings, Killed(tmp_path, lease_seconds=2, **settings) as network:
        idle = network.programs()
        network.create("killed", files("one"), config=CONFIG)
        network.kill_once(lambda view: any(one["state"] in UNDER_WAY for one in view["replicas"]))
        first = network.live(1)
        network.release("killed", files("two"))
        network.kill_once(lambda view: {one["release"] for one in view["replicas"]} == {1, 2})
        second = network.live(2)
        network.do("killed", "rollback")
        network.server.kill()
        network.server.start_and_wait()
        third = network.live(3)
        assert third["releases"][-1]["of"] == 1, third
        generations = [{one["generation"] for one in view["replicas"]} for view in (first, second, third)]
        assert max(generations[0]) < min(generations[1]), "a generation came back"
        assert max(generations[1]) < min(generations[2]), "a generation came back"
        network.http.delete("/api/clusters/killed").raise_for_status()
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while network.http.get("/api/clusters/killed").status_code != 404 or network.programs() - idle:
            assert time.monotonic() < deadline, "something is left of an app that was removed"
            time.sleep(0.05)
