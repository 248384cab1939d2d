"""The wasm runtime against hostile work, with a real server and a real agent."""

import pytest
from tests.hostile.case import Case
from tests.hostile.cases_wasm import CASES, wasm
from tests.hostile.theatre import Neighbour, Performance, performed

pytestmark = pytest.mark.timeout(300)

SUM = '(module (func (export "sum") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
NEIGHBOUR = Neighbour(wasm(SUM, function="sum", args=[20, 22]), 42)


@pytest.fixture(scope="module")
def performance(tmp_path_factory: pytest.TempPathFactory) -> Performance:
    return performed("wasm", CASES, NEIGHBOUR, tmp_path_factory.mktemp("stage"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_wasm_ends_as_it_has_to(case: Case, performance: Performance) -> None:
    performance.judge(case)


def test_hostile_wasm_harms_nobody_and_leaves_nothing(performance: Performance) -> None:
    performance.judge_the_rest()
