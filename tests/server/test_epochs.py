"""Invariant 24: a restored server never accepts a newer epoch than its own unasked, nor old attempts as its own."""

import asyncio
from pathlib import Path

import httpx
import pytest
from puppet import Puppet, Session
from served import Served

from anchor.config import Settings
from anchor.core.ids import key_of
from anchor.wire.link import UNKNOWN_EPOCH, Challenge, Held, Refused, Welcome
from anchor.wiring.backup import adopt_epoch


def greet(session: Session, *, epoch: int, held: list[tuple[int, int]]) -> Welcome | Refused:
    """Say hello as an agent that was told this epoch; what the server says to that."""
    nonce = session.next(Challenge).nonce
    session.send(session.puppet.hello(nonce, epoch=epoch, held=[Held(*one) for one in held]))
    answer = session.next(object)  # type: ignore[type-var]
    assert isinstance(answer, Welcome | Refused)
    return answer


def adopt(server: Served, epoch: int) -> int:
    """What `anchor restore --adopt-epoch` does, with the server stopped."""
    server.stop()
    adopted = asyncio.run(adopt_epoch(Settings(data=server.data), epoch))
    server.start()
    return adopted


def refused_attempts(server: Served) -> list[str]:
    answer: httpx.Response = server.client.get("/api/audit", params={"kind": "attempt_refused", "limit": 1000})
    return [entry["message"] for entry in answer.json()][::-1]


def test_attempts_from_before_a_restore_are_dropped_and_the_unknown_ones_listed(own_server: Served) -> None:
    puppet = Puppet(own_server)
    with puppet.connect() as session:
        task = own_server.submit()
        [item] = session.assigned()
    adopt(own_server, 0)
    assert own_server.task(task)["attempts"][0]["outcome"] == "released"
    held = [(item.task, 1), (item.task, 5), (77, 2)]
    with puppet.call() as session:
        welcome = greet(session, epoch=0, held=held)
        assert isinstance(welcome, Welcome)
        assert (welcome.epoch, [(one.task, one.attempt) for one in welcome.dropped]) == (1, held)
        [again] = session.assigned()
        assert (again.task, again.attempt) == (item.task, 2)
    said = refused_attempts(own_server)
    assert len(said) == 2
    assert said[0].startswith(f"Attempt 5 of {task}: ")
    assert "Attempt 2 of task_" in said[1]


@pytest.mark.parametrize("restored", [False, True])
def test_an_agent_that_never_says_its_epoch_keeps_its_work_only_where_nothing_was_restored(
    restored: bool, own_server: Served
) -> None:
    if restored:
        adopt(own_server, 0)
    puppet = Puppet(own_server)
    with puppet.call() as session:
        assert isinstance(greet(session, epoch=UNKNOWN_EPOCH, held=[]), Welcome)
        task = own_server.submit()
        [item] = session.assigned()
    with puppet.call() as session:
        welcome = greet(session, epoch=UNKNOWN_EPOCH, held=[(item.task, item.attempt)])
        assert isinstance(welcome, Welcome)
        assert [one.task for one in welcome.dropped] == ([item.task] if restored else [])
        if restored:
            [again] = session.assigned()
            assert (again.task, again.attempt) == (item.task, 2)
            assert own_server.task(task)["attempts"][0]["outcome"] == "released", "nobody is charged for it"
    assert refused_attempts(own_server) == []


def test_within_an_epoch_attempts_the_store_does_not_know_are_refused_listed_and_bounded(own_server: Served) -> None:
    puppet = Puppet(own_server)
    task = key_of("task", own_server.submit())
    with puppet.call() as session:
        held = [(task, 40), *((number, 1) for number in range(1, 120))]
        welcome = greet(session, epoch=0, held=held)
        assert isinstance(welcome, Welcome)
        assert len(welcome.dropped) == 120
    said = refused_attempts(own_server)
    assert len(said) == 101
    assert "Attempt 40 of" in said[0]
    assert said[-1].startswith("20 more attempts")


def test_an_old_copy_takes_in_nobody_who_knows_a_newer_epoch_until_it_is_told_to(own_server: Served) -> None:
    puppet = Puppet(own_server)
    for _ in range(2):
        with puppet.call() as session:
            refused = greet(session, epoch=3, held=[(1, 1)])
            assert isinstance(refused, Refused)
            assert (refused.code, refused.retry_after) == ("newer_epoch", 60)
            assert "--adopt-epoch 3" in refused.hint
    health = own_server.client.get("/health").json()
    assert [problem["code"] for problem in health["problems"]] == ["newer_epoch"]
    entries = own_server.client.get("/api/audit", params={"kind": "newer_epoch"}).json()
    assert [entry["subject"] for entry in entries] == [puppet.node], "once for each node"
    assert adopt(own_server, 3) == 4
    with puppet.call() as session:
        welcome = greet(session, epoch=3, held=[(1, 1)])
        assert isinstance(welcome, Welcome)
        assert (welcome.epoch, len(welcome.dropped)) == (4, 1)
    assert own_server.is_well()
    restored = own_server.client.get("/api/audit", params={"kind": "restored"}).json()
    assert len(restored) == 1


def test_an_epoch_is_adopted_only_while_no_server_runs(own_server: Served, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="in use by another Anchor server"):
        asyncio.run(adopt_epoch(Settings(data=own_server.data), 3))
