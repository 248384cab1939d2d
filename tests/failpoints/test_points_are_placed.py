"""No durable effect without a failpoint behind it, and no failpoint that the list cannot name."""

import ast
from pathlib import Path

import pytest
from tests.failpoints.points import BadPoint, points_in
from tests.failpoints.rules import (
    READS,
    WRITES,
    changes_a_disk,
    functions_in,
    has_point_near,
    methods_of_ports,
    unfollowed,
    writes_through_a_port,
    writes_to_mongo,
)

LOADING = "orchestrator/restore.py load"
"""Fills a store that nobody opens before all of it is there: what a crash leaves is thrown away."""


def test_every_method_of_a_port_is_known_to_write_or_to_read() -> None:
    assert methods_of_ports() - READS - WRITES == set()
    assert not READS & WRITES


def test_behind_every_write_through_a_port_comes_a_failpoint() -> None:
    missing = [
        f"{where}, line {line}"
        for where, function, _ in functions_in("orchestrator", "server", "wiring")
        for line in unfollowed(function, writes_through_a_port)
        if where != LOADING
    ]
    assert missing == []


def test_between_two_writes_to_mongodb_comes_a_failpoint() -> None:
    missing = [
        f"{where}, line {line}"
        for where, function, _ in functions_in("adapters/mongo", "adapters/gridfs")
        for line in unfollowed(function, writes_to_mongo, last_too=False)
    ]
    assert missing == []


def test_near_everything_that_changes_a_disk_is_a_failpoint() -> None:
    places = ("adapters/sqlite", "adapters/files", "agent/journal.py", "agent/identity.py", "wiring")
    missing = [
        where
        for where, function, module in functions_in(*places)
        if any(changes_a_disk(node) for node in ast.walk(function)) and not has_point_near(function, module)
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("reached('a.b')\nreached('a.b')", "is at"),
        ("reached(name)", "one literal"),
        ("reached('a.' + 'b')", "one literal"),
        ("failpoints.reached(f'a.{b}')", "one literal"),
        ("reached('noPart')", "one literal"),
    ],
)
def test_a_failpoint_that_cannot_be_listed_is_refused(code: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(code)
    with pytest.raises(BadPoint, match=says):
        points_in(tmp_path)


def test_a_write_without_a_failpoint_is_noticed() -> None:
    [function] = ast.parse(
        "async def step(world):\n"
        "    await world.store.swap(1)\n"
        "    await world.store.insert(2)\n"
        "    reached('a.b')\n"
        "    await world.ready.push(3)\n"
    ).body
    assert isinstance(function, ast.AsyncFunctionDef)
    assert unfollowed(function, writes_through_a_port) == [2, 5]
