"""A server and agents that host apps, as processes of their own, and what a user of them does."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.acceptance.load import Load
from tests.acceptance.small_apps import MAIN
from tests.system.fleet import GIVE_UP_SECONDS, Agent, Server

EXAMPLES = Path(__file__).parents[2] / "examples" / "apps"
OVER = {"running", "failed", "stopped"}
"""States of an app in which nothing is under way any more."""
POLL_SECONDS = 0.05
SMALL = {"ram": "128MB", "cpu": 0.5}
"""So that many fit on a small machine."""

View = dict[str, Any]
"""An app as `GET /api/clusters/NAME` shows it."""


class Network:
    """One server, some agents beside it on this machine, and a user's side of the REST API."""

    def __init__(self, directory: Path, *, nodes: int = 1, lease_seconds: float = 5, **settings: Any) -> None:
        self.server = Server(directory, lease_seconds=lease_seconds, **settings)
        self.agents = [Agent(directory, self.server, f"agent{number}") for number in range(nodes)]
        self.url = self.server.url
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=60)
        # What an app sets in one test is not sent in another, nor to another app.
        self.http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._directory = directory

    def __enter__(self) -> "Network":
        try:
            self.server.start_and_wait()
            for agent in self.agents:
                agent.join()
            for agent in self.agents:
                agent.node = agent.wait_until_online()
            self._require_apps()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        for program in (*self.agents, self.server):
            if program.process is not None:
                with contextlib.suppress(Exception):
                    program.stop()
                program.kill()

    def _require_apps(self) -> None:
        """Skip where this machine cannot confine what it hosts, and so hosts nothing."""
        for agent in self.agents:
            specs = self.http.get(f"/api/nodes/{agent.node}").raise_for_status().json()["specs"]
            if "apps" not in specs["features"]:
                pytest.skip(f"this node hosts no apps: {specs['missing'].get('native', 'nobody said why')}")

    def create(self, name: str, files: Mapping[str, str], **more: Any) -> View:
        """A new app of these files; `config` takes the keys of the API."""
        body = {"name": name, "type": "Web", "files": files} | more | {"config": SMALL | more.get("config", {})}
        made: View = self.http.post("/api/clusters", json=body).raise_for_status().json()
        return made

    def release(self, name: str, files: Mapping[str, str], **more: Any) -> httpx.Response:
        """Another release of an app there is."""
        return self.http.post(f"/api/clusters/{name}/releases", json={"files": files} | more).raise_for_status()

    def do(self, name: str, what: str, **body: Any) -> httpx.Response:
        """`scale`, `restart`, `rollback`, `stop` or `start` an app."""
        return self.http.post(f"/api/clusters/{name}/{what}", json=body).raise_for_status()

    def app(self, name: str) -> View:
        found: View = self.http.get(f"/api/clusters/{name}").raise_for_status().json()
        return found

    def until(self, name: str, holds: Callable[[View], bool], seconds: float = GIVE_UP_SECONDS) -> View:
        """The app, as soon as something holds of it."""
        deadline = time.monotonic() + seconds
        found: View = {}
        while time.monotonic() < deadline:
            try:
                found = self.app(name)
            except httpx.TransportError:
                time.sleep(POLL_SECONDS)
                continue
            if holds(found):
                return found
            time.sleep(POLL_SECONDS)
        said = "\n".join(program.said() for program in (self.server, *self.agents))
        raise AssertionError(f"not so within {seconds} s: {json.dumps(found, indent=1)}\n{self.log(name)}\n{said}")

    def settled(self, name: str, seconds: float = GIVE_UP_SECONDS) -> View:
        """The app once nothing is under way any more."""
        return self.until(name, lambda view: view["state"] in OVER, seconds)

    def running(self, name: str, seconds: float = GIVE_UP_SECONDS) -> View:
        """The app once it runs as it should, with all its replicas healthy and no older ones left."""
        found = self.until(name, lambda view: view["state"] in OVER and not draining(view), seconds)
        assert found["state"] == "running", f"{json.dumps(found, indent=1)}\n{self.log(name)}"
        return found

    def log(self, name: str) -> str:
        """What the app and its builds printed."""
        answer = self.http.get(f"/api/clusters/{name}/logs")
        if answer.status_code != 200:
            return answer.text
        return "".join(f"{line['process']}.{line['index']} {line['stream']}: {line['text']}" for line in answer.json())

    def host(self, name: str) -> str:
        """What to name in a Host header to mean this app."""
        return f"{name}.apps.localhost:{self.server.port}"

    def get(self, name: str, path: str = "/", **more: Any) -> httpx.Response:
        """An app's answer through the ingress, by its own host."""
        return self.ask("GET", name, path, **more)

    def ask(self, method: str, name: str, path: str = "/", **more: Any) -> httpx.Response:
        headers = {"Host": self.host(name)} | more.pop("headers", {})
        self.http.cookies.clear()
        return self.http.request(method, path, headers=headers, **more)

    def below(self, name: str, path: str = "/", **more: Any) -> httpx.Response:
        """An app's answer through the ingress, below a path of the server's own host."""
        self.http.cookies.clear()
        return self.http.get(f"/apps/{name}{path}", **more)

    def load(self, name: str, path: str = "/", *, rate: float = 200) -> Load:
        return Load(self.server.port, self.host(name), path, rate=rate)

    def socket(self) -> socket.socket:
        """A connection to the server, for what speaks its own HTTP."""
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=30)

    def anchor(self, *arguments: str, seconds: float = GIVE_UP_SECONDS) -> "subprocess.CompletedProcess[str]":
        """A command of the CLI as its user starts it."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANCHOR_")}
        return subprocess.run(
            [sys.executable, "-m", "anchor", *arguments],
            env=environment | {"ANCHOR_URL": self.url, "NO_COLOR": "1", "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def small_apps(self) -> list[psutil.Process]:
        """The processes of small apps themselves, without what starts and holds them."""
        found = []
        for process in self.everything():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[1:] == [MAIN]:
                    found.append(process)
        return found

    def everything(self) -> list[psutil.Process]:
        """All processes below the agents."""
        below = []
        for agent in self.agents:
            with contextlib.suppress(psutil.NoSuchProcess):
                below += psutil.Process(agent.pid).children(recursive=True)
        return below


def draining(view: View) -> list[View]:
    return [one for one in view["replicas"] if one["state"] == "draining"]


def healthy(view: View, process: str = "web") -> list[View]:
    return [one for one in view["replicas"] if one["state"] == "healthy" and one["process"] == process]


def wait_until(holds: Callable[[], object], what: str, seconds: float = GIVE_UP_SECONDS) -> None:
    """Until something holds, looked at again and again."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(POLL_SECONDS)


def gone(processes: list[psutil.Process], seconds: float = 10) -> list[psutil.Process]:
    """Those of some processes that still run after a while."""
    return psutil.wait_procs(processes, timeout=seconds)[1]


@contextlib.contextmanager
def a_network_with(directory: Path, **wanted: Any) -> Iterator[Network]:
    """A network for as long as the block runs; afterwards none of its processes may be left."""
    with Network(directory, **wanted) as network:
        yield network
        below = network.everything()
    left = gone(below)
    assert not left, f"still there after their agents stopped: {[one.as_dict(['pid', 'cmdline']) for one in left]}"
