"""The simulation finds what it is there to find: every planted bug within 150 seeds, by the invariant it breaks."""

from collections.abc import Callable

import pytest
from anchorsim.cluster import first_failure
from anchorsim.planted import BUGS, Bug
from anchorsim.planted_apps import APP_BUGS

SEEDS_MAX = 150


@pytest.mark.parametrize("bug", [*BUGS, *APP_BUGS], ids=lambda bug: bug.name)
def test_a_planted_bug_is_found_within_150_seeds(bug: Bug, record_property: Callable[[str, object], None]) -> None:
    with bug.planted():
        found = first_failure(range(SEEDS_MAX), bug.wiring)
    assert found is not None
    record_property("found by", f"seed {found.seed}, invariant {found.number}")
    assert found.number in bug.caught_by


def test_planting_leaves_nothing_behind() -> None:
    before = [getattr(place, name) for bug in (*BUGS, *APP_BUGS) for place, name, _ in bug.patches]
    for bug in (*BUGS, *APP_BUGS):
        with bug.planted():
            assert all(getattr(place, name) is wrong for place, name, wrong in bug.patches)
    assert [getattr(place, name) for bug in (*BUGS, *APP_BUGS) for place, name, _ in bug.patches] == before
