"""A server that dies amid a deployment: apps run on, and after its return everything comes to what was asked."""

import random
import time
from pathlib import Path

import httpx
import pytest
from tests.acceptance.load import Load
from tests.acceptance.network import Network, View, a_network_with, healthy, wait_until
from tests.acceptance.small_apps import ANSWERING
from tests.system.fleet import free_port

KILLS = 2
AWAY_SECONDS = 1.0


@pytest.mark.timeout(180)
def test_deployments_interrupted_by_kills_of_the_server_converge_and_apps_run_on(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    port = free_port()
    with a_network_with(tmp_path) as network:
        network.create("small", ANSWERING, config={"port": port, "drainSeconds": 3})
        network.running("small")
        # Asked on the machine that runs it, an app does not notice that its server dies, or is rolled over.
        with Load(port, f"127.0.0.1:{port}", rate=50) as local:
            for number in range(2, KILLS + 2):
                network.release("small", ANSWERING, config={"port": port, "drainSeconds": 3})
                time.sleep(dice.uniform(0.0, 1.2))
                network.server.kill()
                time.sleep(AWAY_SECONDS)
                network.server.start_and_wait()
                view = network.until("small", lambda view, number=number: arrived(view, number))  # type: ignore[misc]
                # One generation a release: nothing that ran was started again because its server was away.
                assert [one["generation"] for one in view["replicas"]] == [number], f"seed {seed}: {view}"
                wait_until(lambda: network.get("small").status_code == 200, f"it is routed to again, seed {seed}")
        # Whoever keeps a connection to the old generation open to the end of its drain may lose a request with it.
        assert len(local.counts.failed) <= KILLS, f"seed {seed}: {local.counts.said()}"
        assert len({answer["release"] for answer in answers(network)}) == 1
        assert len(network.small_apps()) == 1

        network.do("small", "stop")
        network.until("small", lambda view: view["state"] == "stopped")
        wait_until(lambda: not network.small_apps(), "its processes are gone")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}", trust_env=False)


def arrived(view: View, release: int) -> bool:
    return view["state"] == "running" and view["live"] == release and len(view["replicas"]) == len(healthy(view)) == 1


def answers(network: Network) -> list[View]:
    return [network.get("small").json() for _ in range(8)]
