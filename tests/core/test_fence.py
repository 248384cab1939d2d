"""The fence: only the holder of exactly the live (node, session, attempt) may end a task."""

import pytest
from msgspec.structs import replace

from anchor.core.spec import TaskSpec
from anchor.core.task import HELD, State, Task, adopt, extend, holds, lease, queued

LEASED = lease(
    queued(key=1, owner="ann", spec=TaskSpec(name="t", type="noop"), shape="{}", now=0),
    node="REX-A1B2C3",
    session=4,
    now=10,
    lease_ms=15_000,
)


def test_the_live_lease_passes() -> None:
    assert holds(LEASED, node="REX-A1B2C3", session=4, attempt=1)


@pytest.mark.parametrize(
    ("node", "session", "attempt"),
    [("BOB-A1B2C3", 4, 1), ("REX-A1B2C3", 3, 1), ("REX-A1B2C3", 5, 1), ("REX-A1B2C3", 4, 0), ("REX-A1B2C3", 4, 2)],
    ids=["another node", "an older session", "a newer session", "an older attempt", "an attempt yet to come"],
)
def test_anybody_else_is_fenced_off(node: str, session: int, attempt: int) -> None:
    assert not holds(LEASED, node=node, session=session, attempt=attempt)


@pytest.mark.parametrize("state", sorted(set(State) - HELD))
def test_nobody_holds_a_task_that_is_not_leased(state: State) -> None:
    assert not holds(replace(LEASED, state=state), node="REX-A1B2C3", session=4, attempt=1)


def test_a_task_that_is_being_cancelled_is_still_held() -> None:
    assert holds(replace(LEASED, state=State.CANCELLING), node="REX-A1B2C3", session=4, attempt=1)


def test_an_adopted_attempt_answers_to_the_new_session_only() -> None:
    adopted: Task = adopt(LEASED, session=5, until=20_000)
    assert holds(adopted, node="REX-A1B2C3", session=5, attempt=1)
    assert not holds(adopted, node="REX-A1B2C3", session=4, attempt=1)
    assert (adopted.attempt, adopted.ver, adopted.wake_at) == (1, LEASED.ver + 1, 20_000)


def test_an_extended_lease_is_the_same_lease_looked_at_later() -> None:
    extended = extend(LEASED, until=20_000)
    assert holds(extended, node="REX-A1B2C3", session=4, attempt=1)
    assert (extended.ver, extended.wake_at) == (LEASED.ver + 1, 20_000)


def test_each_lease_has_the_next_number() -> None:
    again = lease(replace(LEASED, state=State.QUEUED), node="BOB-Z9Y8X7", session=1, now=50, lease_ms=15_000)
    assert (LEASED.attempt, again.attempt) == (1, 2)
    assert (again.leased_at, again.wake_at) == (50, 15_050)
