"""What of a function travels: its source, if it means the same elsewhere; and what is said where it would not."""

import functools
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from anchor.client import Graph
from anchor.client.code import source_of_function
from anchor.client.work import task_for, tasks_for_each
from anchor.core.errors import InvalidRequest

LIMIT = 3


def plain(first: int, second: "list[int] | None" = None) -> int:
    import collections  # noqa: PLC0415 - as it is written for a node

    def inner(value: int) -> int:
        doubled: list[int] = [2 * one for one in second or []]
        given: int = anchor.attempt  # type: ignore[name-defined] # noqa: F821
        return value + len(doubled) + given * 0

    return inner(first) + len(collections.Counter()) + (plain(first - 1) if first > 100 else 0)


def with_a_global(x: int) -> int:
    return x + LIMIT


def with_a_module(x: float) -> float:
    return math.sqrt(x)


def with_a_default(x: int = LIMIT) -> int:
    return x


def deep_inside(x: int) -> list[int]:
    return [LIMIT for _ in range(x)]


@functools.cache
def decorated(x: int) -> int:
    return x


def decorated_inside(x: int) -> int:
    return x


def yielding(x: int) -> Any:
    yield x


def inputs(x: int) -> int:
    return x


def with_an_annotation(x: "math.Nowhere", y: Graph | None = None) -> "Graph | None":  # type: ignore[name-defined]
    z: Graph | None = y
    return z


def closure() -> Callable[[int], int]:
    secret = 7

    def inner(x: int) -> int:
        return x + secret

    return inner


def run(source: str, **names: Any) -> Any:
    space = {"__name__": "__main__", **names}
    exec(compile(source, "task.py", "exec"), space)
    return space["result"]


def test_the_source_of_a_function_is_the_function() -> None:
    class Anchor:
        attempt = 1

    task = task_for(plain, (1,), {"kwargs": {"second": [1, 2]}, "requirements": ["numpy"], "memory_mb": 64})
    given = json.loads(bytes(task["payload"]["input"]))
    assert run(task["payload"]["sourceCode"], input=given, anchor=Anchor) == 3
    assert task["payload"]["dependencies"] == ["numpy"]
    assert task["name"] == "plain"
    assert task["limits"] == {"memoryMb": 64}
    [each] = tasks_for_each(plain, [5], {})
    assert run(each["payload"]["sourceCode"], input=5, anchor=Anchor) == 5
    assert (
        run(task_for(with_an_annotation, (1,), {})["payload"]["sourceCode"], input={"args": [1], "kwargs": {}}) is None
    )


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (with_a_global, "with_a_global cannot be sent to a node: it uses `LIMIT` from outside of itself."),
        (with_a_module, "it uses `math` from outside"),
        (with_a_default, "it uses `LIMIT` from outside"),
        (deep_inside, "it uses `LIMIT` from outside"),
        (closure(), "it uses `secret` of the function around it"),
        (lambda x: x, "has no source of its own"),
        (len, "no function written in Python"),
        (functools.partial(plain, 1), "no function written in Python"),
        (decorated, "no function written in Python"),
        (yielding, "it yields"),
        (inputs, "something else by that name"),
    ],
)
def test_what_would_mean_something_else_elsewhere_is_refused(function: Any, says: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        source_of_function(function)
    assert says in refused.value.message
    assert refused.value.hint


def test_arguments_have_to_be_json_and_to_fit() -> None:
    with pytest.raises(InvalidRequest, match="cannot travel as JSON"):
        task_for(plain, ({1, 2},), {})
    with pytest.raises(InvalidRequest, match="cannot travel as JSON"):
        task_for(plain, (float("nan"),), {})
    with pytest.raises(InvalidRequest, match="cannot be called like this"):
        task_for(plain, (), {})
    with pytest.raises(InvalidRequest, match="takes one argument"):
        task_for("return input", (1, 2), {})


def test_an_option_that_does_not_exist_is_refused() -> None:
    wrong: Any = {"timeout_second": 1}
    with pytest.raises(InvalidRequest, match="no option 'timeout_second'") as refused:
        task_for("return 1", (), wrong)
    assert refused.value.hint == "Did you mean 'timeout_seconds'?"
    graph: Any = Graph("g")
    with pytest.raises(InvalidRequest, match="no option 'enough'"):
        graph.step("return 1", enough=0.5)
    graph.map("return input", [1], enough=0.5, always=True)


def test_a_graph_waits_for_the_steps_among_its_arguments() -> None:
    graph = Graph("g")
    one = graph.step(plain, 1)
    two = graph.step(plain, one, id="two", kwargs={"second": one})
    three = graph.step("return inputs", two, 5, after=[one])
    graph.map(plain, three, pointer="/rows", enough=0.5, soft_after=[one, three])
    steps = {step["id"]: step for step in graph.to_json()["steps"]}
    assert list(steps) == ["plain", "two", "step", "plain-2"]
    assert steps["two"]["dependencies"] == ["plain"]
    assert 'plain(inputs["plain"], second=inputs["plain"])' in steps["two"]["payload"]["sourceCode"]
    assert steps["step"]["dependencies"] == ["two", "plain"]
    assert steps["plain-2"]["items"] == {"step": "step", "pointer": "/rows"}
    assert (steps["plain-2"]["dependencies"], steps["plain-2"]["softDependencies"]) == (["step"], ["plain"])
    with pytest.raises(InvalidRequest, match="already"):
        graph.step(plain, 1, id="two")
    with pytest.raises(InvalidRequest, match="no step of this graph"):
        Graph("other").step(plain, one)
