"""A parallel step within a graph, with its items spread over servers: run, run again for one item, cancelled."""

import pytest
from tests.contract.one_cluster import Server, Ticking, graph, step

from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.local.ready import LocalReady
from anchor.core.dag import RUN_OVER, RunState
from anchor.core.task import TERMINAL
from anchor.orchestrator import graphs

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


async def look(servers):
    for server in servers:
        await server.look()
        await server.report(5, does)
        await server.look()


async def work(servers, run):
    for _ in range(200):
        await look(servers)
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
