"""A graph written as YAML is read over the API as the command line reads a file; what is wrong has line and column."""

from typing import Any

import pytest
from served import Served, assert_problem


def ask(server: Served, text: str) -> Any:
    return server.client.post("/api/dags/read", json={"text": text})


def test_yaml_is_read_as_the_command_line_reads_it(server: Served) -> None:
    text = """
        # A comment, an anchor, and words that are no booleans.
        defaults: &once {retry: {attempts: 1}}
        name: prices
        steps:
          - {id: apples, <<: *once, payload: {runtime: isolate, sourceCode: return 1e3}}
          - id: on
            dependencies: [apples]
            payload:
              sourceCode: |
                return inputs.apples
    """
    answer = ask(server, text)
    assert answer.status_code == 200, answer.text
    graph = answer.json()["graph"]
    once = {"retry": {"attempts": 1}}
    assert graph == {
        "defaults": once,
        "name": "prices",
        "steps": [
            {"id": "apples", **once, "payload": {"runtime": "isolate", "sourceCode": "return 1e3"}},
            {"id": "on", "dependencies": ["apples"], "payload": {"sourceCode": "return inputs.apples\n"}},
        ],
    }


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("name: g\nsteps:\n  - id: a\n id: b\n", "line 4, column 2", "expected"),
        ("name: g\nname: h\n", "line 2, column 1", "given twice"),
        ("name: g\nsteps: !!python/object:os.system []\n", "line 2, column 8", "has no place in a graph"),
        ("name: ä\nsteps: \u0001\n", "line 2, column 8", "control characters"),
        ("a: &a [*a]\n", "line 1, column 4", "contains itself"),
        ("- a\n- b\n", "line 1, column 1", "not a mapping"),
        ("a: " + "[" * 200, "line 1, column 103", "nested more than 100"),
    ],
)
def test_what_cannot_be_read_is_refused_with_line_and_column(server: Served, text: str, where: str, says: str) -> None:
    answer = ask(server, text)
    assert_problem(answer, 400, "invalid_request", says=says)
    assert f"The YAML, {where}: " in answer.json()["detail"]


def test_what_would_grow_beyond_bounds_is_refused_before_it_does(server: Served) -> None:
    long = f"a: &a {'x' * 50_000}\nb: [{'*a,' * 5_000}]\n"
    many = f"a: &a [{'1,' * 1_000}]\nb: [{'*a,' * 1_000}]\n"
    for text in (long, many):
        assert_problem(ask(server, text), 400, "invalid_request", says="its aliases make it grow")
    assert_problem(ask(server, "x" * (1 << 19)), 413, "too_large")
