"""A parallel step is carried out on every store: each item once, the results in order, the failures said."""

import json

import pytest
from tests.contract.one_cluster import Failed, Server, Ticking, graph, step

from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.local.ready import LocalReady
from anchor.core.dag import RunState
from anchor.core.task import State
from anchor.orchestrator import graphs, items
from anchor.orchestrator.cancel import cancel
from anchor.orchestrator.list_memory import ListMemory
from anchor.orchestrator.payloads import payload_of
from anchor.orchestrator.reconcile import reconcile

pytestmark = pytest.mark.anyio
ONCE = {"attempts": 1}


@pytest.fixture
def server(store, tmp_path):
    return Server(store, FileBlobs(tmp_path / "blobs"), Ticking())


def over(values, **fields):
    return step("wide", type="parallel", items=values, **fields)


def fails(*numbers):
    def does(task, inputs):
        if task.origin.head and task.origin.number in numbers:
            raise Failed(f"{task.origin.number} broke")
        return task.origin.number

    return does


async def test_results_stand_in_the_order_of_the_items(server):
    run = await graphs.schedule(server.world, graph(over(["a", "b", "c"]), step("after", "wide")), owner="ann")
    await server.work(lambda task, inputs: inputs or task.origin.number)
    assert (await server.over(run)).state is RunState.SUCCEEDED
    assert await server.result(run, "wide") == [0, 1, 2]
    assert await server.result(run, "after") == {"wide": [0, 1, 2]}


async def test_each_item_is_the_input_of_one_task(server):
    run = await graphs.schedule(server.world, graph(over([{"n": 1}, "two", 3])), owner="ann")
    payloads = [json.loads(await payload_of(server.world, task)) for task in server.hands.assigned]
    assert [one["input"] for one in payloads] == [{"n": 1}, "two", 3]
    assert [one["env"]["ANCHOR_ITEM"] for one in payloads] == ["0", "1", "2"]
    await server.work(lambda task, inputs: None)
    assert (await server.over(run)).state is RunState.SUCCEEDED


async def test_a_list_comes_out_of_an_earlier_result(server):
    wide = step("wide", type="parallel", items={"step": "list", "pointer": "/deep/0"})
    run = await graphs.schedule(server.world, graph(step("list"), wide), owner="ann")
    await server.work(lambda task, inputs: {"deep": [[7, 8]]} if task.spec.name == "list" else task.origin.number)
    assert await server.result(run, "wide") == [0, 1]


@pytest.mark.parametrize(
    ("value", "pointer", "said"),
    [(5, "", "not a list"), ({"a": []}, "/b", "finds nothing"), ([0] * 100_001, "", "at most 100,000")],
)
async def test_what_is_no_usable_list_fails_the_step_and_says_why(server, value, pointer, said):
    wide = step("wide", type="parallel", items={"step": "list", "pointer": pointer})
    run = await graphs.schedule(server.world, graph(step("list"), wide), owner="ann")
    await server.work(lambda task, inputs: value)
    assert (await server.over(run)).state is RunState.FAILED
    [task] = await server.world.store.get([run.key_of(1)])
    assert said in task.reason.message


async def test_an_empty_list_has_an_empty_result(server):
    run = await graphs.schedule(server.world, graph(over([])), owner="ann")
    assert await server.result(run, "wide") == []


async def test_enough_items_are_enough_and_the_others_are_null(server):
    wide = over([0] * 4, enough=0.75, retry=ONCE)
    run = await graphs.schedule(server.world, graph(wide), owner="ann")
    await server.work(fails(2))
    assert await server.result(run, "wide") == [0, 1, None, 3]
    [task] = await server.world.store.get([run.key_of(0)])
    assert task.reason.code == "items_failed"


async def test_too_many_failures_fail_the_step_and_stop_the_rest(store, tmp_path):
    server = Server(store, FileBlobs(tmp_path / "blobs"), Ticking(), slots=10)
    run = await graphs.schedule(server.world, graph(over([0] * 100, retry=ONCE)), owner="ann")
    await server.work(fails(2))
    assert (await server.over(run)).state is RunState.FAILED
    [task] = await server.world.store.get([run.key_of(0)])
    assert "first item 2" in task.reason.message
    assert "2 broke" in task.reason.message
    assert len(server.begun) < 100


async def test_a_server_that_remembers_nothing_goes_on_with_a_list(server):
    run = await graphs.schedule(server.world, graph(over([0] * 6)), owner="ann")
    await server.report(3, does=fails())
    server.world.ended.clear()
    server.world.lists = ListMemory()
    server.clock.ms += items.LOOK_MS + 1
    await items.sweep(server.world, server.clock.ms)
    await server.work(fails())
    assert await server.result(run, "wide") == [0, 1, 2, 3, 4, 5]
    assert len(server.begun) == 6


async def test_a_server_that_starts_looks_at_every_list_at_once(server):
    run = await graphs.schedule(server.world, graph(over([0] * 6)), owner="ann")
    await server.report(6, does=fails())
    server.world.ended.clear()
    server.world.lists = ListMemory()
    server.world.swept_at = 0
    await items.sweep(server.world, server.clock.ms)
    await server.work(fails())
    assert await server.result(run, "wide") == [0, 1, 2, 3, 4, 5]


async def test_two_servers_end_a_list_together(store, tmp_path):
    ready, blobs, clock = LocalReady(), FileBlobs(tmp_path / "blobs"), Ticking()
    one, two = (Server(store, blobs, clock, number, ready=ready, slots=50) for number in (1, 2))
    run = await graphs.schedule(one.world, graph(over([0] * 120)), owner="ann")
    for _ in range(60):
        for server in (two, one):
            await server.report(7, does=fails())
            await server.look()
    assert await one.result(run, "wide") == list(range(120))
    assert len(one.begun) + len(two.begun) == 120
    assert one.begun
    assert two.begun


async def test_a_cancelled_run_stops_its_items(server):
    run = await graphs.schedule(server.world, graph(over([0] * 10)), owner="ann")
    await graphs.cancel(server.world, run.id, by="ann")
    await server.work(fails())
    assert (await server.over(run)).state is RunState.CANCELLED
    assert server.begun == []


async def test_a_list_that_is_to_stop_ends_though_the_news_of_its_items_was_lost(server):
    run = await graphs.schedule(server.world, graph(over([1, 2, 3])), owner="ann")
    await server.look()
    await server.report(1)
    await server.look()
    await cancel(server.world, run.key_of(0), by="ann")
    await server.look()
    await server.report()
    server.world.ended.clear()
    server.clock.ms += 3_000
    await reconcile(server.world)
    await server.look()
    [head] = await server.world.store.get([run.key_of(0)])
    assert head.state is State.CANCELLED
