"""Which node gets a task, and for every node that does not, the first thing it lacks."""

from collections.abc import Iterable

import msgspec

from anchor.core.node import Profile, Status
from anchor.core.spec import Need


class Candidate(msgspec.Struct, frozen=True):
    """A connected node as placement sees it. `free` counts open slots, `load` is the share of slots in use."""

    node: str
    profile: Profile
    status: Status
    free: int
    load: float


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


def place(need: Need, candidates: Iterable[Candidate]) -> Placement | NoFit:
    """The least loaded node that meets the need; ties go to the one with more open slots, then by name."""
    unmet: dict[str, str] = {}
    best: Candidate | None = None
    for candidate in candidates:
        why = unmet_by(candidate.profile, need) or unavailable(candidate)
        if why is not None:
            unmet[candidate.node] = why
        elif best is None or _rank(candidate) < _rank(best):
            best = candidate
    return NoFit(unmet) if best is None else Placement(best.node)


def _rank(candidate: Candidate) -> tuple[float, int, str]:
    return (candidate.load, -candidate.free, candidate.node)
