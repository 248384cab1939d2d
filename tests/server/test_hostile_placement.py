"""Needs and machines that somebody makes up to stop the others from being served."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from puppet import Puppet, Session, failure, success
from served import Served, assert_problem

from anchor.core.placement import meets
from anchor.wire.link import Recorded

SOON_SECONDS = 5.0


@pytest.fixture
def puppet(own_server: Served) -> Iterator[Session]:
    with Puppet(own_server, version="1" * 5_000, labels=("\x1b[31mred\n", "lab")).connect() as session:
        yield session


def served_soon(server: Served, puppet: Session, **fields: object) -> None:
    """A task gets its node though the queue is full of others."""
    payload = {"sourceCode": "return 1", "runtime": "isolate"}
    began = time.monotonic()
    answer = server.client.post("/api/tasks", json={"name": "honest", "payload": payload, **fields})
    assert answer.status_code == 201, answer.text
    [item] = puppet.assigned()
    puppet.report([success(item, 1)])
    assert time.monotonic() - began < SOON_SECONDS


def test_thousands_of_different_needs_that_nobody_meets_keep_nobody_waiting(
    own_server: Served, puppet: Session
) -> None:
    for first in range(0, 4_000, 2_000):
        tasks = [
            {
                "name": "greedy",
                "payload": {"sourceCode": "1"},
                "requirements": {"expression": " and ".join(f"node.cores > {number + more}" for more in range(40))},
            }
            for number in range(100 + first, 2_100 + first)
        ]
        assert own_server.client.post("/api/tasks", json=tasks).status_code == 201
    for _ in range(3):
        served_soon(own_server, puppet)
    # Whoever joins later is asked, too.
    large = {"expression": "node.cores > 3 and node.cores < 5 and 'late' in node.labels"}
    waiting = own_server.submit(requirements=large)
    with Puppet(own_server, name="Late", labels=("late",)).connect() as late:
        [item] = late.assigned()
        late.report([success(item)])
        late.next(Recorded)
    assert own_server.task(waiting)["state"] == "succeeded"


def test_a_machine_may_call_itself_anything(own_server: Served, puppet: Session) -> None:
    """A version of 5,000 digits is compared like any other, and a label is what it is."""
    for expression in ('node.version > "1.0"', "'\x1b[31mred\n' in node.labels"):
        answer = own_server.client.post(
            "/api/tasks", json={"name": "t", "type": "noop", "requirements": {"expression": expression}}
        )
        if answer.status_code == 201:
            [item] = puppet.assigned()
            puppet.report([success(item)])
        else:
            assert_problem(answer, 400, "invalid_task")
    task = own_server.submit(requirements={"expression": 'node.version > "9"  and node.version < "1"'})
    why = own_server.client.get(f"/api/tasks/{task}/why")
    assert why.status_code == 200


def test_what_a_machine_says_of_itself_does_nothing_to_a_terminal(own_server: Served, puppet: Session) -> None:
    """Escape sequences, carriage returns and marks that turn the direction of writing are shown, not obeyed."""
    payload = {"sourceCode": "1", "runtime": "isolate"}
    task = own_server.client.post(
        "/api/tasks", json={"name": "t", "payload": payload, "retry": {"attempts": 1}}
    ).json()["id"]
    [item] = puppet.assigned()
    puppet.report([failure(item, "script_error", "\x1b]0;title\x07\x1b[2J\rgone \u202eback [bold]")])
    puppet.next(Recorded)
    waiting = own_server.submit(requirements={"labels": ["nowhere"]})
    asked = [
        subprocess.Popen(
            [sys.executable, "-m", "anchor", *command],
            env={**os.environ, "ANCHOR_URL": own_server.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for command in (["node", "get", puppet.puppet.node], ["task", "get", task], ["why", waiting])
    ]
    said = b"".join(one.communicate(timeout=30)[0] for one in asked)
    text = said.decode()
    assert not {"\x1b", "\r", "\x07", "\u202e"}.intersection(text)
    assert "[bold]" in text
    assert "␛]0;title" in text


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 1_000,
        "not " * 200 + "node.cores > 1",
        "node.__class__ == 1",
        "node.cores.__class__ == 1",
        "node.cores < 1e308GiB",
        "[" * 500,
        "node.cores in [" + "1," * 300 + "1]",
        "node.ｃores > 1",  # noqa: RUF001
        "__import__('os')",
        "node.cores > 1 #",
        "node.os == \u201clinux\u201d",
        "node.cores > " + "9" * 1_000,
    ],
)
def test_what_is_no_expression_is_refused_at_its_column(server: Served, expression: str) -> None:
    body = {"name": "t", "type": "noop", "requirements": {"expression": expression}}
    answer = server.client.post("/api/tasks", json=body)
    assert answer.status_code == 400, answer.text
    assert len(answer.content) < 3_000


def test_numbers_of_any_size_are_compared() -> None:
    facts = {"cores": 4, "ram": 8.0}
    assert meets("node.cores < " + "9" * 900, facts)
    assert not meets("node.ram > " + "9" * 900 + "TiB", facts)
