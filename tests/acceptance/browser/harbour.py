"""A server with an agent, `anchor up`, and what is to be seen there."""

import time
from pathlib import Path
from typing import Any

import httpx
from tests.system.fleet import Program, free_port

START_SECONDS = 100.0
HOSTILE = (
    'console.log("<img src=x onerror=\\"window.hit=1\\"> \\u001b[31mred\\u001b[0m \\u202egnp.exe nul\\u0000 end");'
    'console.log("x".repeat(1000000)); console.log("last line"); return 7'
)
BROKEN = 'throw new Error("it broke")'


class Harbour:
    """`anchor up` on a port of its own."""

    def __init__(self, directory: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.tasks: dict[str, str] = {}
        self._program = Program(
            directory / "said.txt", "up", "--port", str(port), "--data", str(directory / "data"), "--label", "site:Vigo"
        )

    def start(self) -> None:
        """Start it, and wait until its node is there."""
        self._program.start()
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                with self.client() as client:
                    nodes = client.get("/api/nodes").json()
                if any(node["status"] == "online" for node in nodes):
                    return
            except httpx.TransportError:
                pass  # It is not up yet: asked again below.
            time.sleep(0.05)
        raise AssertionError("the server and its node did not come up")

    def stop(self) -> None:
        """End it as an operator does."""
        self._program.stop()

    def client(self) -> httpx.Client:
        """A client of its API; close it."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def submit(self, name: str, code: str | None = None) -> str:
        """A task that runs this JavaScript, or does nothing; its id."""
        payload = {"language": "javascript", "sourceCode": code}
        spec: dict[str, Any] = {"name": name, "type": "noop"} if code is None else {"name": name, "type": "script"}
        spec |= {"retry": {"attempts": 1}} | ({} if code is None else {"payload": payload})
        with self.client() as client:
            answer = client.post("/api/tasks", json=spec)
        assert answer.status_code == 201, answer.text
        task: str = answer.json()["id"]
        return task

    def seed(self) -> None:
        """One task of each kind that there is something to see of, and a few more."""
        self.tasks = {"hostile": self.submit("<b>hostile</b>", HOSTILE), "broken": self.submit("broken", BROKEN)}
        self.tasks |= {f"noop-{number}": self.submit(f"noop-{number}") for number in range(40)}
        with self.client() as client:
            for task in self.tasks.values():
                client.get(f"/api/tasks/{task}/result", params={"wait": 30})
