"""A failover of the store may lose what was written last, though a server was told that it was: work goes on anyway."""

import pytest
from tests.contract.one_cluster import Server, Ticking, graph, step

from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.local.ready import LocalReady
from anchor.core.dag import RunState
from anchor.core.node import Metrics
from anchor.core.spec import TaskSpec
from anchor.core.task import State
from anchor.orchestrator import graphs, nodes
from anchor.orchestrator.cancel import cancel
from anchor.orchestrator.reconcile import reconcile
from anchor.orchestrator.submit import submit

pytestmark = pytest.mark.anyio


class Forgetful:
    """A store that may say of new tasks that they are written when they are not."""

    def __init__(self, store):
        self._store = store
        self.forgets = False

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def insert(self, tasks):
        return [True] * len(tasks) if self.forgets else await self._store.insert(tasks)


@pytest.fixture
async def server(store, tmp_path):
    server = Server(Forgetful(store), FileBlobs(tmp_path), Ticking(), ready=LocalReady())
    await store.insert_node(server.node)
    return server


async def test_a_step_that_a_failover_lost_is_made_again(server):
    run = await graphs.schedule(server.world, graph(step("first"), step("second", "first")), owner="ann")
    await server.report()
    server.world.store.forgets = True
    await server.look()
    server.hands.assigned.clear()
    server.world.store.forgets = False
    assert list(await server.states(run)) == ["first"]
    for _ in range(2):
        server.clock.ms += 31_000
        await reconcile(server.world)
        await server.work()
    assert (await server.over(run)).state is RunState.SUCCEEDED


async def test_a_cancelled_task_that_its_node_let_go_before_a_failover_ends(server):
    world, node = server.world, server.node
    [task] = await submit(world, [TaskSpec("lost", "noop")], owner="ann")
    assert task.state is State.LEASED
    # Its end was recorded, so that the node forgot it; then the store went back to what it was before.
    server.hands.assigned.clear()
    [seat] = world.fleet.seats()
    seat.held.clear()
    assert (await cancel(world, task.id, by="ann")).state is State.CANCELLING
    for _ in range(4):
        server.clock.ms += 11_000
        await reconcile(world)
        await nodes.heartbeat(world, node.id, node.session, metrics=Metrics(), held=[])
    [task] = await world.store.get([task.id])
    assert task.state is State.CANCELLED
