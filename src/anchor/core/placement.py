"""Which node gets a task: filter, score, tie-break; and for every node that does not get it, what it lacks."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import msgspec

from anchor.core.comparison import Facts
from anchor.core.expression import parse
from anchor.core.node import Metrics, Node, Profile, Status, offer_of
from anchor.core.spec import FEATURES, Need

TYPICAL_SPEED = 1000.0
"""Of an ordinary core, in the unit of Node.speed: one twice as fast scores two thirds."""
ROOM_WEIGHT = 4.0
RELIABILITY_WEIGHT = 2.0
INPUTS_WEIGHT = 2.0
SPEED_WEIGHT = 1.0
MEMORY_WEIGHT = 0.5


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

    def standing(self, runtime: str) -> float:
        """What of its score does not change from one task to the next."""


C = TypeVar("C", bound=Candidate)


class Placement(msgspec.Struct, frozen=True):
    """The node chosen for a task."""

    node: str


class NoFit(msgspec.Struct, frozen=True):
    """Nobody fits; `unmet` says for each node the first requirement it does not meet."""

    unmet: dict[str, str]


class Lack(msgspec.Struct, frozen=True):
    """A requirement that a node does not meet. `text` goes on after the node's name; `change` is what could be done
    about it, as a request; `cost` how much of a change that is, from 0 (nothing asked of anybody) up."""

    text: str
    change: str
    cost: float


class Scores(msgspec.Struct, frozen=True):
    """The parts of a node's score for a task, each from 0 to 1, and their weighted sum."""

    room: float
    reliability: float
    inputs: float
    speed: float
    memory: float
    total: float


def unmet_by(profile: Profile, need: Need) -> str | None:
    """The first requirement that a machine can never meet as it is, or None where it meets them all. The expression is
    not among them: see `refused_by`."""
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
    if need.memory_mib and need.memory_mib > (offered := _offered_mib(profile)):
        return f"offers a task {offered} MiB of the {need.memory_mib} asked for"
    for feature in need.features:
        if feature not in profile.features:
            return FEATURES.get(feature, f"does not offer {feature}")
    for label in need.labels:
        if label not in profile.labels:
            return f"is not labelled {label!r}"
    return None


def _offered_mib(profile: Profile) -> int:
    """The most memory a task may ask for; without end where the agent says nothing of it."""
    return profile.task_memory_mib or 1 << 62


def lacks(profile: Profile, need: Need) -> list[Lack]:
    """Everything that `unmet_by` would say, one after the other, each with what would change it."""
    found: list[Lack] = []
    while (text := unmet_by(profile, need)) is not None:
        lack, need = _lack_of(text, profile, need)
        found.append(lack)
    return found


def _lack_of(text: str, profile: Profile, need: Need) -> tuple[Lack, Need]:
    """What stands in the way first, and the need without it."""
    relaxed = msgspec.structs.replace
    if need.runtime != "noop" and need.runtime not in profile.runtimes:
        change = f"make runtime {need.runtime} work there (`anchor doctor` on the machine says how)"
        return Lack(text, change, 5.0), relaxed(need, runtime="noop")
    if need.min_cores > profile.cores:
        change = f"lower requirements.minCores to {profile.cores}"
        return Lack(text, change, 1 + _share_missing(profile.cores, need.min_cores)), relaxed(need, min_cores=0)
    if need.min_ram_gib > profile.ram:
        change = f"lower requirements.minRam to {profile.ram:g}"
        return Lack(text, change, 1 + _share_missing(profile.ram, need.min_ram_gib)), relaxed(need, min_ram_gib=0)
    if need.gpu:
        change = "have its owner allow tasks the GPU (allow_gpu)" if profile.gpus else "drop requirements.gpuRequired"
        return Lack(text, change, 3.0), relaxed(need, gpu=False)
    if need.memory_mib > (offered := _offered_mib(profile)):
        cost = 1 + _share_missing(offered, need.memory_mib)
        return Lack(text, f"lower limits.memoryMb to {offered}", cost), relaxed(need, memory_mib=0)
    for feature in need.features:
        if feature not in profile.features:
            rest = tuple(one for one in need.features if one != feature)
            return Lack(text, f"do without {feature}", 4.0), relaxed(need, features=rest)
    label = next(label for label in need.labels if label not in profile.labels)
    rest = tuple(one for one in need.labels if one != label)
    return Lack(text, f"drop the label {label!r}, or start that agent with --label {label}", 2.0), relaxed(
        need, labels=rest
    )


def _share_missing(has: float, wants: float) -> float:
    return 1 - has / wants


def facts_of(node: Node, *, runtime: str, load: float, reliability: float) -> Facts:
    """What an expression can ask of a node: see core.comparison.NAMES."""
    profile, metrics = offer_of(node), node.metrics
    return {
        "id": node.id,
        "owner": node.owner,
        "os": os_family(profile.os),
        "arch": profile.arch,
        "cores": profile.cores,
        "ram": profile.ram,
        "disk": profile.disk,
        "gpus": profile.gpus if profile.gpu_tasks else (),
        "labels": profile.labels,
        "runtimes": tuple(profile.runtimes),
        "version": profile.version,
        "confinement": profile.confinement.get(runtime, "none"),
        "speed": node.speed,
        "free_ram": metrics.free_ram if metrics.uptime else profile.ram,
        "free_disk": metrics.free_disk if metrics.uptime else profile.disk,
        "load": load,
        "reliability": reliability,
    }


def os_family(name: str) -> str:
    """`linux`, `macos`, `windows`, or the first word of what a machine calls its operating system."""
    lower = name.lower()
    return next((family for family in ("linux", "macos", "windows") if family in lower), lower.partition(" ")[0])


def refused_by(expression: str, facts: Facts) -> list[str]:
    """The parts of a requirement expression that a node with these values does not meet; none where there is none."""
    return parse(expression).failing(facts) if expression else []


def meets(expression: str, facts: Facts) -> bool:
    """Whether a node with these values meets a requirement expression, where there is one."""
    return not expression or parse(expression).holds(facts)


def short_of(need: Need, profile: Profile, metrics: Metrics, *, booked_mib: int, booked_cores: int) -> str | None:
    """What of the memory and cores a task asks for is not there at the moment, beside what others were promised."""
    if need.memory_mib:
        whole_mib = int(profile.ram * 1024)
        if whole_mib and booked_mib and booked_mib + need.memory_mib > whole_mib:
            return f"has promised {booked_mib} of its {whole_mib} MiB, and {need.memory_mib} are asked for"
        if metrics.uptime and need.memory_mib > metrics.free_ram * 1024:
            return f"has {metrics.free_ram:g} GiB of RAM free of the {need.memory_mib / 1024:g} asked for"
    if booked_cores and booked_cores + need.min_cores > profile.cores:
        return f"has promised {booked_cores} of its {profile.cores} cores, and {need.min_cores} are required"
    return None


def unavailable(candidate: Candidate) -> str | None:
    """Why a node takes no work at the moment, or None where it does."""
    if candidate.status is not Status.READY:
        return f"is {candidate.status}"
    if candidate.free <= 0:
        return "has no free slot"
    return None


def scores_of(node: Node, *, load: float, reliability: float, inputs: float) -> Scores:
    """How well a node suits a task: `inputs` is the share of the task's inputs that went there lately."""
    speed = speed_score(node.speed)
    memory = memory_score(node)
    total = (
        ROOM_WEIGHT * (1 - load)
        + INPUTS_WEIGHT * inputs
        + RELIABILITY_WEIGHT * reliability
        + SPEED_WEIGHT * speed
        + MEMORY_WEIGHT * memory
    )
    return Scores(1 - load, reliability, inputs, speed, memory, total)


def standing_of(node: Node, reliability: float) -> float:
    """The part of a score that stays the same from one task to the next."""
    return (
        RELIABILITY_WEIGHT * reliability + SPEED_WEIGHT * speed_score(node.speed) + MEMORY_WEIGHT * memory_score(node)
    )


def speed_score(speed: float) -> float:
    """From 0 to 1; a node that was never measured counts as an ordinary one."""
    return speed / (speed + TYPICAL_SPEED) if speed > 0 else 0.5


def memory_score(node: Node) -> float:
    """The share of RAM that is free, in quarters: so that its ordinary ups and downs move no work about."""
    if not node.metrics.uptime or node.profile.ram <= 0:
        return 0.5
    return int(4 * min(1.0, max(0.0, node.metrics.free_ram / node.profile.ram))) / 4


def pick(candidates: Iterable[C], runtime: str = "noop", inputs: Callable[[C], float] | None = None) -> C | None:
    """The one of the available candidates with the highest score; ties go to more open slots, then by name. `inputs`
    says what share of a task's inputs went to a node lately."""
    best: C | None = None
    rank, room = 0.0, 0
    for candidate in candidates:
        free = candidate.free
        if free > 0 and candidate.status is Status.READY:
            own = candidate.standing(runtime) - ROOM_WEIGHT * candidate.load
            if inputs is not None:
                own += INPUTS_WEIGHT * inputs(candidate)
            level = (own, free) == (rank, room)
            if best is None or (own, free) > (rank, room) or (level and candidate.node < best.node):
                best, rank, room = candidate, own, free
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
    best: Any = pick(fitting, need.runtime)
    return NoFit(unmet) if best is None else Placement(best.node)
