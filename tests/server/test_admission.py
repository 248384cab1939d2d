"""Who is let in, and how much may wait: bounds that no storm gets past."""

from typing import Any

import pytest

from anchor.core.node import Node
from anchor.server import admission, lines
from anchor.server.admission import Admission
from anchor.server.app_secrets import AppSecrets
from anchor.server.lines import Line, Lines
from anchor.wire.link import Nack


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_thousand_agents_at_once_are_let_in_fifty_a_second_and_nobody_is_told_the_same_time() -> None:
    watch = Watch()
    door = Admission(watch)
    calls = [(0.0, number) for number in range(1000)]
    let_in: list[float] = []
    told: list[float] = []
    while calls:
        watch.now, agent = min(calls)
        calls.remove((watch.now, agent))
        wait = door.turn(urgent=False)
        if wait:
            told.append(wait)
            calls.append((watch.now + wait, agent))
        else:
            let_in.append(watch.now)
    assert sum(at == 0 for at in let_in) == admission.HELLOS_BURST
    for second in range(1, 40):
        assert sum(at <= second for at in let_in) <= admission.HELLOS_BURST + second * admission.HELLOS_PER_SECOND
    assert max(let_in) < 45
    assert len(set(told)) == len(told)
    assert max(told) <= admission.RETRY_SECONDS_MAX


def test_an_agent_that_holds_work_does_not_wait_its_turn() -> None:
    door = Admission(Watch())
    while not door.turn(urgent=False):
        pass
    assert door.turn(urgent=True) == 0
    assert door.turn(urgent=False) > 0


def test_sockets_that_say_nothing_are_bounded_by_address_and_in_all() -> None:
    door = Admission(Watch())
    assert all(door.enter("192.0.2.1") for _ in range(admission.UNGREETED_PER_ADDRESS_MAX))
    assert not door.enter("192.0.2.1")
    assert door.enter("192.0.2.2")
    door.leave("192.0.2.1")
    assert door.enter("192.0.2.1")
    left = admission.UNGREETED_MAX - admission.UNGREETED_PER_ADDRESS_MAX - 1
    assert all(door.enter("127.0.0.1") for _ in range(left))
    assert not door.enter("127.0.0.1")
    assert not door.enter("192.0.2.3")


def line_of(all_lines: Lines, number: int) -> Line:
    socket: Any = None
    line = Line(socket, Node(id=f"NOD-{number}", owner="o", public_key=b"", joined_at=0), all_lines)
    all_lines.connect(line)
    return line


@pytest.mark.anyio
async def test_what_waits_on_all_lines_is_bounded_by_cutting_the_slowest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "OUTBOXES_BYTES_MAX", 100_000)
    store: Any = None
    all_lines = Lines(store, secrets=AppSecrets(b""), lease_seconds=15, heartbeat_seconds=3)
    several = [line_of(all_lines, number) for number in range(10)]
    for line in several:
        line.send(Nack("x" * 5_000))
    several[3].send(Nack("x" * 40_000))
    assert not any(line.over.done() for line in several)
    several[5].send(Nack("x" * 10_000))
    assert [line.over.done() for line in several] == [number == 3 for number in range(10)]
    assert all_lines.waiting_bytes == sum(line.waiting_bytes for line in several) < 70_000
    for line in several:
        all_lines.disconnect(line)
    assert all_lines.waiting_bytes == 0


@pytest.mark.anyio
async def test_a_third_connection_of_a_node_cuts_the_first() -> None:
    store: Any = None
    all_lines = Lines(store, secrets=AppSecrets(b""), lease_seconds=15, heartbeat_seconds=3)
    first, second, third = (line_of(all_lines, 1) for _ in range(3))
    assert first.over.done()
    assert second.closing
    assert not second.over.done()
    assert not third.closing
    assert not all_lines.disconnect(second)
    assert all_lines.disconnect(third)
