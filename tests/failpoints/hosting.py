"""The replicas of a node of the tests' own: each is at once what the command of its web process says."""

import time
from typing import Any

import msgspec

from anchor.core.app import WEB
from anchor.core.attempt import Reason
from anchor.wire import box, link
from anchor.wire.link import AppOutput, Chunk, Host, HostItem, ReplicaStatus

Place = tuple[int, int]


class Replicas:
    """A web process with the command `breaks` fails at once, any other runs at once, and stops when it is told to. Each
    prints `lines` when it begins, and, where it has variables, what they are."""

    def __init__(self, lines: int = 3) -> None:
        self.key = box.new_private_key()
        self._lines = lines
        self._there: dict[Place, HostItem] = {}

    def take(self, host: Host) -> list[Any]:
        """Do as the server says; the frames to answer with, but for the state of all."""
        wanted = {(item.app, item.generation): item for item in host.items}
        begun = [item for place, item in wanted.items() if place not in self._there]
        self._there = wanted
        return [AppOutput(self._said(item)) for item in begun]

    def states(self) -> list[ReplicaStatus]:
        """How all of them are."""
        return [_state(item) for item in self._there.values()]

    def generations(self, app: int) -> set[int]:
        """What runs of an app."""
        return {generation for of, generation in self._there if of == app}

    def _said(self, item: HostItem) -> list[Chunk]:
        texts = [f"line {number}\n" for number in range(self._lines)]
        if item.env:
            texts.append(f"{msgspec.json.decode(box.opened(self.key, item.env))}\n")
        now = int(time.time() * 1000)
        return [Chunk(item.app, item.generation, seq, now, "stdout", text) for seq, text in enumerate(texts, start=1)]


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
