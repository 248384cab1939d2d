"""A node shows how fast it works; what it cannot have worked out is a fault of its own."""

import time
from itertools import islice
from typing import Any

import pytest
from puppet import Puppet
from served import Served

from anchor.agent.measuring import measured
from anchor.core.speed import chain, is_right
from anchor.wire.link import Measure, Measured, Nack


def test_a_node_is_measured_once_it_is_idle_and_lies_are_found_out(server: Served) -> None:
    puppets = [Puppet(server, name=name) for name in ("Honest", "Forger", "Boaster")]
    sessions = {puppet.node: puppet.connect() for puppet in puppets}
    honest, forger, boaster = sessions.values()
    asked = honest.next(Measure)
    began = time.monotonic()
    marks = list(islice(chain(asked.nonce, asked.rounds), asked.segments))
    honest.send(Measured(asked.nonce, marks, time.monotonic() - began))
    asked = forger.next(Measure)
    forger.send(Measured(asked.nonce, [bytes(64)] * asked.segments, 0.06))
    asked = boaster.next(Measure)
    boaster.send(Measured(asked.nonce, [bytes(64)] * asked.segments, 0.0))
    boaster.send(Measured(b"another", marks, 0.1))
    assert "Nobody asked" in boaster.next(Nack).message
    shown: dict[str, Any] = {}
    until = time.monotonic() + 10
    while sum(len(one["faults"]) + (one["speed"] > 0) for one in shown.values()) < 3 and time.monotonic() < until:
        time.sleep(0.05)
        shown = {one["nodeId"]: one for one in server.client.get(server.url + "/api/nodes").json()}
    said = server.said()
    for puppet, lies in zip(puppets, (0, 1, 1), strict=True):
        lines = [line for line in said.splitlines() if "claim about its speed" in line and puppet.node in line]
        assert len(lines) == lies
    assert [shown[puppet.node]["faults"].get("node", 0) for puppet in puppets] == [0, 1, 1]
    assert [shown[puppet.node]["speed"] > 0 for puppet in puppets] == [True, False, False]
    for session in sessions.values():
        session.close()


@pytest.mark.anyio
async def test_an_agent_answers_with_a_chain_that_can_be_checked() -> None:
    answer = await measured(Measure(b"n" * 32, 4, 500), lambda: False)
    assert answer is not None
    assert all(is_right(b"n" * 32, answer.marks, 500, number) for number in range(4))
    assert not is_right(b"o" * 32, answer.marks, 500, 0)
    assert not is_right(b"n" * 32, [*answer.marks[:1], *answer.marks], 500, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("asked", [Measure(b"n", 4, 10_000_000), Measure(b"n", 10_000, 500), Measure(b"n", 0, 500)])
async def test_an_agent_does_no_more_than_a_little_for_it(asked: Measure) -> None:
    assert await measured(asked, lambda: False) is None


@pytest.mark.anyio
async def test_an_agent_that_has_work_does_not_answer() -> None:
    looks = iter([False, True])
    assert await measured(Measure(b"n", 4, 500), lambda: next(looks)) is None
