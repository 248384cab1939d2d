"""A parallel step within a graph, with its items spread over servers: run, run again for one item, cancelled."""

import pytest
from tests.contract.one_cluster import Failed, Server, Ticking, graph, step

from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.local.ready import LocalReady
from anchor.core.dag import RUN_OVER, RunState
from anchor.core.task import TERMINAL, State
from anchor.orchestrator import graphs
from anchor.server import item_views
from anchor.server.item_views import Listed

pytestmark = pytest.mark.anyio
STEPS = [
    step("list"),
    step("each", "list", type="parallel", items={"step": "list"}),
    step("sum", "each"),
    step("other"),
]
ITEMS = 20


@pytest.fixture
def servers(store, tmp_path):
    clock, ready, blobs = Ticking(), LocalReady(), FileBlobs(tmp_path / "blobs")
    return [Server(store, blobs, clock, number, ready=ready, slots=6) for number in (1, 2)]


def does(task, inputs):
    if task.spec.name == "list":
        return list(range(ITEMS))
    return "item" if task.spec.name.startswith("each") else len(inputs.get("each", []))


async def look(servers, how=does):
    for server in servers:
        await server.look()
        await server.report(5, how)
        await server.look()


async def work(servers, run, how=does):
    for _ in range(200):
        await look(servers, how)
        found = await servers[0].world.store.run(run.id)
        if found.state in RUN_OVER:
            return found
    pytest.fail(f"the run goes on and on: {await servers[0].states(run)}")


async def test_a_step_over_a_list_hands_the_ordered_results_on_and_one_item_can_run_again(servers):
    first = await graphs.schedule(servers[0].world, graph(*STEPS), owner="ann")
    over = await work(servers, first)
    assert (over.state, over.ended) == (RunState.SUCCEEDED, {"succeeded": 4})
    assert await servers[1].result(first, "each") == ["item"] * ITEMS
    assert await servers[1].result(first, "sum") == ITEMS
    for server in servers:
        assert server.begun
        server.begun.clear()
    second = await graphs.rerun(servers[1].world, over, owner="ann", item=("each", 3))
    assert (await work(servers, second)).state is RunState.SUCCEEDED
    begun = servers[0].begun + servers[1].begun
    assert len(begun) == 2, begun
    assert begun[1] == "sum"
    assert await servers[0].result(second, "each") == ["item"] * ITEMS


async def test_the_items_that_failed_are_told_from_the_others_and_run_again_alone(servers):
    def breaks(task, inputs):
        if task.origin.head and task.origin.number in (3, 8):
            raise Failed("it broke")
        return does(task, inputs)

    some = [{**one, "enough": 0.5, "retry": {"attempts": 1}} if one["id"] == "each" else one for one in STEPS]
    world = servers[0].world
    first = await graphs.schedule(world, graph(*some), owner="ann")
    over = await work(servers, first, breaks)
    assert over.state is RunState.SUCCEEDED
    assert await states_of(world, first) == [State.FAILED if at in (3, 8) else State.SUCCEEDED for at in range(ITEMS)]
    for server in servers:
        server.begun.clear()
    second = await graphs.rerun(world, over, owner="ann", failed_items="each")
    assert (await work(servers, second)).state is RunState.SUCCEEDED
    assert sorted(servers[0].begun + servers[1].begun) == ["each [3]", "each [8]", "sum"]
    assert await states_of(world, second) == [State.SUCCEEDED] * ITEMS


async def states_of(world, run):
    [head] = await world.store.get([run.key_of(1)])
    return await item_views.states(world.store, Listed(head, head.parts))


async def test_cancelling_a_run_stops_the_items_of_its_steps(servers):
    store = servers[0].world.store
    run = await graphs.schedule(servers[0].world, graph(*STEPS), owner="ann")
    await look(servers)
    await look(servers)
    assert (await servers[0].states(run))["each"] == "waiting"
    await graphs.cancel(servers[1].world, run.id, by="ann")
    assert (await work(servers, run)).state is RunState.CANCELLED
    before = len(servers[0].begun) + len(servers[1].begun)
    await look(servers)
    assert before == len(servers[0].begun) + len(servers[1].begun)
    assert {state for state, count in (await store.counts(None)).items() if count} <= TERMINAL
