"""How long the deployment of a first app takes, from the request until its address answers HTML.

`python -m benchmarks.app_deploys` sends the request of the README, which names no source, to a server with one agent
whose state is empty. *cold*: there is no Node on PATH and no cache of any installer, so everything comes from the
package index. *warm*: the same request again, under another name, to the same agent. *again*: a new release of the same
source.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import httpx
from benchmarks.machine import facts
from tests.acceptance.network import Network, a_network_with, healthy
from tests.system.fleet import free_port

TOOLS = ("node", "npm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="new machines, each with one cold deployment")
    rounds = parser.parse_args().rounds
    print(", ".join(f"{name} {value}" for name, value in facts().items()))
    took: dict[str, list[float]] = {"cold": [], "warm": [], "again": []}
    for _ in range(rounds):
        with (
            tempfile.TemporaryDirectory(prefix="anchor-deploys-") as directory,
            patch.dict(os.environ, _bare(directory)),
        ):
            for kind, measured in _round(Path(directory)).items():
                took[kind].append(measured)
    print("\n| deployment | median s | all |")
    print("|---|--:|---|")
    for kind, seconds in took.items():
        print(f"| {kind} | {statistics.median(seconds):.2f} | {', '.join(f'{one:.2f}' for one in seconds)} |")


def _bare(directory: str) -> dict[str, str]:
    """The PATH of a machine without Node: links to all programs but its own. What installers keep lies with the agent,
    whose state is new."""
    folder = Path(directory) / "programs"
    folder.mkdir()
    places = [Path(place) for place in os.environ["PATH"].split(os.pathsep) if Path(place).is_dir()]
    programs = {program.name: program for place in reversed(places) for program in place.iterdir()}
    for name, program in programs.items():
        if name not in TOOLS:
            (folder / name).symlink_to(program)
    assert all(shutil.which(tool, path=str(folder)) is None for tool in TOOLS)
    return {"PATH": str(folder)}


def _round(directory: Path) -> dict[str, float]:
    with a_network_with(directory, lease_seconds=30) as network:
        cold = _deploy(network, "My Web App", "my-web-app")
        warm = _deploy(network, "Another Web App", "another-web-app")
        before = network.app("my-web-app")
        begun = time.monotonic()
        network.http.post("/api/clusters/my-web-app/releases", json={}).raise_for_status()
        network.until(
            "my-web-app",
            lambda view: view["live"] > before["live"] and len(healthy(view)) == len(view["replicas"]) == 1,
        )
        assert "</html>" in network.get("my-web-app").text
        return {"cold": cold, "warm": warm, "again": time.monotonic() - begun}


def _deploy(network: Network, title: str, name: str) -> float:
    port = free_port()
    config = {"port": port, "ram": "1024MB", "cpu": 2}
    begun = time.monotonic()
    request = {"name": title, "type": "Web", "config": config}
    network.http.post("/api/clusters", json=request).raise_for_status()
    network.running(name, 120)
    assert "</html>" in httpx.get(f"http://localhost:{port}", trust_env=False).text
    assert "</html>" in network.get(name).text
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
