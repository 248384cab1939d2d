"""Runs of graphs: written once, swapped on their version, found when due, counted, and removed when long over."""

import asyncio

import pytest
from msgspec.structs import replace

from anchor.core.attempt import Reason
from anchor.core.dag import RUN_OVER, Run, RunState
from anchor.core.ids import STEP
from anchor.ports.store import Swap

pytestmark = pytest.mark.anyio

HOUR = 3_600_000


@pytest.fixture
def run_of(make):
    """A new run of two steps; its id is a fresh key."""

    def made(**how):
        return Run(
            **{"id": make.task().id, "owner": "ann", "name": "Grüße 🐙", "created_at": make.now, "steps": 2} | how
        )

    return made


def over(run, at, state=RunState.SUCCEEDED):
    return replace(run, ver=run.ver + 1, state=state, wake_at=None, finished_at=at, ended={"succeeded": 2})


async def test_a_run_comes_back_equal_after_a_restart(store, reopened, run_of):
    small = run_of(plan=b'{"name":"g","steps":[]}', labels=("a", 'b"c'), wake_at=7, rerun_of=5)
    large = run_of(plan_blob="ab" * 32, kind="mapreduce", reason=Reason("x", "y", "z"), steps=100_000)
    assert [await store.insert_run(run) for run in (small, large)] == [True, True]
    store = await reopened(store)
    assert [await store.run(run.id) for run in (small, large)] == [small, large]
    assert await store.run(17) is None


async def test_an_id_that_exists_is_left_as_it_is(store, run_of):
    run = run_of(plan=b"first")
    answers = await asyncio.gather(*[store.insert_run(replace(run, plan=plan)) for plan in (b"first", b"second")])
    assert sorted(answers) == [False, True]
    assert not await store.insert_run(replace(run, owner="mallory"))
    kept = await store.run(run.id)
    assert kept.owner == "ann"
    assert sum((await store.run_counts(None)).values()) == 1


async def test_of_two_swaps_of_one_version_one_succeeds(store, reopened, run_of):
    run = run_of(plan=b"the plan", wake_at=1)
    await store.insert_run(run)
    moved = [replace(run, ver=2, wake_at=at) for at in (2, 3)]
    answers = await asyncio.gather(*[store.swap_run(run, new) for new in moved])
    assert sorted(answers) == [False, True]
    winner = moved[answers.index(True)]
    assert not await store.swap_run(run, over(run, 9))
    assert await store.run(run.id) == winner
    ended = over(winner, 9)
    assert await store.swap_run(winner, ended)
    assert await (await reopened(store)).run(run.id) == ended


async def test_due_are_those_that_are_not_over_longest_waiting_first(store, run_of):
    late, early, later, none = (run_of(wake_at=at) for at in (20, 10, 31, None))
    ended = over(run_of(), 5)
    cancelling = run_of(wake_at=15, state=RunState.CANCELLING)
    for run in (late, early, later, none, ended, cancelling):
        await store.insert_run(run)
    assert await store.runs_due(30, 10) == [early, cancelling, late]
    assert await store.runs_due(30, 1) == [early]
    assert await store.swap_run(early, over(early, 30))
    assert await store.runs_due(31, 10) == [cancelling, late, later]


async def test_a_page_has_what_was_asked_for_newest_first_and_no_plans(store, run_of):
    mine = [run_of(plan=b"long") for _ in range(3)]
    theirs = run_of(owner="bob", kind="mapreduce")
    failed = over(run_of(), 5, RunState.FAILED)
    runs = [*mine, theirs, failed]
    for run in runs:
        await store.insert_run(run)
    bare = [replace(run, plan=b"") for run in reversed(runs)]

    async def page(below=None, limit=10, state=None, kind=None, owner=None):
        return await store.runs_page(below=below, limit=limit, state=state, kind=kind, owner=owner)

    assert await page() == bare
    assert await page(limit=2) == bare[:2]
    assert await page(below=bare[1].id, limit=2) == bare[2:4]
    assert await page(owner="bob") == await page(kind="mapreduce") == [theirs]
    assert await page(state=RunState.FAILED) == [failed]
    assert await page(owner="ann", state=RunState.RUNNING, kind="dag") == bare[2:]


async def test_counts_are_those_of_the_states(store, reopened, run_of):
    runs = [run_of() for _ in range(3)] + [run_of(owner="bob")]
    for run in runs:
        await store.insert_run(run)
    await store.swap_run(runs[0], over(runs[0], 5))
    await store.swap_run(runs[0], over(runs[0], 6))
    store = await reopened(store)
    nothing = dict.fromkeys(RunState, 0)
    assert await store.run_counts(None) == nothing | {RunState.RUNNING: 3, RunState.SUCCEEDED: 1}
    assert await store.run_counts("bob") == nothing | {RunState.RUNNING: 1}
    assert await store.run_counts("carol") == nothing


async def test_only_runs_that_ended_before_the_time_are_removed(store, run_of, make):
    old = [over(run_of(plan=b"x"), make.now, state) for state in sorted(RUN_OVER)]
    young, live = over(run_of(), make.now + 2 * HOUR), run_of()
    for run in [*old, young, live]:
        await store.insert_run(run)
    assert await store.remove_runs(make.now + HOUR, 2) == 2
    assert await store.remove_runs(make.now + HOUR, 2) == 1
    assert await store.remove_runs(make.now + HOUR, 2) == 0
    assert [await store.run(run.id) for run in [*old, young, live]] == [None] * 3 + [young, live]
    assert sum((await store.run_counts(None)).values()) == 2
    # An id is free again then, with nothing left of the one before.
    assert await store.insert_run(replace(old[0], plan=b""))
    assert (await store.run(old[0].id)).plan == b""


async def test_states_are_those_of_the_tasks_that_exist(store, make, run_of, swap_one):
    tasks = make.tasks(6)
    first = tasks[0].id
    assert [task.id for task in tasks] == list(range(first, first + 6 * STEP, STEP))
    other_server = replace(tasks[0], id=first + 1)
    await store.insert([tasks[0], tasks[2], tasks[5], other_server])
    leased = make.leased(tasks[2])
    assert await swap_one(store, tasks[2], leased)
    assert await store.states(first, 5) == {first: "queued", tasks[2].id: "leased"}
    ended = make.ended(leased)
    assert await store.swap([Swap(leased, ended)]) == [True]
    assert await store.states(tasks[2].id, 4) == {tasks[2].id: "succeeded", tasks[5].id: "queued"}
    assert await store.states(first, 0) == await store.states(tasks[3].id, 2) == {}
