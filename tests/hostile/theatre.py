"""Where hostile work is let loose: a real server, a real agent, honest tasks beside it, and eyes on all that happens.

The cases of a runtime run many at a time, those marked `alone` one by one. Meanwhile a watcher looks at the agent and
at everything below it, and neighbours (small honest tasks of the same runtime) must go on getting their right answers.
"""

import contextlib
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.hostile.case import Case
from tests.system.fleet import Agent, Server

import anchor

SLOTS = 6
SUITE_LIMITS = {"timeoutSeconds": 1.0, "memoryMb": 128, "outputBytes": 65_536}
LOOK_SECONDS = 0.05
BEAT_LOOK_SECONDS = 0.3
ENDED_SECONDS = 60.0
QUIET_SECONDS = 20.0
LATE_SECONDS = 1.0
"""How long past its limit a breach may take to be over."""
TREE_SPARE_MIB = 96.0
AGENT_GROWTH_MIB = 20.0
FDS_SPARE = 8
THREADS_SPARE = 14
WORKERS_MAX = SLOTS + 4
"""One for each slot, the nursery, what is spare, and one that is on its way out."""
SETTLED_SECONDS = 0.15
SETTLED_MIB = 1.0
MIB = 1024 * 1024


@dataclass
class Ended:
    """How one piece of work ended, as its user sees it."""

    state: str
    code: str = ""
    message: str = ""
    result: Any = None
    wall_seconds: float = 0.0
    said: str = ""
    tree_mib: float = 0.0
    """The most memory that everything below the agent had beyond its idle self, over this case; 0 if not alone."""


@dataclass
class Neighbour:
    """An honest task that runs over and over beside the hostile ones."""

    payload: dict[str, Any]
    result: Any


@dataclass
class Performance:
    """What was seen while the cases of one runtime ran."""

    ended: dict[str, Ended]
    neighbours: list[Ended]
    right: Any
    agent_growth_mib: float
    beats_missed: list[str]
    left_behind: list[str]
    secrets: list[str]

    def judge(self, case: Case) -> None:
        """Assert that a case ended as it has to."""
        ended = self.ended[case.name]
        story = f"{ended.state} {ended.code}: {ended.message} ({str(ended.result)[:200]}, said {ended.said[-300:]!r})"
        if case.code is None:
            assert ended.state == "succeeded", story
            assert case.result is ... or ended.result == case.result, story
        else:
            assert ended.state != "succeeded", story
            assert ended.code in case.codes, story
        assert re.search(case.says, ended.message), story
        limits = SUITE_LIMITS | case.limits
        assert ended.wall_seconds <= limits["timeoutSeconds"] + LATE_SECONDS, story
        assert ended.tree_mib <= limits["memoryMb"] + TREE_SPARE_MIB, f"{ended.tree_mib:.0f} MiB: {story}"
        shown = f"{ended.message}\n{ended.result}\n{ended.said}"
        assert [secret for secret in self.secrets if secret in shown] == [], story

    def judge_the_rest(self) -> None:
        """Assert that nobody beside the cases came to harm, and that nothing of them is left."""
        assert [one for one in self.neighbours if one.state != "succeeded" or one.result != self.right] == []
        assert self.beats_missed == []
        assert self.left_behind == []
        assert self.agent_growth_mib < AGENT_GROWTH_MIB


def performed(runtime: str, cases: Sequence[Case], neighbour: Neighbour, directory: Path, *options: str) -> Performance:
    """What was seen while the cases of a runtime ran; skips the test where this machine does not offer the runtime."""
    with Theatre(directory, *options) as theatre:
        lack = theatre.lacks(runtime)
        if lack:
            pytest.skip(f"this node has no runtime {runtime}: {lack}")
        return theatre.play(runtime, cases, neighbour)


@dataclass
class _Seen:
    """The watcher's notes."""

    agent_mib: float = 0.0
    tree_mib: float = 0.0
    beats_missed: list[str] = field(default_factory=list)


class Theatre:
    """A server and an agent for the cases of one runtime; `play` runs them."""

    def __init__(self, directory: Path, *options: str) -> None:
        self._server = Server(directory)
        self._agent = Agent(directory, self._server, "stage", *options, slots=SLOTS)
        self._data = directory / "stage"
        self._client = httpx.Client(base_url=self._server.url, trust_env=False, timeout=90)
        self._mark = uuid.uuid4().hex
        self._node = ""

    def __enter__(self) -> "Theatre":
        self._server.start_and_wait()
        try:
            self._agent.join()
            self._node = self._agent.wait_until_online()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for program in (self._agent, self._server):
            if program.process is not None:
                with contextlib.suppress(Exception):
                    program.stop()
                program.kill()
        self._client.close()

    def lacks(self, runtime: str) -> str:
        """Why this machine does not offer a runtime; empty where it does."""
        specs = self._client.get(f"/api/nodes/{self._node}").raise_for_status().json()["specs"]
        if runtime in specs["runtimes"]:
            return ""
        missing: dict[str, str] = specs["missing"]
        return missing.get(runtime, "not offered")

    def play(self, runtime: str, cases: Sequence[Case], neighbour: Neighbour) -> Performance:
        """Run all cases, and look at what they leave behind."""
        self._warm(runtime, neighbour)
        before = self._standing()
        seen = _Seen()
        agent_before = _resident_mib(self._agent.pid)
        stop = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(seen, stop))
        watcher.start()
        honest: list[str | Ended] = []
        ended: dict[str, Ended] = {}
        try:
            together = {case.name: self._submit(runtime, case) for case in cases if not case.alone}
            for name, task in together.items():
                honest.append(self._submit_neighbour(runtime, neighbour))
                ended[name] = self._outcome(task)
            for case in cases:
                if case.alone:
                    # A neighbour beside it would have a worker of its own, whose engine is not the case's memory;
                    # before it, it leaves behind the worker that the case gets.
                    honest.append(self._submit_neighbour(runtime, neighbour))
                    self._outcome(honest[-1])
                    self._wait_for_quiet(before)
                    base = self._settled_tree_mib()
                    seen.tree_mib = base
                    ended[case.name] = self._outcome(self._submit(runtime, case))
                    ended[case.name].tree_mib = seen.tree_mib - base
            neighbours = [self._outcome(task) for task in honest]
        finally:
            stop.set()
            watcher.join()
        return Performance(
            ended,
            neighbours,
            neighbour.result,
            seen.agent_mib - agent_before,
            seen.beats_missed,
            self._wait_for_quiet(before),
            [str(self._data), str(Path(anchor.__file__).parent), "site-packages", self._mark],
        )

    def _warm(self, runtime: str, neighbour: Neighbour) -> None:
        """Let everything that is made once be made: engines, interpreters, environments."""
        for task in [self._submit_neighbour(runtime, neighbour) for _ in range(SLOTS)]:
            self._outcome(task)

    def _submit(self, runtime: str, case: Case) -> str | Ended:
        payload = {**case.payload, "runtime": runtime}
        if runtime == "native":
            payload["env"] = {**payload.get("env", {}), "STAGE_MARK": self._mark}
        return self._post(
            {
                "name": case.name,
                "payload": payload,
                "limits": SUITE_LIMITS | case.limits,
                "retry": {"attempts": 1},
            }
        )

    def _submit_neighbour(self, runtime: str, neighbour: Neighbour) -> str | Ended:
        return self._post(
            {
                "name": "neighbour",
                "payload": {**neighbour.payload, "runtime": runtime},
                "limits": {"timeoutSeconds": 60, "memoryMb": 256},
                "retry": {"attempts": 1},
                "priority": 100,
            }
        )

    def _post(self, task: dict[str, Any]) -> str | Ended:
        answer = self._client.post("/api/tasks", json=task)
        if answer.status_code == 201:
            identity: str = answer.json()["id"]
            return identity
        problem = answer.json()
        faults = "; ".join(f"{fault['pointer']} {fault['message']}" for fault in problem.get("errors", []))
        return Ended("refused", problem["code"], f"{problem.get('detail', '')} {faults}")

    def _outcome(self, task: str | Ended) -> Ended:
        if isinstance(task, Ended):
            return task
        deadline = time.monotonic() + ENDED_SECONDS
        while time.monotonic() < deadline:
            answer = self._client.get(f"/api/tasks/{task}/result", params={"wait": 20}).raise_for_status().json()
            if answer["state"] in {"succeeded", "failed", "cancelled"}:
                break
        else:
            raise AssertionError(f"{task} did not end within {ENDED_SECONDS} s: {answer}")
        view = self._client.get(f"/api/tasks/{task}").raise_for_status().json()
        lines = self._client.get(f"/api/tasks/{task}/logs").raise_for_status().json()
        reason = answer.get("reason") or {}
        attempts = view["attempts"]
        return Ended(
            answer["state"],
            reason.get("code", ""),
            f"{reason.get('message', '')} {reason.get('hint', '')}",
            answer.get("result"),
            attempts[-1]["usage"].get("wallSeconds", 0.0) if attempts else 0.0,
            "".join(line["text"] for line in lines),
        )

    def _watch(self, seen: _Seen, stop: threading.Event) -> None:
        client = httpx.Client(base_url=self._server.url, trust_env=False, timeout=30)
        next_beat = 0.0
        while not stop.wait(LOOK_SECONDS):
            seen.agent_mib = max(seen.agent_mib, _resident_mib(self._agent.pid))
            # Looking takes a while: what was the most before it may have been set back meanwhile.
            tree_mib = self._tree_mib()
            seen.tree_mib = max(seen.tree_mib, tree_mib)
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + BEAT_LOOK_SECONDS
                node = client.get(f"/api/nodes/{self._node}").json()
                if node["status"] != "online":
                    seen.beats_missed.append(f"{node['status']} at {time.monotonic():.1f}")
        client.close()

    def _below(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self._agent.pid).children(recursive=True)
        return []

    def _tree_mib(self) -> float:
        return sum(_proportional_mib(process.pid) for process in self._below())

    def _settled_tree_mib(self) -> float:
        """The memory of everything below the agent, once it has stopped changing."""
        deadline = time.monotonic() + QUIET_SECONDS
        before, now = -1.0, self._tree_mib()
        while abs(now - before) > SETTLED_MIB and time.monotonic() < deadline:
            time.sleep(SETTLED_SECONDS)
            before, now = now, self._tree_mib()
        return now

    def _standing(self) -> dict[str, int]:
        """What the agent has, its workers apart: they come and go, and those in excess are kept for a while."""
        agent = psutil.Process(self._agent.pid)
        below = self._below()
        workers = sum(map(_is_worker, below))
        return {
            "processes": len(below) - workers,
            "workers": workers,
            "threads": agent.num_threads(),
            "files": agent.num_fds() - workers,
        }

    def _wait_for_quiet(self, before: dict[str, int]) -> list[str]:
        """What is left of the work once it has ended, at the latest after a while."""
        deadline = time.monotonic() + QUIET_SECONDS
        while (left := list(self._leftovers(before))) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return left

    def _leftovers(self, before: dict[str, int]) -> Iterator[str]:
        now = self._standing()
        most = {
            "processes": before["processes"],
            "workers": WORKERS_MAX,
            # Threads for files and the like are made when they are first needed; their pools end at fourteen.
            "threads": before["threads"] + THREADS_SPARE,
            "files": before["files"] + FDS_SPARE,
        }
        for name, count in now.items():
            if count > most[name]:
                yield f"{count} {name} instead of {before[name]}"
        for pid in _with_environment(self._mark):
            yield f"process {pid} of a task"
        for folder in ("jobs", "runs"):
            for path in sorted((self._data / "agent" / folder).glob("*")):
                yield f"{folder}/{path.name}"
        for path in sorted((self._data / "agent").glob("workers/*/job")):
            yield str(path.relative_to(self._data))


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return any("anchor.agent.workers" in part for part in process.cmdline())
    return False


def _resident_mib(pid: int) -> float:
    with contextlib.suppress(psutil.Error):
        return float(psutil.Process(pid).memory_info().rss) / MIB
    return 0.0


def _proportional_mib(pid: int) -> float:
    """Memory of a process with shared pages divided among their users, where we may know; else all that is resident."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return _resident_mib(pid)


def _with_environment(mark: str) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark.encode() in (entry / "environ").read_bytes():
                    yield int(entry.name)
