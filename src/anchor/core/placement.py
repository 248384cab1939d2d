"""Which node gets a task, and for every node that does not, the first thing it lacks."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

import msgspec

from anchor.core.node import Profile, Status
from anchor.core.spec import FEATURES, Need


class Candidate(Protocol):
    """A node as placement sees it. `free` counts open slots, `load` is the share of slots in use."""

    @property
    def node(self) -> str:
        """The node's id."""

    @property
    def profile(self) -> Profile:
        """What the machine has."""

    @property
    def status(self) -> Status:
        """What the fleet's owner decided about it."""

    @property
    def free(self) -> int:
        """Open slots; none while its lease has run out."""

    @property
    def load(self) -> float:
        """The share of its slots in use, from 0 to 1."""


C = TypeVar("C", bound=Candidate)


class Placement(msgspec.Struct, frozen=True):
    """The node chosen for a task."""

    node: str


class NoFit(msgspec.Struct, frozen=True):
    """Nobody fits; `unmet` says for each node the first requirement it does not meet."""

    unmet: dict[str, str]


def unmet_by(profile: Profile, need: Need) -> str | None:
    """The first requirement that a machine can never meet as it is, or None where it meets them all."""
    if need.runtime != "noop" and need.runtime not in profile.runtimes:
        why = profile.missing.get(need.runtime)
        return f"has no runtime {need.runtime}" + (f": {why}" if why else "")
    if need.min_cores > profile.cores:
        return f"has {profile.cores} cores of the {need.min_cores} required"
    if need.min_ram_gib > profile.ram:
        return f"has {profile.ram:g} GiB of RAM of the {need.min_ram_gib:g} required"
    if need.gpu and not profile.gpus:
        return "has no GPU"
    if need.gpu and not profile.gpu_tasks:
        return "keeps its GPU to itself: its owner has to allow it (allow_gpu)"
    if profile.task_memory_mib and need.memory_mib > profile.task_memory_mib:
        return f"offers a task {profile.task_memory_mib} MiB of the {need.memory_mib} asked for"
    for feature in need.features:
        if feature not in profile.features:
            return FEATURES.get(feature, f"does not offer {feature}")
    for label in need.labels:
        if label not in profile.labels:
            return f"is not labelled {label!r}"
    return None


def unavailable(candidate: Candidate) -> str | None:
    """Why a node takes no work at the moment, or None where it does."""
    if candidate.status is not Status.READY:
        return f"is {candidate.status}"
    if candidate.free <= 0:
        return "has no free slot"
    return None


def pick(candidates: Iterable[C]) -> C | None:
    """The least loaded of the available ones; ties go to the one with more open slots, then by name."""
    best: C | None = None
    rank = (0.0, 0, "")
    for candidate in candidates:
        if candidate.free > 0 and candidate.status is Status.READY:
            own = (candidate.load, -candidate.free, candidate.node)
            if best is None or own < rank:
                best, rank = candidate, own
    return best


def place(need: Need, candidates: Iterable[Candidate]) -> Placement | NoFit:
    """The node for a task with this need, or for every node why not."""
    unmet: dict[str, str] = {}
    fitting: list[Candidate] = []
    for candidate in candidates:
        why = unmet_by(candidate.profile, need) or unavailable(candidate)
        if why is None:
            fitting.append(candidate)
        else:
            unmet[candidate.node] = why
    best = pick(fitting)
    return NoFit(unmet) if best is None else Placement(best.node)
