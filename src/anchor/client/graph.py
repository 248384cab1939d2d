"""Graphs written in Python: steps are functions or source texts, and a step among the arguments is waited for."""

import json
from collections.abc import Iterable
from typing import Any, Unpack, get_type_hints

import msgspec

from anchor.client.work import Code, Options, as_json, called, function_payload, must_fit, source_payload, task_of
from anchor.core.errors import InvalidRequest


class Step(msgspec.Struct, frozen=True):
    """A step of a graph: as an argument of another step it stands for its result."""

    id: str


class StepOptions(Options, total=False):
    """How a step runs. `after` are steps it waits for without taking their results, `soft_after` those it waits for
    whether they succeed or not; an `always` step runs whatever happened."""

    id: str
    after: Iterable[Step]
    soft_after: Iterable[Step]
    always: bool


class ListOptions(StepOptions, total=False):
    """How a step over a list runs: `pointer` finds the list in the result of the step that makes it, `enough` is the
    share of its items that have to succeed."""

    pointer: str
    enough: float


class Graph:
    """A graph in the making: `client.run_graph(graph)` runs it.

    An id is that of the option `id`, else the name of the function, numbered where it is there already.
    """

    def __init__(self, name: str, *, priority: int = 0, labels: Iterable[str] = ()) -> None:
        self._about: dict[str, Any] = {"name": name, "priority": priority, "labels": list(labels)}
        self._steps: dict[str, dict[str, Any]] = {}

    def step(self, code: Code, *args: Any, **options: Unpack[StepOptions]) -> Step:
        """Add a step that calls a function with these arguments, Steps among them standing for their results; or one
        that runs a source text, which finds them in `inputs` and its one other argument as `input`."""
        kwargs = dict(options.get("kwargs", {}))
        results = [one for one in [*args, *kwargs.values()] if isinstance(one, Step)]
        if isinstance(code, str):
            plain = [one for one in args if not isinstance(one, Step)]
            if len(plain) > 1 or kwargs:
                raise InvalidRequest(
                    "Source text takes one argument beside results, which it finds as `input`.",
                    hint="Pass a list or an object.",
                )
            payload = source_payload(code, options, as_json(plain[0], "The argument") if plain else None)
        else:
            must_fit(code, args, kwargs)
            texts = [_argument(one, f'input["args"][{at}]') for at, one in enumerate(args)]
            texts += [name + "=" + _argument(one, f"input['kwargs']['{name}']") for name, one in kwargs.items()]
            given = {
                "args": [None if isinstance(one, Step) else one for one in args],
                "kwargs": {name: one for name, one in kwargs.items() if not isinstance(one, Step)},
            }
            call = called(code, ", ".join(texts))
            payload = function_payload(code, call, options, as_json(given, f"What {code.__name__} is called with"))
        return self._added(code, payload, results, {}, options)

    def map(self, code: Code, items: Step | Iterable[Any], **options: Unpack[ListOptions]) -> Step:
        """Add a step that runs once for each item of a list, or of the list a step makes; its result is the list of
        theirs, in order."""
        results: list[Step] = []
        if isinstance(items, Step):
            results, listed = [items], {"step": items.id, "pointer": options.get("pointer", "")}
        else:
            listed = as_json(list(items), "The list of items")
        if options.get("kwargs"):
            raise InvalidRequest("Each item is the one argument of a step over a list.", hint="Leave kwargs out.")
        if isinstance(code, str):
            payload = source_payload(code, options, None)
        else:
            must_fit(code, (None,), {})
            payload = function_payload(code, called(code, "input"), options, None)
        more = {"type": "parallel", "items": listed, "enough": options.get("enough", 1.0)}
        return self._added(code, payload, results, more, options)

    def to_json(self) -> dict[str, Any]:
        """The graph as the JSON object of the API."""
        return {**self._about, "steps": list(self._steps.values())}

    def _added(
        self, code: Code, payload: dict[str, Any], results: Iterable[Step], more: dict[str, Any], options: StepOptions
    ) -> Step:
        name = "step" if isinstance(code, str) else code.__name__
        step = Step(self._id(options.get("id"), name))
        hard = dict.fromkeys(one.id for one in [*results, *options.get("after", ())])
        soft = dict.fromkeys(one.id for one in options.get("soft_after", ()) if one.id not in hard)
        if strangers := [one for one in [*hard, *soft] if one not in self._steps]:
            raise InvalidRequest(
                f"Step {step.id!r} waits for {strangers[0]!r}, which is no step of this graph.",
                hint="Add that one first.",
            )
        known = get_type_hints(ListOptions if "type" in more else StepOptions)
        spec = task_of(payload, options, name=step.id, known=known)
        waits = {"dependencies": list(hard), "softDependencies": list(soft)}
        self._steps[step.id] = {"id": step.id, **spec, **waits, **more, "always": options.get("always", False)}
        return step

    def _id(self, wanted: str | None, name: str) -> str:
        if wanted is not None:
            if wanted in self._steps:
                raise InvalidRequest(f"There is a step {wanted!r} already.", hint="Give each step an id of its own.")
            return wanted
        found, number = name, 1
        while found in self._steps:
            number += 1
            found = f"{name}-{number}"
        return found


def _argument(value: Any, otherwise: str) -> str:
    return f"inputs[{json.dumps(value.id)}]" if isinstance(value, Step) else otherwise
