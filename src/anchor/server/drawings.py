"""A run's graph as a drawing for other programs: Graphviz and Mermaid."""

from collections.abc import Iterator

from anchor.server.run_views import Seen

STEPS_MAX = 5_000
"""Steps of a graph that is drawn; a larger one is a blot."""
EDGES_MAX = 50_000
_LABEL_MAX = 60
_FILL = {
    "succeeded": "#c8e6c9",
    "reused": "#dcedc8",
    "failed": "#ffcdd2",
    "inconclusive": "#ffcdd2",
    "cancelled": "#ffe0b2",
    "cancelling": "#ffe0b2",
    "skipped": "#eeeeee",
    "waiting": "#ffffff",
}
_FILL_ELSE = "#bbdefb"


def dot(seen: Seen) -> Iterator[str]:
    """Lines of a Graphviz digraph; a soft dependency is dashed."""
    yield "digraph run {"
    yield '  rankdir=LR; node [shape=box, style="rounded,filled", fontname="sans-serif"];'
    for number, name in enumerate(seen.sketch.plan.ids):
        label = _escaped(f"{name}\n{seen.states[number]}")
        yield f'  s{number} [label="{label}", fillcolor="{_fill(seen.states[number])}"];'
    for parent, child, hard in _edges(seen):
        yield f"  s{parent} -> s{child}{'' if hard else ' [style=dashed]'};"
    yield "}"


def mermaid(seen: Seen) -> Iterator[str]:
    """Lines of a Mermaid flowchart; a soft dependency is dotted."""
    yield "flowchart LR"
    for number, name in enumerate(seen.sketch.plan.ids):
        yield f'  s{number}["{_entities(name)}<br/>{seen.states[number]}"]'
    for parent, child, hard in _edges(seen):
        yield f"  s{parent} {'-->' if hard else '-.->'} s{child}"
    for state in sorted(set(seen.states)):
        yield f"  classDef {state} fill:{_fill(state)},stroke:#555,color:#111"
    for number, state in enumerate(seen.states):
        yield f"  class s{number} {state}"


def _edges(seen: Seen) -> Iterator[tuple[int, int, bool]]:
    plan = seen.sketch.plan
    for child, parents in enumerate(plan.parents):
        for at, parent in enumerate(parents):
            yield parent, child, at < plan.hard[child]


def _fill(state: str) -> str:
    return _FILL.get(state, _FILL_ELSE)


def _escaped(text: str) -> str:
    return _cut(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _entities(text: str) -> str:
    # Mermaid reads `#name;` as an entity, and everything else in quotes as it is but for quotes and tags.
    return "".join(one if one.isalnum() or one in " -_.:" else f"#{ord(one)};" for one in _cut(text))


def _cut(text: str) -> str:
    return text if len(text) <= _LABEL_MAX else f"{text[: _LABEL_MAX - 1]}…"
