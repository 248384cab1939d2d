"""A graph that cannot be carried out is refused, with the place and the step of each fault."""

import msgspec
import pytest

from anchor.core.dag import Graph
from anchor.core.graph_check import CYCLE_SHOWN_MAX, FAULTS_MAX, checked


def faults(*steps, word="steps", **more):
    steps = [{"type": "noop", **step} for step in steps]
    _, found = checked(msgspec.convert({"name": "g", word: steps, **more}, Graph))
    return [f"{fault.pointer} {fault.message}" for fault in found]


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ([], "/steps is empty; a graph needs a step"),
        ([{"id": "a"}, {"id": "a"}], "/steps/1/id is 'a', as /steps/0 is; each step needs its own"),
        (
            [{"id": "fetch"}, {"id": "b", "dependencies": ["fetsh"]}],
            "/steps/1/dependencies/0 of step 'b' names 'fetsh', which is no step of this graph; did you mean 'fetch'?",
        ),
        (
            [{"id": "a", "softDependencies": ["a"]}],
            "/steps/0/softDependencies/0 of step 'a' is the step itself; a step cannot wait for its own end",
        ),
        (
            [{"id": "a"}, {"id": "b", "dependencies": ["a"], "softDependencies": ["a"]}],
            "/steps/1/softDependencies/0 of step 'b' names 'a' a second time; name it once",
        ),
        (
            [{"id": "a", "dependencies": ["b"]}, {"id": "b", "dependencies": ["a"]}],
            "/steps/0/dependencies of step 'a' are part of a cycle: a → b → a",
        ),
        (
            [{"id": "a", "dependencies": ["end"]}, {"id": "end", "always": True}],
            "/steps/0/dependencies of step 'a' are part of a cycle: a → end → a; "
            "'end' always runs after all others, so nothing can depend on it",
        ),
        ([{"id": "a", "type": "parallel", "payload": {"sourceCode": "1"}}],
         "/steps/0/items of step 'a' is missing; it is a list, or the step that makes the list"),
        ([{"id": "a", "type": "parallel", "items": [1]}],
         "/steps/0/payload of step 'a' is missing; a parallel step runs it once per item"),
        ([{"id": "a", "items": [1]}], "/steps/0/items of step 'a' needs type parallel"),
        ([{"id": "a", "enough": 0.5}], "/steps/0/enough of step 'a' needs type parallel"),
        ([{"id": "a", "over": "files"}], "/steps/0/over of step 'a' needs type parallel"),
        ([{"id": "a", "speculate": False}], "/steps/0/speculate of step 'a' needs type parallel"),
        ([{"id": "a", "type": "parallel", "over": "shuffle", "items": [], "payload": {"sourceCode": "1"}}],
         "/steps/0/items of step 'a' is a list; over shuffle it names the step that left files"),
        ([{"id": "a", "type": "script", "payload": {"sourceCode": ""}}],
         "/steps/0/payload/sourceCode of step 'a' is empty"),
        ([{"id": "a\n"}], "/steps/0/id contains a control character; remove it"),
        ([{"id": "a", "type": "script", "verify": "quorum"}],
         "/steps/0/verify of step 'a' needs a payload; a step without one runs nothing"),
        (
            [{"id": "a"},
             {"id": "b", "type": "script", "dependencies": ["a"],
              "payload": {"sourceCode": "1", "inputs": {"a": {"value": 1}}}}],
            "/steps/1/payload/inputs of step 'b' name 'a', which is a step it depends on; choose another name",
        ),
    ],
)  # fmt: skip
def test_a_fault_names_its_place_and_step(steps, fault):
    assert fault in faults(*steps)


def test_tasks_is_another_word_for_steps_and_pointers_keep_it():
    assert faults({"id": "a", "dependencies": ["x"]}, word="tasks")[0].startswith("/tasks/0/dependencies/0 ")
    both = Graph(name="g", steps=[], tasks=[])
    assert checked(both)[1][0].pointer == "/steps"
    graph = msgspec.convert({"name": "g", "steps": [{"id": "a"}], "tasks": [{"id": "b"}]}, Graph)
    assert "cannot be combined with steps" in checked(graph)[1][0].message


def test_the_list_of_a_parallel_step_comes_from_a_step_it_then_waits_for():
    parallel = {"id": "p", "type": "parallel", "items": {"step": "a"}, "payload": {"sourceCode": "1"}}
    graph, found = checked(msgspec.convert({"name": "g", "steps": [{"id": "a"}, parallel]}, Graph))
    assert not found
    assert graph.steps[1].dependencies == ["a"]
    assert "names 'b', which is no step" in faults({"id": "a"}, parallel | {"items": {"step": "b"}})[0]


def test_a_short_cycle_is_shown_and_not_the_way_around_it():
    ring = [{"id": f"s{at}", "dependencies": [f"s{at - 1}"]} for at in range(1, 30)]
    found = faults({"id": "s0", "dependencies": ["s29"]}, *ring)[0]
    assert found.count("→") <= CYCLE_SHOWN_MAX
    assert "…" in found
    ring[1]["dependencies"] = ["s1", "s3"]
    ring[27]["dependencies"] = []
    assert faults({"id": "s0"}, *ring) == ["/steps/2/dependencies of step 's2' are part of a cycle: s2 → s3 → s2"]


def test_a_graph_full_of_faults_shows_a_bounded_number():
    assert len(faults(*({"id": f"s{at}", "dependencies": ["no"]} for at in range(300)))) == FAULTS_MAX


def test_too_many_dependencies_are_refused_before_they_are_followed():
    first = [{"id": f"s{at}"} for at in range(2000)]
    assert "dependencies; at most" in faults(*first, *({"id": f"t{at}", "always": True} for at in range(600)))[0]
