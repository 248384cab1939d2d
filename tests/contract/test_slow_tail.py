"""The last items of a list: a slow one runs a second time elsewhere, and counts once, whichever half is first."""

import json

import pytest
from msgspec.structs import replace
from tests.contract.one_cluster import Server, Ticking, graph, step

from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.local.ready import LocalReady
from anchor.core.attempt import Ending, Outcome, Reason, Result
from anchor.core.dag import RunState
from anchor.core.task import State
from anchor.orchestrator import graphs
from anchor.orchestrator.reconcile import reconcile
from anchor.orchestrator.settle import settle

pytestmark = pytest.mark.anyio
COUNT = 8
SLOW = COUNT - 1


class Tail:
    """A server with two nodes, whose list of items has ended but for its last."""

    def __init__(self, store, folder):
        self.server = Server(store, FileBlobs(folder / "blobs"), Ticking(), slots=6)
        self.world = self.server.world
        self.nodes = {self.server.node.id: self.server.node}
        self.nodes["REX-000009"] = replace(self.server.node, id="REX-000009", owner="owner 9")

    async def begin(self, **fields):
        """All items but the last have ended, each within a second."""
        for node in self.nodes.values():
            await self.world.store.insert_node(node)
        self.world.fleet.join(self.nodes["REX-000009"])
        wide = step("wide", type="parallel", items=[0] * COUNT, **fields)
        self.run = await graphs.schedule(self.world, graph(wide, step("after", "wide")), owner="ann")
        await self.server.look()
        self.server.clock.ms += 900
        for task in sorted(self.assigned, key=lambda task: task.id):
            if task.origin.number != SLOW:
                await self.ends(task, task.origin.number)
        await self.server.look()
        [self.slow] = self.assigned
        assert self.slow.origin.number == SLOW

    @property
    def assigned(self):
        return list(self.server.hands.assigned)

    async def later(self, ms):
        self.server.clock.ms += ms
        await reconcile(self.world)
        await self.server.look()

    async def copy(self):
        """The second copy, once the last item has run for too long."""
        await self.later(3_000)
        await self.later(1_100)
        [copy] = [task for task in self.assigned if task.id != self.slow.id]
        return copy

    async def ends(self, task, value, outcome=Outcome.SUCCEEDED):
        """What a node reports of a task, and what is done about it."""
        self.server.hands.assigned.remove(task)
        text = json.dumps(value).encode()
        result = Result(json=text, size=len(text)) if outcome is Outcome.SUCCEEDED else None
        reason = None if outcome is Outcome.SUCCEEDED else Reason("script_error", "It broke.")
        ending = Ending(task.id, task.attempt, outcome, result, reason)
        await settle(self.world, node=task.node, session=1, endings=[ending])
        await self.server.look()

    async def state(self, task):
        [found] = await self.world.store.get([task.id])
        return found.state

    async def result(self):
        return await self.server.result(self.run, "wide")

    async def goes_on_with(self, last):
        """The list is over with this as its last result, and what depends on it is handed that once."""
        assert await self.result() == [*range(SLOW), last]
        [after] = [task for task in self.assigned if task.spec.name == "after"]
        assert (await self.server.inputs(after))["wide"] == [*range(SLOW), last]
        return after


@pytest.fixture
def tail(store, tmp_path):
    return Tail(store, tmp_path)


async def test_the_answer_of_a_second_copy_elsewhere_counts_and_the_slow_one_is_stopped(tail):
    await tail.begin()
    copy = await tail.copy()
    assert copy.node != tail.slow.node
    await tail.ends(copy, "second")
    assert tail.slow.id in tail.server.hands.to_stop
    after = await tail.goes_on_with("second")
    await tail.ends(tail.slow, "late")
    await tail.ends(after, None)
    assert await tail.result() == [*range(SLOW), "second"]
    assert (await tail.server.over(tail.run)).state is RunState.SUCCEEDED
    assert tail.assigned == []


async def test_the_slow_one_may_still_be_first_and_its_copy_is_stopped(tail):
    await tail.begin()
    copy = await tail.copy()
    await tail.ends(tail.slow, "first")
    assert copy.id in tail.server.hands.to_stop
    after = await tail.goes_on_with("first")
    await tail.ends(copy, "late")
    await tail.ends(after, None)
    assert await tail.result() == [*range(SLOW), "first"]
    assert (await tail.server.over(tail.run)).state is RunState.SUCCEEDED


async def test_an_item_has_failed_only_once_both_its_halves_have(tail):
    await tail.begin(retry={"attempts": 1})
    copy = await tail.copy()
    await tail.ends(tail.slow, None, Outcome.ERRORED)
    assert await tail.state(copy) is State.LEASED
    assert (await tail.server.states(tail.run))["wide"] == "waiting"
    await tail.ends(copy, "second")
    await tail.goes_on_with("second")


async def test_a_list_fails_when_both_halves_of_an_item_have(tail):
    await tail.begin(retry={"attempts": 1})
    copy = await tail.copy()
    await tail.ends(copy, None, Outcome.ERRORED)
    assert (await tail.server.states(tail.run))["wide"] == "waiting"
    await tail.ends(tail.slow, None, Outcome.ERRORED)
    assert (await tail.server.over(tail.run)).state is RunState.FAILED
    [head] = await tail.world.store.get([tail.run.key_of(0)])
    assert f"first item {SLOW}: It broke." in head.reason.message


async def test_nothing_runs_twice_where_that_is_not_wanted(tail):
    await tail.begin(speculate=False)
    for _ in range(3):
        await tail.later(5_000)
    assert tail.assigned == [tail.slow]
    await tail.ends(tail.slow, "slow")
    await tail.goes_on_with("slow")


async def test_a_copy_is_made_once_however_often_the_list_is_looked_at_and_by_whom(tail):
    await tail.begin()
    copy = await tail.copy()
    tail.world.lists.drop(tail.run.key_of(0))
    for _ in range(3):
        await tail.later(2_000)
    assert {task.id for task in tail.assigned} == {tail.slow.id, copy.id}


@pytest.mark.parametrize("which", ["slow", "copy"])
async def test_a_node_that_dies_with_one_half_leaves_the_other(tail, which):
    await tail.begin()
    copy = await tail.copy()
    dead, left = (tail.slow, copy) if which == "slow" else (copy, tail.slow)
    tail.server.hands.assigned.remove(dead)
    tail.world.fleet.leave(dead.node, 1)
    record = await tail.world.store.node(dead.node)
    await tail.world.store.swap_node(record, replace(record, lease_until=tail.server.clock.ms))
    for _ in range(10):
        await tail.later(10_000)
    again = [task for task in tail.assigned if task.id == dead.id]
    # Where only one node is left, a second copy waits for another one; the item itself goes wherever it can.
    assert bool(again) == (which == "slow")
    await tail.ends(left, "left")
    await tail.goes_on_with("left")
    assert await tail.state(dead) in (State.CANCELLED, State.CANCELLING)


async def test_the_server_that_has_another_node_makes_the_copy(store, tmp_path):
    ready, blobs, clock = LocalReady(), FileBlobs(tmp_path / "blobs"), Ticking()
    one, two = (Server(store, blobs, clock, number, ready=ready, slots=6) for number in (1, 2))
    for server in (one, two):
        await store.insert_node(server.node)
    run = await graphs.schedule(one.world, graph(step("wide", type="parallel", items=[0] * 6)), owner="ann")
    await one.look()
    clock.ms += 900
    await one.report(5, lambda task, inputs: task.origin.number)
    for _ in range(4):
        clock.ms += 2_000
        for server in (one, two):  # the one whose only node is slow always looks first
            await reconcile(server.world)
            await server.look()
    assert [task.origin.number for task in two.hands.assigned] == [5 + 6]
    await two.report(1, lambda task, inputs: "second")
    await two.look()
    assert await one.result(run, "wide") == [0, 1, 2, 3, 4, "second"]
