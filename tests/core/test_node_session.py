"""A node's sessions: each hello raises the epoch, each heartbeat renews one lease for everything held."""

import re

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from anchor.core.attempt import Reason
from anchor.core.node import (
    Metrics,
    Node,
    Profile,
    Status,
    beat,
    greet,
    is_connected,
    lease_has_ended,
    node_id_from,
    with_status,
)

NODE = Node(id="REX-A1B2C3", owner="ann", public_key=b"k" * 32, joined_at=0)
GREETED = greet(NODE, profile=Profile(cores=4), slots=4, now=1_000, lease_ms=15_000)


@given(st.text(max_size=30), st.binary(min_size=12, max_size=12))
def test_every_machine_gets_an_id_that_looks_like_one(name: str, chances: bytes) -> None:
    assert re.fullmatch(r"[A-Z]{3}-[A-Z0-9]{6}", node_id_from(name, chances))


def test_an_id_begins_with_the_machines_name() -> None:
    assert node_id_from("rex-the-laptop.local", bytes(12)).startswith("REX-")


def test_a_node_that_never_said_hello_is_not_connected() -> None:
    assert not is_connected(NODE, now=0)


def test_a_hello_opens_the_next_session_with_a_lease() -> None:
    again = greet(GREETED, profile=Profile(cores=8), slots=8, now=2_000, lease_ms=15_000)
    assert (GREETED.session, again.session) == (1, 2)
    assert (again.ver, again.profile.cores, again.slots, again.lease_until) == (GREETED.ver + 1, 8, 8, 17_000)


def test_a_heartbeat_renews_the_lease_and_keeps_the_session() -> None:
    later = beat(GREETED, Metrics(cpu_usage=50.0), now=9_000, lease_ms=15_000)
    assert (later.session, later.lease_until, later.seen_at) == (1, 24_000, 9_000)
    assert (later.ver, later.metrics.cpu_usage) == (GREETED.ver + 1, 50.0)


def test_a_lease_ends_with_the_millisecond_it_runs_until() -> None:
    assert not lease_has_ended(GREETED, 1, now=15_999)
    assert lease_has_ended(GREETED, 1, now=16_000)
    assert is_connected(GREETED, now=15_999)
    assert not is_connected(GREETED, now=16_000)


def test_a_lease_ends_when_its_session_is_replaced() -> None:
    again = greet(GREETED, profile=Profile(), slots=4, now=2_000, lease_ms=15_000)
    assert lease_has_ended(again, 1, now=2_001)
    assert not lease_has_ended(again, 2, now=2_001)


def test_a_lease_of_a_node_that_is_gone_has_ended() -> None:
    assert lease_has_ended(None, 1, now=0)


def test_what_the_owner_decides_outlives_a_hello() -> None:
    drained = with_status(GREETED, Status.DRAINING, Reason("draining", "Draining by ann."))
    again = greet(drained, profile=Profile(), slots=4, now=2_000, lease_ms=15_000)
    assert (again.status, again.reason) == (Status.DRAINING, Reason("draining", "Draining by ann."))
    assert with_status(again, Status.READY, None) == replace(again, ver=again.ver + 1, status=Status.READY, reason=None)
