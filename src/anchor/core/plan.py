"""The graph of a run in a compact form: who waits for whom by number, and each step as it was written."""

from collections.abc import Sequence

import msgspec

from anchor.core.dag import UNNAMED, Again, Drawing, Graph, Step
from anchor.core.graph_check import parents_of


class _Rough(msgspec.Struct):
    steps: list[msgspec.Raw]
    name: str = UNNAMED
    priority: int = 0
    labels: list[str] = []


class _RoughDrawing(msgspec.Struct):
    graph: _Rough
    reused: dict[int, int] = {}
    again: dict[int, Again] = {}


_step = msgspec.json.Decoder(Step).decode
_rough = msgspec.json.Decoder(_RoughDrawing).decode
BYTES_LIKE_A_STEP = 300
_NONE: tuple[int, ...] = ()


class Plan:
    """Steps by number, in the order submitted.

    `parents[i]` are those that step i waits for: the first `hard[i]` of them have to succeed, the others only to end.
    `hard_children[i]` and `soft_children[i]` are the same seen from the other side. A reused step waits for nothing.
    A step takes some BYTES_LIKE_A_STEP bytes here besides its own JSON.
    """

    def __init__(self, drawing: bytes) -> None:
        rough = _rough(drawing)
        self.weight = len(rough.graph.steps) + len(drawing) // BYTES_LIKE_A_STEP
        """What it takes of the memory of a server, in steps."""
        self.graph = Graph(name=rough.graph.name, priority=rough.graph.priority, labels=rough.graph.labels)
        """Name, priority and labels; the steps are had one by one, from `step`."""
        self.reused = rough.reused
        self.again = rough.again
        self._steps = rough.graph.steps
        steps = [_step(raw) for raw in self._steps]
        self.ids = [step.id for step in steps]
        self.size = len(steps)
        number = {name: at for at, name in enumerate(self.ids)}
        every = parents_of(steps, number)
        self.hard: list[int] = []
        self.parents: list[tuple[int, ...]] = []
        hard_children: dict[int, list[int]] = {}
        soft_children: dict[int, list[int]] = {}
        for at, step in enumerate(steps):
            parents = _NONE if at in self.reused else tuple(every[at])
            hard = 0 if step.always or not parents else len(step.dependencies)
            self.parents.append(parents)
            self.hard.append(hard)
            for parent in parents[:hard]:
                hard_children.setdefault(parent, []).append(at)
            for parent in parents[hard:]:
                soft_children.setdefault(parent, []).append(at)
        self.hard_children = [tuple(hard_children.get(at, _NONE)) for at in range(self.size)]
        self.soft_children = {at: tuple(children) for at, children in soft_children.items()}

    @classmethod
    def of(cls, drawing: Drawing) -> "Plan":
        """The plan of a drawing that is at hand."""
        return cls(drawn(drawing))

    def step(self, number: int) -> Step:
        """One step, whole."""
        return _step(self._steps[number])

    def numbers(self) -> dict[str, int]:
        """The number of each step by its id."""
        return {name: at for at, name in enumerate(self.ids)}

    def children(self, number: int) -> Sequence[int]:
        """All steps that wait for this one."""
        return (*self.hard_children[number], *self.soft_children.get(number, _NONE))

    def hanging_off(self, numbers: Sequence[int]) -> set[int]:
        """These steps and all that wait for them, however far away."""
        found = set(numbers)
        line = list(numbers)
        for at in line:
            for child in self.children(at):
                if child not in found:
                    found.add(child)
                    line.append(child)
        return found


def drawn(drawing: Drawing) -> bytes:
    """A drawing as it rests in the store."""
    return msgspec.json.encode(drawing)


def drawing_of(document: bytes) -> Drawing:
    """What `drawn` wrote."""
    return msgspec.json.decode(document, type=Drawing)
