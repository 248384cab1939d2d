"""Who gets a task, and for every node that does not, the first thing it lacks."""

import msgspec
import pytest

from anchor.core.node import Profile, Status
from anchor.core.placement import NoFit, Placement, pick, place, unmet_by
from anchor.core.spec import Need

LAPTOP = Profile(cores=4, ram=8.0, runtimes={"isolate": "0.14"}, labels=("lab",))


class Seat(msgspec.Struct, frozen=True):
    node: str
    profile: Profile = LAPTOP
    status: Status = Status.READY
    free: int = 1
    load: float = 0.0

    def standing(self, runtime: str) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("need", "why"),
    [
        (Need(runtime="wasm"), "has no runtime wasm"),
        (Need(min_cores=8), "has 4 cores of the 8 required"),
        (Need(min_ram_gib=16), "has 8 GiB of RAM of the 16 required"),
        (Need(gpu=True), "has no GPU"),
        (Need(labels=("lab", "fast")), "is not labelled 'fast'"),
    ],
)
def test_a_node_says_the_first_thing_it_lacks(need: Need, why: str) -> None:
    assert unmet_by(LAPTOP, need) == why


SHARED = Profile(runtimes={"native": "1"}, gpus=("NVIDIA",), task_memory_mib=512, features=("files",), gpu_tasks=False)


@pytest.mark.parametrize(
    ("need", "why"),
    [
        (Need(runtime="native", gpu=True), "keeps its GPU to itself: its owner has to allow it (allow_gpu)"),
        (Need(runtime="native", memory_mib=513), "offers a task 512 MiB of the 513 asked for"),
        (Need(runtime="native", memory_mib=512, features=("files",)), None),
        (Need(runtime="native", features=("files", "modules")), "does not run several modules"),
        (Need(runtime="native", features=("network",)), "gives tasks no network"),
        (Need(runtime="native", features=("deterministic",)), "has no deterministic profile"),
        (Need(runtime="native", features=("telepathy",)), "does not offer telepathy"),
    ],
)
def test_what_its_owner_does_not_offer_a_node_lacks(need: Need, why: str | None) -> None:
    assert unmet_by(SHARED, need) == why


def test_an_agent_that_says_nothing_of_memory_takes_any_limit() -> None:
    assert unmet_by(LAPTOP, Need(runtime="isolate", memory_mib=100_000)) is None


def test_a_node_passes_on_why_it_lacks_a_runtime() -> None:
    profile = msgspec.structs.replace(LAPTOP, missing={"native": "bubblewrap is not installed"})
    assert unmet_by(profile, Need(runtime="native")) == "has no runtime native: bubblewrap is not installed"


@pytest.mark.parametrize(
    "need", [Need(), Need(runtime="isolate", min_cores=4, min_ram_gib=8, labels=("lab",))], ids=["noop", "everything"]
)
def test_a_node_that_has_exactly_what_is_needed_lacks_nothing(need: Need) -> None:
    assert unmet_by(LAPTOP, need) is None


def test_the_least_loaded_node_gets_the_task() -> None:
    assert place(Need(), [Seat("A", load=0.5), Seat("B", load=0.25), Seat("C", load=0.75)]) == Placement("B")


def test_ties_go_to_more_open_slots_and_then_by_name() -> None:
    assert place(Need(), [Seat("A", free=1), Seat("B", free=2)]) == Placement("B")
    assert place(Need(), [Seat("B"), Seat("A")]) == Placement("A")


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.READY])
def test_13_a_node_that_is_draining_blocked_or_quarantined_gets_nothing(status: Status) -> None:
    seat = Seat("A", status=status)
    assert pick([seat]) is None
    assert place(Need(), [seat]) == NoFit({"A": f"is {status}"})


def test_12_a_node_without_an_open_slot_gets_nothing() -> None:
    seat = Seat("A", free=0)
    assert pick([seat]) is None
    assert place(Need(), [seat]) == NoFit({"A": "has no free slot"})


def test_where_nobody_fits_every_node_says_why() -> None:
    small = Seat("B", profile=Profile(cores=1))
    assert place(Need(min_cores=2), [Seat("A", free=0), small]) == NoFit(
        {"A": "has no free slot", "B": "has 1 cores of the 2 required"}
    )


def test_a_fleet_of_nobody_fits_nothing() -> None:
    assert place(Need(), []) == NoFit({})
