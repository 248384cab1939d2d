"""What is wrong with a graph, and where: every fault names its place and the step it is in."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import islice

from msgspec.structs import replace

from anchor.core.dag import EDGES_MAX, STEPS_MAX, From, Graph, Step
from anchor.core.errors import Fault
from anchor.core.spec import TaskSpec
from anchor.core.spec_faults import faults_in

FAULTS_MAX = 100
"""Faults that are looked for; a graph with more shows these."""
CYCLE_SHOWN_MAX = 12
_GUESSES_MAX = 50
"""Ids that a misspelt one is compared with: comparing takes as long as both are long, and there are many faults."""
_GUESSED_LENGTH_MAX = 40
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def step_spec(graph: Graph, step: Step) -> TaskSpec:
    """The task that a step stands for, without what the steps before it give."""
    return TaskSpec(
        name=step.name or step.id,
        type="script" if step.type == "parallel" else step.type,
        payload=step.payload,
        requirements=step.requirements,
        limits=step.limits,
        retry=step.retry,
        priority=graph.priority if step.priority is None else step.priority,
        labels=[*graph.labels, *(label for label in step.labels if label not in graph.labels)]
        if graph.labels
        else step.labels,
        verify=step.verify,
    )


def passes_on(step: Step) -> bool:
    """Whether a step runs nothing: its inputs are its result."""
    return step.payload is None and step.type != "noop"


def checked(graph: Graph) -> tuple[Graph, list[Fault]]:
    """The graph as it is carried out (`steps` only; what `items` come from is a dependency), and what is wrong with it.

    Linear in steps and dependencies, without recursion. With faults the graph returned is of no use.
    """
    word = "tasks" if graph.tasks else "steps"
    if graph.steps and graph.tasks:
        return graph, [Fault("/tasks", "cannot be combined with steps, which is another word for them; send one")]
    steps = [_with_source(step) for step in graph.steps or graph.tasks]
    graph = replace(graph, steps=steps, tasks=[])
    if not steps:
        return graph, [Fault("/steps", "is empty; a graph needs a step")]
    if len(steps) > STEPS_MAX:
        return graph, [Fault(f"/{word}", f"has {len(steps):,} steps; at most {STEPS_MAX:,} are allowed")]
    counts = [len(step.dependencies) + len(step.soft_dependencies) for step in steps]
    bare = sum(1 for step, count in zip(steps, counts, strict=True) if step.always and not count)
    edges = sum(counts) + bare * (len(steps) - bare)
    if edges > EDGES_MAX:
        return graph, [Fault(f"/{word}", f"has {edges:,} dependencies; at most {EDGES_MAX:,} are allowed")]
    faults: list[Fault] = []
    if _CONTROL.search(graph.name):
        faults.append(Fault("/name", "contains a control character; remove it"))
    number: dict[str, int] = {}
    for at, step in enumerate(steps):
        first = number.setdefault(step.id, at)
        if first != at:
            faults.append(Fault(f"/{word}/{at}/id", f"is {step.id!r}, as /{word}/{first} is; each step needs its own"))
        if len(faults) >= FAULTS_MAX:
            return graph, faults
    for at, step in enumerate(steps):
        faults += _faults_of_step(graph, step, number, f"/{word}/{at}")
        if len(faults) >= FAULTS_MAX:
            return graph, faults[:FAULTS_MAX]
    return graph, faults or _cycle_fault(steps, number, word)


def _with_source(step: Step) -> Step:
    if isinstance(step.items, From):
        source = step.items.step
        if source not in step.dependencies and source not in step.soft_dependencies:
            return replace(step, dependencies=[*step.dependencies, source])
    return step


def _faults_of_step(graph: Graph, step: Step, number: dict[str, int], at: str) -> list[Fault]:
    who = f"of step {step.id!r}"
    faults: list[Fault] = []
    if _CONTROL.search(step.id):
        faults.append(Fault(f"{at}/id", "contains a control character; remove it"))
    faults += _dependency_faults(step, number, at, who)
    if step.type == "parallel":
        if step.items is None and step.payload is not None:
            faults.append(Fault(f"{at}/items", f"{who} is missing; it is a list, or the step that makes the list"))
        if step.payload is None and step.items is not None:
            faults.append(Fault(f"{at}/payload", f"{who} is missing; a parallel step runs it once per item"))
        if step.over == "shuffle" and isinstance(step.items, list):
            faults.append(Fault(f"{at}/items", f"{who} is a list; over shuffle it names the step that left files"))
    elif step.items is not None:
        faults.append(Fault(f"{at}/items", f"{who} needs type parallel"))
    else:
        given = (("enough", step.enough != 1.0), ("over", step.over != "values"), ("speculate", not step.speculate))
        faults += [Fault(f"{at}/{word}", f"{who} needs type parallel") for word, there in given if there]
    if passes_on(step) and step.type in ("script", "parallel") and step.items is None:
        if step.verify != "none":
            faults.append(Fault(f"{at}/verify", f"{who} needs a payload; a step without one runs nothing"))
        if step.name is not None and _CONTROL.search(step.name):
            faults.append(Fault(f"{at}/name", f"{who} contains a control character; remove it"))
    elif not (step.type == "parallel" and step.payload is None):
        wrong = faults_in(step_spec(graph, step), at)
        faults += [Fault(fault.pointer, f"{who} {fault.message}") for fault in wrong]
    if step.payload is not None and step.payload.inputs:
        faults += [
            Fault(f"{at}/payload/inputs", f"{who} name {name!r}, which is a step it depends on; choose another name")
            for name in (*step.dependencies, *step.soft_dependencies)
            if name in step.payload.inputs
        ]
    return faults


def _dependency_faults(step: Step, number: dict[str, int], at: str, who: str) -> list[Fault]:
    faults: list[Fault] = []
    seen: set[str] = set()
    for word, names in (("dependencies", step.dependencies), ("softDependencies", step.soft_dependencies)):
        for place, name in enumerate(names):
            if name in number and name not in seen and name != step.id:
                seen.add(name)
                continue
            here = f"{at}/{word}/{place}"
            if name == step.id:
                faults.append(Fault(here, f"{who} is the step itself; a step cannot wait for its own end"))
            elif name in seen:
                faults.append(Fault(here, f"{who} names {name!r} a second time; name it once"))
            else:
                message = f"{who} names {name!r}, which is no step of this graph{_guess(name, number)}"
                faults.append(Fault(here, message))
            if len(faults) >= FAULTS_MAX:
                return faults
    return faults


def _guess(name: str, known: dict[str, int]) -> str:
    if len(name) > _GUESSED_LENGTH_MAX:
        return ""
    looked_at = islice(known, 40 * _GUESSES_MAX)
    alike = (one for one in looked_at if abs(len(one) - len(name)) <= 2)
    close = get_close_matches(name, list(islice(alike, _GUESSES_MAX)), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def parents_of(steps: Sequence[Step], number: dict[str, int]) -> list[list[int]]:
    """For each step the numbers of those it waits for, the hard ones first."""
    parents = [[number[name] for name in (*step.dependencies, *step.soft_dependencies)] for step in steps]
    bare = {at for at, step in enumerate(steps) if step.always and not parents[at]}
    if bare:
        others = [at for at in range(len(steps)) if at not in bare]
        for at in bare:
            parents[at] = others
    return parents


def _cycle_fault(steps: Sequence[Step], number: dict[str, int], word: str) -> list[Fault]:
    cycle = _cycle_in(parents_of(steps, number))
    if not cycle:
        return []
    names = [steps[at].id for at in cycle]
    if len(names) > CYCLE_SHOWN_MAX:
        names = [*names[: CYCLE_SHOWN_MAX - 2], "…", names[-1]]
    message = f"of step {steps[cycle[0]].id!r} are part of a cycle: {' → '.join([*names, names[0]])}"
    after = [at for at in cycle if steps[at].always and not steps[at].dependencies and not steps[at].soft_dependencies]
    if after:
        message += f"; {steps[after[0]].id!r} always runs after all others, so nothing can depend on it"
    return [Fault(f"/{word}/{cycle[0]}/dependencies", message)]


def _cycle_in(parents: Sequence[Sequence[int]]) -> list[int]:
    """The steps of a cycle, each before one that waits for it; empty where there is none.

    It is the shortest through one step on some cycle, which is cheap to find.
    """
    children: list[list[int]] = [[] for _ in parents]
    for at, names in enumerate(parents):
        for parent in names:
            children[parent].append(at)
    waits = [len(names) for names in parents]
    free = [at for at, count in enumerate(waits) if count == 0]
    for at in free:
        for child in children[at]:
            waits[child] -= 1
            if waits[child] == 0:
                free.append(child)
    if len(free) == len(parents):
        return []
    # Every step left waits for another one that is left, so going back from any of them meets itself.
    at = next(at for at, count in enumerate(waits) if count)
    seen: set[int] = set()
    while at not in seen:
        seen.add(at)
        at = next(parent for parent in parents[at] if waits[parent])
    return _shortest_back(at, children, waits)


def _shortest_back(start: int, children: Sequence[Sequence[int]], waits: Sequence[int]) -> list[int]:
    came_from = {start: start}
    line = [start]
    for at in line:
        for child in children[at]:
            if child == start:
                path = [at]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if waits[child] and child not in came_from:
                came_from[child] = at
                line.append(child)
    raise AssertionError("a step met twice on the way back is on a cycle")
