"""What moves work to one node rather than another, and what a node is short of at the moment."""

import pytest
from msgspec.structs import replace

from anchor.core.node import Metrics, Node, Profile
from anchor.core.placement import facts_of, lacks, os_family, scores_of, short_of, standing_of, unmet_by
from anchor.core.reputation import reliability
from anchor.core.spec import Limits, Need, Payload, Requirements, TaskSpec
from anchor.core.task import State, Task
from anchor.orchestrator.enter import drafted
from anchor.orchestrator.fleet import WINDOW, Fleet, Seat

NODE = Node(
    id="N",
    owner="ann",
    public_key=b"",
    joined_at=0,
    session=1,
    slots=4,
    lease_until=10,
    profile=Profile(cores=4, ram=8.0, os="Debian GNU/Linux 12 (Linux 6.1)", runtimes={"isolate": "1"}),
    metrics=Metrics(uptime=1, free_ram=4.0, free_disk=9.0),
)
SCRIPT = TaskSpec(name="t", payload=Payload(source_code="1"))


def fleet_of(*nodes: Node) -> Fleet:
    fleet = Fleet()
    for node in nodes:
        fleet.join(node)
    return fleet


def task_of(key: int, **changes: object) -> Task:
    return drafted(replace(SCRIPT, **changes), key=key, owner="ann", now=0)


def chosen(fleet: Fleet, task: Task, *, now: int = 0) -> Seat | None:
    seat = fleet.choose(task.shape, now=now, inputs=fleet.inputs_of(task.id))
    if seat is not None:
        seat.book(replace(task, state=State.LEASED, attempt=1), now)
    return seat


def name_of(seat: Seat | None) -> str:
    return "" if seat is None else seat.node


@pytest.mark.parametrize(
    "better",
    [replace(NODE, speed=4000.0), replace(NODE, metrics=Metrics(uptime=1, free_ram=8.0))],
    ids=["faster", "more free memory"],
)
def test_of_two_with_the_same_room_the_better_machine_gets_the_task(better: Node) -> None:
    fleet = fleet_of(replace(NODE, id="A"), replace(better, id="B"))
    assert name_of(chosen(fleet, task_of(1))) == "B"


def test_room_outweighs_speed_once_a_machine_is_busy() -> None:
    fleet = fleet_of(replace(NODE, id="A", speed=2000.0), replace(NODE, id="B", speed=1000.0))
    assert [name_of(chosen(fleet, task_of(key))) for key in range(3)] == ["A", "B", "A"]


def test_a_task_goes_where_its_inputs_went_lately() -> None:
    fleet = fleet_of(replace(NODE, id="A"), replace(NODE, id="B"))
    fleet.went_to("B", ["d1", "d2"])
    fleet.note_inputs(7, ("d1", "d3"))
    assert fleet.share_at("B", ("d1", "d3")) == 0.5
    assert name_of(chosen(fleet, task_of(7))) == "B"


def test_the_parts_of_a_score_add_up_to_what_is_compared() -> None:
    scores = scores_of(NODE, load=0.5, reliability=0.8, inputs=0.25)
    standing = standing_of(NODE, 0.8)
    assert scores.total == pytest.approx(4 * 0.5 + 2 * 0.25 + standing)
    assert (scores.room, scores.speed, scores.memory) == (0.5, 0.5, 0.5)


def test_memory_asked_for_is_promised_once() -> None:
    fleet = fleet_of(NODE)
    big = [task_of(key, limits=Limits(memory_mb=3072)) for key in range(3)]
    assert [name_of(chosen(fleet, task)) for task in big] == ["N", "N", ""]
    seat = fleet.seat("N")
    assert seat is not None
    assert seat.short_of(Need(memory_mib=3072)) == "has promised 6144 of its 8192 MiB, and 3072 are asked for"
    del seat.held[0]
    assert name_of(chosen(fleet, big[2])) == "N"


def test_cores_asked_for_are_promised_once() -> None:
    fleet = fleet_of(NODE)
    wide = [task_of(key, requirements=Requirements(min_cores=3)) for key in range(2)]
    assert [name_of(chosen(fleet, task)) for task in wide] == ["N", ""]
    assert name_of(chosen(fleet, task_of(9))) == "N"


def test_memory_that_is_not_free_now_is_not_promised() -> None:
    said = short_of(Need(memory_mib=5120), NODE.profile, NODE.metrics, booked_mib=0, booked_cores=0)
    assert said == "has 4 GiB of RAM free of the 5 asked for"


def test_an_expression_is_asked_of_every_node_and_again_where_its_values_change() -> None:
    fleet = fleet_of(NODE)
    now_enough = replace(NODE, ver=2, metrics=Metrics(uptime=1, free_ram=7.0))
    live = task_of(1, requirements=Requirements(expression='node.free_ram >= "6GiB"'))
    assert not fleet.has_room_for(live.shape, now=0)
    seat = fleet.seat("N")
    assert seat is not None
    seat.see(now_enough)
    seat.lease_until = 10_000
    assert fleet.has_room_for(live.shape, now=2_000)
    never = task_of(2, requirements=Requirements(expression="node.owner != 'ann'"))
    assert not fleet.has_room_for(never.shape, now=2_000)


def test_whoever_joins_or_leaves_is_seen_by_shapes_that_were_asked_for_before() -> None:
    fleet = fleet_of()
    task = task_of(1)
    assert chosen(fleet, task) is None
    fleet.join(NODE)
    assert name_of(chosen(fleet, task)) == "N"
    fleet.leave("N", 1)
    assert chosen(fleet, task_of(2)) is None


def test_a_large_fleet_is_filled_evenly_to_the_last_slot() -> None:
    count = 3 * WINDOW
    fleet = fleet_of(*(replace(NODE, id=f"N{number:03}", slots=2) for number in range(count)))
    homes = [name_of(chosen(fleet, task_of(key))) for key in range(2 * count + 1)]
    assert len(set(homes[:count])) == count
    assert homes.count("") == 1
    assert not fleet.has_room(now=0)
    seat = fleet.seat("N050")
    assert seat is not None
    del seat.held[next(iter(seat.held))]
    assert fleet.free(now=0) == 1
    assert name_of(chosen(fleet, task_of(9_999))) == "N050"


def test_every_lack_comes_with_its_change_and_the_first_is_the_one_that_is_said() -> None:
    need = Need(
        runtime="wasm", min_cores=8, min_ram_gib=16, gpu=True, labels=("a", "b"), memory_mib=99, features=("files",)
    )
    profile = replace(NODE.profile, task_memory_mib=64)
    found = lacks(profile, need)
    assert found[0].text == unmet_by(profile, need)
    assert [lack.change for lack in found][1:] == [
        "lower requirements.minCores to 4",
        "lower requirements.minRam to 8",
        "drop requirements.gpuRequired",
        "lower limits.memoryMb to 64",
        "do without files",
        "drop the label 'a', or start that agent with --label a",
        "drop the label 'b', or start that agent with --label b",
    ]
    assert all(lack.cost > 0 for lack in found)


@pytest.mark.parametrize(
    ("name", "family"),
    [("Debian GNU/Linux 12 (Linux 6.1)", "linux"), ("macOS 14.1", "macos"), ("Windows 11", "windows"), ("", "")],
)
def test_systems_are_known_by_their_family(name: str, family: str) -> None:
    assert os_family(name) == family


def test_a_node_that_sent_no_figures_yet_counts_as_free() -> None:
    silent = replace(NODE, metrics=Metrics())
    facts = facts_of(silent, runtime="isolate", load=0.0, reliability=reliability(silent, "isolate"))
    assert facts["free_ram"] == 8.0
    assert facts["os"] == "linux"
    assert facts["confinement"] == "none"
