"""What a person sees of a running graph on a terminal: its steps as a tree, or by levels where they are many."""

import datetime
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group
from rich.live import Live
from rich.text import Text

from anchor.cli import show
from anchor.cli.plain import plain
from anchor.cli.talk import is_interactive, say, stderr
from anchor.wire.dags import LevelView, RunView, StepView

TREE_STEPS_MAX = 200
"""A graph of more steps is shown by its levels."""
_BAR = 24
_MARKS = {
    "succeeded": "✔",
    "reused": "↺",
    "failed": "✘",
    "inconclusive": "?",
    "cancelled": "■",
    "skipped": "-",
    "waiting": "·",
    "queued": "○",
    "backoff": "○",
    "running": "▶",
    "leased": "▶",
    "verifying": "▶",
    "cancelling": "▶",
}
_OVER = frozenset({"succeeded", "reused", "failed", "inconclusive", "cancelled", "skipped", "removed"})
_UNTOLD = frozenset({"waiting", "queued", "leased"})
"""States that are not worth a line of their own."""


class Tree:
    """Draws on standard error, where a person watches; elsewhere what changed is said line by line."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._told: dict[str, str] = {}
        self._over = -1

    def update(self, view: RunView) -> None:
        """The run is like this now."""
        if not is_interactive():
            self._say(view)
            return
        if self._live is None:
            self._live = Live(console=stderr, transient=True, auto_refresh=False)
            self._live.start()
        room = max(5, stderr.size.height - 3)
        self._live.update(Group(*map(plain, (heading(view), *fitting(view, room)))), refresh=True)

    def clear(self) -> None:
        """Take the drawing away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _say(self, view: RunView) -> None:
        if view.step_list is None:
            over = round(view.progress * view.steps)
            if over != self._over and (over * 10 // view.steps > self._over * 10 // view.steps or over == view.steps):
                say(f"{over:,} of {view.steps:,} steps are over ({_counted(view.counts)})")
                self._over = over
            return
        for step in view.step_list:
            if self._told.get(step.id) != step.state and step.state not in _UNTOLD:
                say(f"{step.id}: {_words(step)}")
            self._told[step.id] = step.state


def heading(view: RunView) -> Text:
    """One line about the whole."""
    return Text.assemble(
        (view.name, "bold"), "  ", show.state(view.state), f"  {view.progress:.0%} of {view.steps:,} steps"
    )


def fitting(view: RunView, room: int) -> list[Text]:
    """As much of a run as fits into so many lines: the tree, or else its levels, with what failed."""
    if view.step_list is not None and len(view.step_list) <= min(room, TREE_STEPS_MAX):
        return tree(view.step_list)
    failures = [_line(step, "") for step in view.failures[: max(1, room // 3)]]
    return [*levels(view.levels, room - len(failures)), *failures]


def tree(steps: Sequence[StepView]) -> list[Text]:
    """A line a step. It hangs below the last one it waits for; where only one hangs there, it is not indented, and
    what most hangs off comes last."""
    at = {step.id: step for step in steps}
    below: dict[str, list[StepView]] = {}
    weight = dict.fromkeys(at, 1)
    for step in sorted(steps, key=lambda step: -step.level):
        above = _hangs_below(step, at)
        below.setdefault(above, []).append(step)
        weight[above] = weight.get(above, 0) + weight[step.id]
    for hanging in below.values():
        hanging.sort(key=lambda step: (_is_last(step), weight[step.id]))
    lines: list[Text] = []
    # From the last to the first, since a stack gives back what came last; what is drawn before a step goes with it.
    stack = [(step, "") for step in reversed(below.get("", []))]
    while stack:
        step, indent = stack.pop()
        lines.append(_line(step, indent, above=_hangs_below(step, at)))
        children = below.get(step.id, [])
        deeper = indent if len(children) == 1 else f"{indent}  "
        stack += [(child, deeper) for child in reversed(children)]
    return lines


def levels(found: Sequence[LevelView], room: int) -> list[Text]:
    """A bar a level; where there are too many, those that are being worked on and their neighbours."""
    first = next((at for at, level in enumerate(found) if not _OVER.issuperset(level.counts)), len(found))
    start = max(0, min(first - 1, len(found) - max(1, room)))
    shown = found[start : start + max(1, room)]
    lines = []
    for level in shown:
        total = sum(level.counts.values())
        over = sum(count for state, count in level.counts.items() if state in _OVER)
        filled = over * _BAR // total
        name = f"level {level.first}" if level.first == level.last else f"levels {level.first}-{level.last}"
        bar = Text.assemble(("█" * filled, "green"), ("░" * (_BAR - filled), "dim"))
        lines.append(Text.assemble(f"{name:<16} ", bar, f"  {over:,}/{total:,}  ", _counted(level.counts)))
    return lines


def _is_last(step: StepView) -> bool:
    """Whether a step runs after all others without naming one."""
    return step.level > 0 and not step.dependencies and not step.soft_dependencies


def _hangs_below(step: StepView, at: Mapping[str, StepView]) -> str:
    """The deepest step that it waits for; none for a first one."""
    parents = [name for name in (*step.dependencies, *step.soft_dependencies) if name in at]
    return max(parents, key=lambda name: at[name].level, default="")


def _line(step: StepView, indent: str, above: str = "") -> Text:
    others = [name for name in (*step.dependencies, *step.soft_dependencies) if name != above] if above else []
    mark = _MARKS.get(step.state, " ")
    style = show.STATE_STYLES.get(step.state, "dim" if step.state in ("waiting", "skipped", "removed") else "")
    return Text.assemble(
        (f"{indent}{mark} ", style),
        (step.id, style),
        "  ",
        (_words(step), "dim"),
        (f"  (and after {_some(others)})" if others else "", "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )


def _words(step: StepView) -> str:
    words = [step.state]
    if step.items is not None:
        words.append(f"{step.items.done:,}/{step.items.total:,} items")
    if step.started_at is not None and step.state not in ("queued", "waiting", "backoff", "skipped"):
        until = step.finished_at or datetime.datetime.now(datetime.UTC)
        words.append(show.duration(max(0.0, (until - step.started_at).total_seconds())))
    if step.reason is not None and step.state in ("failed", "inconclusive", "cancelled", "backoff"):
        words.append(step.reason.message.splitlines()[0] if step.reason.message else step.reason.code)
    return ", ".join(words)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in _in_order(counts.items()))


def _in_order(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    order = list(_MARKS)
    return sorted(counts, key=lambda pair: order.index(pair[0]) if pair[0] in order else len(order))
