"""The judge: clients' histories joined with the server's truth, as two numbers that have to be 0.

*Acknowledged but absent*: a submit, a cancel or an end somebody was told of, and that is not there any more.
*Recorded twice or rewritten*: two tasks or two ends where there must be one, or an end that did not stay as it was.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from tests.chaos.history import ENDS, Event, Seen, seen_in

SHOWN_EVENTS = 50


class Fault(msgspec.Struct, frozen=True):
    """One breach, and the tasks and the idempotency key it is about."""

    key: str
    tasks: tuple[str, ...]
    why: str


class Verdict(msgspec.Struct):
    """What became of everything that was acknowledged."""

    acknowledged: int = 0
    ended: dict[str, int] = {}
    reads: int = 0
    absent: list[Fault] = []
    rewritten: list[Fault] = []
    unended: list[Fault] = []
    unexpected: list[Fault] = []

    @property
    def is_good(self) -> bool:
        """Nothing lost, nothing twice, and everything over in the way it should be."""
        return not (self.absent or self.rewritten or self.unended or self.unexpected)


class _Known(msgspec.Struct):
    """What the clients were told of one task."""

    key: str
    name: str
    cancel_asked: bool = False
    cancel_taken: bool = False
    end: Seen | None = None


def judge(
    events: Iterable[Event], truth: Sequence[Mapping[str, Any]], expected: Mapping[str, frozenset[str]]
) -> Verdict:
    """Compare what clients were told with what is there at last.

    `truth` are the tasks as `GET /api/tasks/{id}` shows them; `expected` says for each task name which ends are fine
    (one somebody asked to cancel may be cancelled besides).
    """
    verdict = Verdict()
    told = _Told(verdict)
    for event in events:
        told.hear(event)
    verdict.acknowledged = len(told.tasks)
    _compare(verdict, told, {task["id"]: task for task in truth}, expected)
    return verdict


class _Told:
    """Gathers events by task, and finds what contradicts itself already."""

    def __init__(self, verdict: Verdict) -> None:
        self.tasks: dict[str, _Known] = {}
        self.asked: dict[str, str] = {}
        self._ids_of_key: dict[str, list[str]] = {}
        self._verdict = verdict

    def hear(self, event: Event) -> None:
        match event.what:
            case "submit":
                self.asked.update(dict.fromkeys(event.names, event.key))
            case "accepted":
                self._accepted(event)
            case "read" if event.seen is not None:
                self._verdict.reads += 1
                self._read(event.task, event.seen)
            case "cancel" if event.task in self.tasks:
                self.tasks[event.task].cancel_asked = True
            case "cancel taken" if event.task in self.tasks:
                self.tasks[event.task].cancel_taken = True
            case "gone" if event.task in self.tasks:
                known = self.tasks[event.task]
                self._verdict.absent.append(
                    Fault(known.key, (event.task,), f"not found by {event.who} at {event.at} s")
                )

    def _accepted(self, event: Event) -> None:
        before = self._ids_of_key.setdefault(event.key, event.ids) if event.key else event.ids
        if before != event.ids:
            both = (*before, *event.ids)
            self._verdict.rewritten.append(Fault(event.key, both, "one idempotency key, answered with different tasks"))
        for task, name in zip(event.ids, event.names, strict=True):
            self.tasks.setdefault(task, _Known(event.key, name))

    def _read(self, task: str, seen: Seen) -> None:
        known = self.tasks.get(task)
        if known is None:
            return
        if known.end is None:
            known.end = seen if seen.state in ENDS else None
        elif known.end != seen:
            self._verdict.rewritten.append(Fault(known.key, (task,), f"was {known.end}, then read as {seen}"))


def _was_poison(view: Mapping[str, Any], last: Seen) -> bool:
    """Whether the strikes made a task look like poison: three nodes went down while they had it."""
    fallen = {one["nodeId"] for one in view["attempts"] if one["outcome"] in ("lost", "crashed")}
    return (last.state, last.reason) == ("failed", "poison") and len(fallen) >= 3


def _compare(
    verdict: Verdict, told: _Told, truth: dict[str, Mapping[str, Any]], expected: Mapping[str, frozenset[str]]
) -> None:
    for task, known in told.tasks.items():
        if task not in truth:
            verdict.absent.append(Fault(known.key, (task,), "acknowledged, and not there at the end"))
            continue
        view = truth[task]
        last = seen_in(view)
        if known.end is not None and known.end != last:
            verdict.rewritten.append(Fault(known.key, (task,), f"was {known.end}, and is {last} at the end"))
        if last.state not in ENDS:
            verdict.unended.append(Fault(known.key, (task,), f"still {last.state} ({last.reason or 'no reason'})"))
        elif known.cancel_taken and last.state != "cancelled":
            verdict.absent.append(Fault(known.key, (task,), f"its cancel was acknowledged, and it {last.state}"))
        elif not (
            last.state in expected[known.name]
            or (known.cancel_asked and last.state == "cancelled")
            or _was_poison(view, last)
        ):
            verdict.unexpected.append(Fault(known.key, (task,), f"{last.state} ({last.reason})"))
        verdict.ended[last.state] = verdict.ended.get(last.state, 0) + 1
    of_name: dict[str, list[str]] = {}
    for task, view in truth.items():
        of_name.setdefault(view["name"], []).append(task)
        key = told.asked.get(view["name"], "")
        verdict.rewritten.extend(Fault(key, (task,), why) for why in _contradictions(view, view["name"] in told.asked))
    for name, tasks in of_name.items():
        if len(tasks) > 1:
            verdict.rewritten.append(Fault(told.asked.get(name, ""), tuple(tasks), f"{name!r} was made more than once"))


def _contradictions(view: Mapping[str, Any], asked: bool) -> Iterable[str]:
    """What is wrong with a task as it stands."""
    if not asked:
        yield "nobody asked for it"
    outcomes = [attempt["outcome"] for attempt in view["attempts"]]
    numbers = [attempt["number"] for attempt in view["attempts"]]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"its attempts are numbered {numbers}"
    if outcomes.count("succeeded") > (view["state"] in {"succeeded", "cancelled"}):
        yield f"{view['state']} with the outcomes {outcomes}"
    if view["state"] == "succeeded":
        if not outcomes or outcomes[-1] != "succeeded":
            yield f"succeeded with the outcomes {outcomes}"
        result = view["result"]
        made_by = (result["task"], result["attempt"]) if isinstance(result, dict) else (view["id"], view["attempt"])
        if made_by != (view["id"], view["attempt"]):
            yield f"its result was made by attempt {made_by}, and attempt {view['attempt']} is recorded"


def last_events(events: Iterable[Event], fault: Fault) -> list[Event]:
    """The last events that touch a breach, with the strikes in between."""
    kept: deque[Event] = deque(maxlen=SHOWN_EVENTS)
    concerned = False
    for event in events:
        is_strike = event.what in {"strike", "relief"}
        touches = (fault.key and event.key == fault.key) or event.task in fault.tasks
        concerned = concerned or bool(touches)
        if touches or (is_strike and concerned):
            kept.append(event)
    return list(kept)
