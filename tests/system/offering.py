"""A server and an agent that offers what this machine can, for tests that are users of them."""

import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.system.fleet import Agent, Server

SLOTS = 4


@dataclass
class Ended:
    """How a task ended, as its user is told; `code` is empty where it succeeded."""

    code: str
    message: str
    hint: str = ""
    result: Any = None
    usage: dict[str, float] = field(default_factory=dict)
    task: str = ""


class Offering:
    """The two programs, and a client's side of the REST API."""

    def __init__(self, directory: Path) -> None:
        self._server = Server(directory, lease_seconds=30)
        self._agent = Agent(directory, self._server, "one", slots=SLOTS)
        self.url = self._server.url
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=90)
        self._specs: dict[str, Any] = {}

    def __enter__(self) -> "Offering":
        try:
            self._server.start_and_wait()
            self._agent.join()
            node = self._agent.wait_until_online()
            self._specs = self.http.get(f"/api/nodes/{node}").raise_for_status().json()["specs"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        for program in (self._agent, self._server):
            if program.process is not None:
                with contextlib.suppress(Exception):
                    program.stop()
                program.kill()

    def has(self, runtime: str) -> bool:
        return runtime in self._specs["runtimes"]

    def require(self, runtime: str) -> None:
        """Skip the test where this machine does not offer a runtime."""
        if not self.has(runtime):
            pytest.skip(f"this node has no runtime {runtime}: {self._specs['missing'].get(runtime)}")

    def upload(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        self.http.put(f"/api/blobs/{digest}", content=content).raise_for_status()
        return f"sha256:{digest}"

    def submit(self, payload: dict[str, Any], **limits: object) -> str:
        spec = {"name": "t", "payload": payload, "limits": limits, "retry": {"attempts": 1}}
        task: str = self.http.post("/api/tasks", json=spec).raise_for_status().json()["id"]
        return task

    def ended(self, task: str) -> Ended:
        answer = self.http.get(f"/api/tasks/{task}/result", params={"wait": 60}).raise_for_status().json()
        usage = self.http.get(f"/api/tasks/{task}").raise_for_status().json()["attempts"][-1]["usage"]
        reason = answer.get("reason") or {"code": "", "message": ""}
        assert (answer["state"] == "succeeded") == (not reason["code"]), answer
        return Ended(reason["code"], reason["message"], reason.get("hint", ""), answer.get("result"), usage, task)

    def run(self, payload: dict[str, Any], **limits: object) -> Ended:
        return self.ended(self.submit(payload, **limits))

    def refused_or_ended(self, payload: dict[str, Any]) -> Ended:
        """How work ended that the server may not even take; its places are then part of the message."""
        spec = {"name": "t", "payload": payload, "retry": {"attempts": 1}}
        answer = self.http.post("/api/tasks", json=spec)
        if answer.status_code == 201:
            return self.ended(answer.json()["id"])
        problem = answer.json()
        return Ended(problem["code"], "; ".join(f"{one['pointer']} {one['message']}" for one in problem["errors"]))


def together(offered: Offering, payloads: dict[str, dict[str, Any]]) -> dict[str, Ended]:
    """How each of some pieces of work ended, all of them run side by side."""
    with ThreadPoolExecutor(2 * SLOTS) as threads:
        return dict(zip(payloads, threads.map(offered.refused_or_ended, payloads.values()), strict=True))
