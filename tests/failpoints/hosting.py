"""The replicas of a node of the tests' own: each is at once what the command of its web process says."""

import time
from collections import Counter
from typing import Any

import msgspec

from anchor.core.app import WEB
from anchor.core.attempt import Reason
from anchor.wire import box, link
from anchor.wire.link import AppOutput, Chunk, Host, HostItem, ReplicaStatus

Place = tuple[int, int]
PAGE = "x" * 60_000 + "\n"
PAGES_AT_ONCE = 8


class Replicas:
    """A web process with the command `breaks` fails at once, any other runs at once, and stops when it is told to. Each
    prints what its variables are when it begins; one with the command `prints` never stops printing."""

    def __init__(self) -> None:
        self.key = box.new_private_key()
        self._there: dict[Place, HostItem] = {}
        self._printed: Counter[Place] = Counter()

    def take(self, host: Host) -> list[Any]:
        """Do as the server says; the frames to answer with, but for the state of all."""
        wanted = {(item.app, item.generation): item for item in host.items}
        begun = [item for place, item in wanted.items() if place not in self._there]
        self._there = wanted
        return [AppOutput(self._print(item, [_variables(self.key, item)])) for item in begun]

    def go_on(self) -> list[AppOutput]:
        """What is printed all the time."""
        printing = [item for item in self._there.values() if item.plan.processes[WEB] == "prints"]
        return [AppOutput(self._print(item, [PAGE] * PAGES_AT_ONCE)) for item in printing]

    def states(self) -> list[ReplicaStatus]:
        """How all of them are."""
        return [_state(item) for item in self._there.values()]

    def generations(self, app: int) -> set[int]:
        """What runs of an app."""
        return {generation for of, generation in self._there if of == app}

    def _print(self, item: HostItem, texts: list[str]) -> list[Chunk]:
        place = (item.app, item.generation)
        first = self._printed[place] + 1
        self._printed[place] += len(texts)
        now = int(time.time() * 1000)
        return [Chunk(*place, seq, now, "stdout", text) for seq, text in enumerate(texts, start=first)]


def _variables(key: bytes, item: HostItem) -> str:
    return f"{msgspec.json.decode(box.opened(key, item.env)) if item.env else 'no variables'}\n"


def _state(item: HostItem) -> ReplicaStatus:
    prepared = {"prepared": item.prepares}
    if item.drains:
        return ReplicaStatus(item.app, item.generation, "stopped", 1)
    if item.plan.processes[WEB] == "breaks":
        why = Reason("crash_loop", "It ended at once.", "Look at its log.")
        return ReplicaStatus(item.app, item.generation, "failed", 1, reason=why, **prepared)
    return ReplicaStatus(item.app, item.generation, "healthy", 1, cpu=0.1, memory_mib=1, **prepared)


def hosted(session: int, replicas: Replicas) -> link.Hosted:
    """The frame that says how all of them are."""
    return link.Hosted(session, replicas.states())
