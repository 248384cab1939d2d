"""A node is found by what its machine says of itself and by what an operator says of it."""

from anchor.core.node import Node, Profile, Status, labelled, offer_of
from anchor.core.placement import facts_of, unmet_by
from anchor.core.spec import Need, shape_of
from anchor.orchestrator.fleet import Fleet

NODE = Node(
    id="AAA-000001",
    owner="ann",
    public_key=b"",
    joined_at=1,
    session=1,
    lease_until=1000,
    profile=Profile(labels=("own",), cores=1, ram=1.0),
)
NEED = Need(runtime="noop", labels=("given",))


def test_given_labels_come_after_those_of_the_machine_and_each_once() -> None:
    node = labelled(NODE, ["given", "own", "given"])
    assert node.ver == NODE.ver + 1
    assert node.labels == ("given", "own")
    assert offer_of(node).labels == ("own", "given")
    assert offer_of(NODE) is NODE.profile
    assert facts_of(node, runtime="noop", load=0.0, reliability=0.5)["labels"] == ("own", "given")
    assert unmet_by(offer_of(NODE), NEED) is not None
    assert unmet_by(offer_of(node), NEED) is None


def test_a_fleet_finds_a_seat_by_a_label_it_was_given_later_and_no_more_once_it_is_taken() -> None:
    fleet = Fleet()
    seat = fleet.join(NODE)
    shape = shape_of(NEED)
    assert fleet.choose(shape, now=1) is None
    given = labelled(NODE, ["given"])
    seat.see(given)
    assert fleet.has_room_for(shape, now=1)
    assert fleet.choose(shape, now=1) is seat
    seat.see(labelled(given, []))
    assert fleet.choose(shape, now=1) is None
    assert seat.status is Status.READY
