"""The isolate runtime against hostile work, with a real server and a real agent."""

import pytest
from tests.hostile.case import Case
from tests.hostile.cases_isolate import CASES
from tests.hostile.theatre import Neighbour, Performance, performed

pytestmark = pytest.mark.timeout(300)

NEIGHBOUR = Neighbour(
    {"sourceCode": "let sum = 0; for (let i = 0; i < input; i++) sum += i; return sum", "input": 1000}, 499_500
)


@pytest.fixture(scope="module")
def performance(tmp_path_factory: pytest.TempPathFactory) -> Performance:
    return performed("isolate", CASES, NEIGHBOUR, tmp_path_factory.mktemp("stage"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_script_ends_as_it_has_to(case: Case, performance: Performance) -> None:
    performance.judge(case)


def test_hostile_scripts_harm_nobody_and_leave_nothing(performance: Performance) -> None:
    performance.judge_the_rest()


def test_there_are_enough_of_them() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 40
