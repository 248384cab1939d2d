"""What can happen to an app of two replicas on two nodes: each is done, and waited for until the app is whole again."""

from collections.abc import Callable

import psutil
from tests.acceptance.network import Network, View, gone, healthy
from tests.acceptance.small_apps import ANSWERING, FAILING_BUILD, SILENT

NAME = "small"
Outage = Callable[[Network], None]


def two_replicas(network: Network) -> View:
    """The app that all this happens to, deployed and spread."""
    network.create(NAME, ANSWERING, config={"cpu": 1, "scale": {"web": 2}, "drainSeconds": 2})
    view = network.running(NAME)
    assert len({one["nodeId"] for one in healthy(view)}) == len(network.agents), view
    return view


def _of(view: View) -> set[int]:
    return {one["generation"] for one in healthy(view)}


def whole(network: Network, replicas: int = 2) -> View:
    """The app once it runs with so many healthy replicas."""
    return network.until(NAME, lambda view: view["state"] == "running" and len(healthy(view)) == replicas)


def kill_9_of_an_app_process(network: Network) -> None:
    before = network.small_apps()
    before[0].kill()
    network.until(NAME, lambda view: bool(set(network.small_apps()) - set(before)) and len(healthy(view)) == 2)


def kill_9_of_an_agent(network: Network) -> None:
    agent = network.agents[0]
    old = _of(network.app(NAME))
    below = psutil.Process(agent.pid).children(recursive=True)
    agent.kill()
    assert not gone(below), "what an agent ran ends with it"
    network.until(NAME, lambda view: view["state"] == "running" and len(healthy(view)) == 2 and _of(view) != old)
    agent.start()
    agent.wait_until_online()


def scale_to_three(network: Network) -> None:
    network.do(NAME, "scale", web=3)
    whole(network, 3)


def scale_back_to_two(network: Network) -> None:
    network.do(NAME, "scale", web=2)
    network.running(NAME)
    whole(network)


def a_rolling_update(network: Network) -> None:
    live = network.app(NAME)["live"]
    network.release(NAME, ANSWERING)
    network.until(NAME, lambda view: view["live"] > live and view["state"] == "running" and len(view["replicas"]) == 2)


def a_release_that_never_listens(network: Network) -> None:
    _fails(network, "never_listened", SILENT, {})


def a_release_whose_build_fails(network: Network) -> None:
    _fails(network, "build_failed", ANSWERING, {"build": FAILING_BUILD})


def a_restart(network: Network) -> None:
    old = _of(network.app(NAME))
    network.do(NAME, "restart")
    network.until(NAME, lambda view: not old & _of(view) and view["state"] == "running" and len(view["replicas"]) == 2)


def _fails(network: Network, code: str, files: dict[str, str], more: dict[str, str]) -> None:
    before = network.app(NAME)
    config = before["config"] | {"startSeconds": 2} | more
    network.release(NAME, files, config=config)
    view = network.until(NAME, lambda view: view["releases"][-1]["state"] == "failed")
    assert view["releases"][-1]["reason"]["code"] == code, view
    assert view["live"] == before["live"]
    network.until(NAME, lambda view: view["state"] == "running" and len(view["replicas"]) == 2)


OUTAGES: dict[str, Outage] = {
    "kill -9 of an app's process": kill_9_of_an_app_process,
    "scale to 3": scale_to_three,
    "scale back to 2": scale_back_to_two,
    "a rolling update": a_rolling_update,
    "a restart": a_restart,
    "a release that never listens": a_release_that_never_listens,
    "a release whose build fails": a_release_whose_build_fails,
    "kill -9 of an agent": kill_9_of_an_agent,
}
"""In this order: after the last of them one node is empty."""
