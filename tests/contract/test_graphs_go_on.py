"""A graph of steps is carried out on every store: each step once, after all it waits for."""

import asyncio

import pytest
from tests.contract.one_cluster import Failed, Server, Ticking, graph, step

from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.local.ready import LocalReady
from anchor.core.dag import RunState
from anchor.core.errors import Conflict, NotFound, Unprocessable
from anchor.orchestrator import graphs

pytestmark = pytest.mark.anyio


@pytest.fixture
def blobs(tmp_path):
    return FileBlobs(tmp_path / "blobs")


@pytest.fixture
def server(store, blobs):
    return Server(store, blobs, Ticking())


DIAMOND = [step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")]


def fails(*names):
    def does(task, inputs):
        if task.spec.name in names:
            raise Failed(f"{task.spec.name} broke")
        return task.spec.name

    return does


async def test_each_step_runs_after_those_it_waits_for_and_gets_their_results(server):
    run = await graphs.schedule(server.world, graph(*DIAMOND), owner="ann")
    assert await server.states(run) == {"a": "leased"}
    await server.work(lambda task, inputs: {task.spec.name: inputs})
    over = await server.over(run)
    assert (over.state, over.ended, over.reason) == (RunState.SUCCEEDED, {"succeeded": 4}, None)
    assert await server.result(run, "d") == {"d": {"b": {"b": {"a": {"a": {}}}}, "c": {"c": {"a": {"a": {}}}}}}
    assert server.begun[0] == "a"
    assert sorted(server.begun) == ["a", "b", "c", "d"]
    assert server.begun[-1] == "d"


async def test_a_failure_skips_what_hangs_off_it_and_names_itself(server):
    steps = [*DIAMOND, step("e", "d"), step("last", always=True), step("soft", "a", softDependencies=["b", "e"])]
    steps = [{**one, "retry": {"attempts": 1}} for one in steps]
    run = await graphs.schedule(server.world, graph(*steps), owner="ann")
    await server.work(fails("b"))
    over = await server.over(run)
    assert over.state is RunState.FAILED
    assert over.ended == {"succeeded": 4, "failed": 1, "skipped": 2}
    assert over.reason.code == "step_failed"
    assert over.reason.message == "Step 'b' failed: b broke"
    assert server.begun[-1] == "last"
    assert set(await server.states(run)) == {"a", "b", "c", "last", "soft"}


async def test_a_step_without_a_payload_passes_its_inputs_on(server):
    run = await graphs.schedule(
        server.world,
        graph(
            step("a", code=False), step("b"), step("one", "b", code=False), step("two", "a", "one", code=False),
            step("end", "two"),
        ),
        owner="ann",
    )  # fmt: skip
    assert (await server.states(run))["a"] == "succeeded"
    await server.work(lambda task, inputs: inputs or [7])
    assert (await server.over(run)).state is RunState.SUCCEEDED
    assert await server.result(run, "one") == [7]
    assert await server.result(run, "two") == {"a": None, "one": [7]}
    assert await server.result(run, "end") == {"two": {"a": None, "one": [7]}}
    assert server.begun == ["b", "end"]


async def test_a_graph_of_steps_that_pass_on_is_over_at_once(server):
    run = await graphs.schedule(
        server.world, graph(step("fetch", code=False), step("process", "fetch", code=False)), owner="ann"
    )
    assert run.state is RunState.SUCCEEDED


async def test_large_results_travel_as_blobs_and_are_not_read_on_the_way(server):
    big = "x" * 70_000
    run = await graphs.schedule(
        server.world, graph(step("a"), step("b", "a", code=False), step("c", "a", "b", code=False), step("d", "c")),
        owner="ann",
    )  # fmt: skip
    await server.work(lambda task, inputs: big if task.spec.name == "a" else len(str(inputs["c"]["b"])))
    await server.over(run)
    tasks = await server.world.store.get([run.key_of(number) for number in range(3)])
    assert tasks[0].result.blob
    assert tasks[1].result == tasks[0].result
    assert tasks[2].result.size == 2 * 70_002 + len('{"a":,"b":}')
    assert await server.result(run, "d") == 70_000


async def test_a_run_is_carried_out_once_per_idempotency_key(server):
    made = [
        await graphs.schedule_once(server.world, graph(*DIAMOND), owner="ann", key="k", digest="d") for _ in range(2)
    ]
    assert [one.replayed for one in made] == [False, True]
    assert made[0].run.id == made[1].run.id
    with pytest.raises(Unprocessable):
        await graphs.schedule_once(server.world, graph(*DIAMOND), owner="ann", key="k", digest="other")
    await server.work()
    assert sorted(server.begun) == ["a", "b", "c", "d"]


async def test_a_server_that_forgot_everything_goes_on(server):
    run = await graphs.schedule(server.world, graph(*DIAMOND), owner="ann")
    while (await server.world.store.run(run.id)).state is RunState.RUNNING:
        server.world.ended.clear()
        server.world.runs.drop(run.id)
        server.clock.ms += 31_000
        await graphs.sweep(server.world, server.clock.now())
        await server.look()
        await server.report()
    assert (await server.over(run)).state is RunState.SUCCEEDED
    assert sorted(server.begun) == ["a", "b", "c", "d"]


async def test_servers_that_share_a_store_run_each_step_once_and_none_too_early(store, blobs):
    clock, ready = Ticking(), LocalReady()
    servers = [Server(store, blobs, clock, number, ready=ready, slots=4) for number in (1, 2, 3)]
    names = [f"s{number}" for number in range(40)]
    fan = [step("root"), *(step(name, "root") for name in names), step("join", *names), step("end", "join")]
    run = await graphs.schedule(servers[0].world, graph(*fan), owner="ann")
    ran = []
    while (await store.run(run.id)).state is RunState.RUNNING:
        await asyncio.gather(*(server.look() for server in servers))
        assert any([await server.report(3, lambda task, _: ran.append(task.spec.name)) for server in servers])
        await asyncio.gather(*(server.look() for server in servers))
    assert (ran[0], *ran[-2:]) == ("root", "join", "end")
    assert sorted(ran[1:-2]) == sorted(names)
    assert all(server.begun for server in servers), "one of the servers had nothing to do"
    assert await servers[1].inputs((await store.get([run.key_of(41)]))[0]) == dict.fromkeys(names)


async def test_cancelling_a_run_stops_what_runs_and_begins_nothing(server):
    run = await graphs.schedule(server.world, graph(*DIAMOND, step("end", always=True)), owner="ann")
    asked = await graphs.cancel(server.world, run.id, by="ann")
    assert asked.state is RunState.CANCELLING
    assert await server.states(run) == {"a": "cancelling"}
    await server.work()
    over = await server.over(run)
    assert over.state is RunState.CANCELLED
    assert over.reason.message == "Cancelled by ann."
    assert over.ended == {"cancelled": 2, "skipped": 3}
    assert server.begun == []
    assert (await graphs.cancel(server.world, run.id, by="ann")).state is RunState.CANCELLED


async def test_a_server_that_did_not_hear_of_the_cancel_can_begin_no_step(store, blobs):
    clock, ready = Ticking(), LocalReady()
    deaf, other = (Server(store, blobs, clock, number, ready=ready) for number in (1, 2))
    run = await graphs.schedule(deaf.world, graph(*DIAMOND, step("end", always=True)), owner="ann")
    await deaf.report()
    # "a" has succeeded; before the deaf server looks at its children the run is cancelled elsewhere.
    over = await graphs.cancel(other.world, run.id, by="ann")
    assert over.state is RunState.CANCELLED
    await deaf.work()
    assert deaf.begun == ["a"]
    assert await deaf.states(run) == {"a": "succeeded", "b": "cancelled", "c": "cancelled", "end": "cancelled"}
    assert (await store.run(run.id)) == over


async def test_a_finished_run_cannot_be_cancelled_nor_a_live_one_run_again(server):
    run = await graphs.schedule(server.world, graph(*DIAMOND), owner="ann")
    with pytest.raises(Conflict, match="only one that is over"):
        await graphs.rerun(server.world, run, owner="ann")
    await server.work()
    with pytest.raises(Conflict, match="succeeded already"):
        await graphs.cancel(server.world, run.id, by="ann")
    with pytest.raises(NotFound, match="no step 'z'"):
        await graphs.rerun(server.world, await server.over(run), owner="ann", from_step="z")


async def test_a_rerun_takes_over_what_need_not_be_done_again(server):
    steps = [{**one, "retry": {"attempts": 1}} for one in (*DIAMOND, step("e", "a"), step("f", "e"))]
    first = await graphs.schedule(server.world, graph(*steps), owner="ann")
    await server.work(fails("b"))
    failed = await server.over(first)

    server.begun.clear()
    second = await graphs.rerun(server.world, failed, owner="ann", only_failed=True)
    await server.work()
    assert sorted(server.begun) == ["b", "d"]
    over = await server.over(second)
    assert (over.state, over.rerun_of, over.ended) == (RunState.SUCCEEDED, first.id, {"succeeded": 6})
    assert await server.result(second, "d") == {"b": {"a": "a"}, "c": "c"}

    server.begun.clear()
    third = await graphs.rerun(server.world, over, owner="ann", from_step="e")
    await server.work()
    assert sorted(server.begun) == ["e", "f"]
    assert await server.result(third, "d") == {"b": {"a": "a"}, "c": "c"}

    server.begun.clear()
    await graphs.rerun(server.world, await server.over(third), owner="ann")
    await server.work()
    assert sorted(server.begun) == ["a", "b", "c", "d", "e", "f"]
