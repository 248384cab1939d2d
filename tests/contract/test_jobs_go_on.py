"""Map-reduce jobs and verified lists on every store, over nodes of several owners, one of whom may lie."""

import hashlib
import json

import msgspec
import pytest
from msgspec.structs import replace
from tests.contract.one_cluster import Server, Ticking, graph, step

from anchor.adapters.files.blobs import FileBlobs
from anchor.core.attempt import Ending, Outcome, OutputFile, Result
from anchor.core.dag import RunState
from anchor.core.graph_check import checked
from anchor.core.mapreduce import MapReduce
from anchor.core.task import State
from anchor.orchestrator import graphs
from anchor.orchestrator.mapreduce import drawn_up
from anchor.orchestrator.payloads import payload_of
from anchor.orchestrator.settle import settle

pytestmark = pytest.mark.anyio
SOURCE = {"sourceCode": "function map(n) { } function reduce(key, values) { }"}
LIAR = "REX-LIAR"


class Fleet:
    """One server with nodes of three owners more, which all do what a map and a reduce do; the liar's are wrong."""

    def __init__(self, store, folder):
        self.server = Server(store, FileBlobs(folder / "blobs"), Ticking(), slots=20)
        self.world = self.server.world
        self.ran = []

    async def join(self):
        await self.world.store.insert_node(self.server.node)
        for name in ("REX-00000A", "REX-00000B", LIAR):
            node = replace(self.server.node, id=name, owner=f"owner of {name}")
            await self.world.store.insert_node(node)
            self.world.fleet.join(node)
        return self

    async def start(self, **fields):
        job = {"name": "job", "input": {"list": [1, 2, 3, 4]}, "map": SOURCE, "reduce": SOURCE, "reducers": 2, **fields}
        drawn, faults = checked(await drawn_up(self.world, msgspec.convert(job, MapReduce)))
        assert not faults, faults
        return await graphs.schedule(self.world, drawn, owner="ann", kind="mapreduce")

    async def work(self):
        await self.server.look()
        while self.server.hands.assigned:
            task = self.server.hands.assigned.popleft()
            if task.id in self.server.hands.to_stop:
                ending = Ending(task.id, task.attempt, Outcome.CANCELLED)
            else:
                ending = Ending(task.id, task.attempt, Outcome.SUCCEEDED, await self._answer(task))
            await settle(self.world, node=task.node, session=1, endings=[ending])
            await self.server.look()

    async def _answer(self, task):
        """A list of numbers is mapped to (odd or even, number), and reduced to sums."""
        name = task.spec.name.partition(" ")[0]
        self.ran.append(name)
        payload = json.loads(await payload_of(self.world, task))
        files, value = (), None
        if name == "map":
            shares = {}
            for number in payload["input"]:
                share = shares.setdefault(f"part-{number % 2:04}", {})
                share.setdefault("odd" if number % 2 else "even", []).append(number + 100 * (task.node == LIAR))
            files = tuple([await self._file(name, share) for name, share in sorted(shares.items())])
        elif name == "reduce":
            sums = {}
            for reference in payload["files"].values():
                for key, values in (await self._read(reference)).items():
                    sums[key] = sums.get(key, 0) + sum(values)
            value = [[key, sums[key] + (task.node == LIAR)] for key in sorted(sums)]
        elif name == "each":
            value = payload["input"] * (1000 if task.node == LIAR else 10)
        text = json.dumps(value).encode()
        return Result(json=text, size=len(text), files=files)

    async def _file(self, name, share):
        content = json.dumps(share).encode()

        async def chunks():
            yield content

        await self.world.blobs.put(chunks())
        return OutputFile(name, hashlib.sha256(content).hexdigest(), len(content))

    async def _read(self, reference):
        return json.loads(b"".join([chunk async for chunk in self.world.blobs.get(reference.removeprefix("sha256:"))]))


@pytest.fixture
async def fleet(store, tmp_path):
    return await Fleet(store, tmp_path).join()


async def ended(fleet, run, state=RunState.SUCCEEDED):
    over = await fleet.server.over(run)
    assert over.state is state, over
    return over


async def test_what_is_mapped_is_shuffled_and_reduced(fleet):
    run = await fleet.start(input={"list": [2, 3, 4]})
    fleet.world.fleet.leave(LIAR, 1)
    await fleet.work()
    await ended(fleet, run)
    assert await fleet.server.result(run, "reduce") == [["even", 6], ["odd", 3]]


async def test_every_map_and_every_reduce_of_a_verified_job_is_answered_by_several_owners(fleet):
    run = await fleet.start(verify="quorum")
    await fleet.work()
    await ended(fleet, run)
    assert await fleet.server.result(run, "reduce") == [["even", 6], ["odd", 4]]
    assert fleet.ran.count("map") >= 2 * 4
    assert fleet.ran.count("reduce") >= 2 * 2


async def test_the_items_of_a_verified_list_are_verified_one_by_one(fleet):
    wide = step("each", type="parallel", items=[1, 2, 3], verify="quorum")
    run = await graphs.schedule(fleet.world, graph(wide), owner="ann")
    await fleet.work()
    await ended(fleet, run)
    assert await fleet.server.result(run, "each") == [10, 20, 30]
    [head] = await fleet.world.store.get([run.key_of(0)])
    items = await fleet.world.store.get([head.parts.key(number) for number in range(3)])
    assert [item.state for item in items] == [State.SUCCEEDED] * 3
    assert all(item.parts.verdict is not None for item in items)


async def test_one_map_runs_again_and_with_it_the_reduce(fleet):
    fleet.world.fleet.leave(LIAR, 1)
    first = await fleet.start()
    await fleet.work()
    over = await ended(fleet, first)
    fleet.ran.clear()
    second = await graphs.rerun(fleet.world, over, owner="ann", item=("map", 2))
    await fleet.work()
    await ended(fleet, second)
    assert sorted(fleet.ran) == ["map", "reduce", "reduce"]
    assert await fleet.server.result(second, "reduce") == [["even", 6], ["odd", 4]]


async def test_one_item_of_a_verified_list_is_verified_anew_and_the_others_are_taken_over(fleet):
    wide = step("each", type="parallel", items=[1, 2, 3], verify="quorum")
    first = await graphs.schedule(fleet.world, graph(wide, step("after", "each")), owner="ann")
    await fleet.work()
    over = await ended(fleet, first)
    fleet.ran.clear()
    second = await graphs.rerun(fleet.world, over, owner="ann", item=("each", 1))
    await fleet.work()
    await ended(fleet, second)
    assert await fleet.server.result(second, "each") == [10, 20, 30]
    assert fleet.ran.count("each") in (2, 3)
    assert fleet.ran.count("after") == 1
    [head] = await fleet.world.store.get([second.key_of(0)])
    items = await fleet.world.store.get([head.parts.key(number) for number in range(3)])
    assert [item.state for item in items] == [State.SUCCEEDED] * 3
