"""The python runtime against hostile work, with a real server and a real agent."""

import pytest
from tests.hostile.case import Case
from tests.hostile.cases_python import CASES
from tests.hostile.theatre import Neighbour, Performance, performed

pytestmark = pytest.mark.timeout(300)

NEIGHBOUR = Neighbour({"sourceCode": "print('honest')\nresult = sum(range(input))", "input": 1000}, 499_500)


@pytest.fixture(scope="module")
def performance(tmp_path_factory: pytest.TempPathFactory) -> Performance:
    return performed("python", CASES, NEIGHBOUR, tmp_path_factory.mktemp("stage"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_python_ends_as_it_has_to(case: Case, performance: Performance) -> None:
    performance.judge(case)


def test_hostile_python_harms_nobody_and_leaves_nothing(performance: Performance) -> None:
    performance.judge_the_rest()
