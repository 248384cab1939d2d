"""Cases and the counts of rounds: evidence is written once, swapped on its version, and forgotten after its time."""

import asyncio

import pytest
from msgspec.structs import replace

from anchor.core.attempt import Reason
from anchor.core.case import Case, CaseState
from anchor.core.task import State
from anchor.core.verification import Round, Verdict, Vote

pytestmark = pytest.mark.anyio

HOUR = 3_600_000


@pytest.fixture
def case_of(make):
    """A case opened now; its id is a fresh key."""

    def made(**how):
        vote = Vote(0, "REX-A1B2C3", "bob", "ab" * 32, False, 5, 9)
        fields = {"id": make.task().id, "owner": "ann", "task_name": "Grüße 🐙", "runtime": "wasm"}
        fields |= {"opened_at": make.now, "votes": (vote, replace(vote, copy=1, agreed=True)), "evidence": "cd" * 32}
        return Case(**fields | {"dissenters": ("REX-A1B2C3",), "differs": "byte 3: 0x41 and 0x42"} | how)

    return made


async def test_a_case_comes_back_equal_after_a_restart(store, reopened, case_of):
    case = case_of()
    assert await store.insert_case(case)
    assert not await store.insert_case(replace(case, owner="mallory"))
    store = await reopened(store)
    assert await store.case(case.id) == case
    assert await store.case(17) is None


async def test_of_two_swaps_of_one_version_one_succeeds(store, case_of):
    case = case_of()
    await store.insert_case(case)
    judged = [
        replace(case, ver=2, state=CaseState.CLEARED, reason=Reason("cleared", "by ann")),
        replace(case, ver=2, state=CaseState.BLOCKED, reruns=(5, 6)),
    ]
    answers = await asyncio.gather(*[store.swap_case(case, new) for new in judged])
    assert sorted(answers) == [False, True]
    assert await store.case(case.id) == judged[answers.index(True)]


async def test_pages_go_down_and_show_an_owner_their_own(store, case_of):
    cases = [case_of(owner=owner) for owner in ("ann", "bob", "ann", "ann")]
    for case in cases:
        await store.insert_case(case)
    assert await store.cases_page(below=None, limit=10, owner=None) == cases[::-1]
    assert await store.cases_page(below=cases[3].id, limit=2, owner=None) == [cases[2], cases[1]]
    assert await store.cases_page(below=None, limit=2, owner="ann") == [cases[3], cases[2]]
    assert await store.cases_page(below=cases[0].id, limit=2, owner="ann") == []


async def test_a_case_goes_once_its_time_is_over(store, case_of, make):
    old = [case_of() for _ in range(3)]
    young = case_of(opened_at=make.now + 2 * HOUR)
    for case in [*old, young]:
        await store.insert_case(case)
    assert [await store.remove_cases(make.now + HOUR, 2) for _ in range(3)] == [2, 1, 0]
    assert await store.cases_page(below=None, limit=10, owner=None) == [young]


async def test_rounds_are_counted_by_the_state_of_their_task(store, reopened, make, swap_one):
    heads = [make.in_state(State.VERIFYING) for _ in range(3)] + [make.in_state(State.VERIFYING, owner="bob")]
    await store.insert([*heads, make.in_state(State.WAITING), make.task()])
    assert await store.insert([heads[0]]) == [False]
    round_ = heads[0].parts
    asked = replace(heads[0], ver=2, parts=replace(round_, asked=4))
    decided = replace(asked, ver=3, parts=Round(round_.first, round_.cap, 4, Verdict(True, 1)))
    done = replace(decided, ver=4, state=State.SUCCEEDED, wake_at=None, finished_at=make.now)
    for old, new in [(heads[0], asked), (asked, decided), (decided, done)]:
        assert await swap_one(store, old, new)
        assert not await swap_one(store, old, new)
    nothing = dict.fromkeys(State, 0)
    store = await reopened(store)
    assert await store.get([done.id]) == [done]
    assert await store.round_counts(None) == nothing | {State.VERIFYING: 3, State.SUCCEEDED: 1}
    assert await store.round_counts("bob") == nothing | {State.VERIFYING: 1}
    assert await store.remove_finished(make.now + HOUR, 10) == 1
    assert await store.round_counts(None) == nothing | {State.VERIFYING: 3}
