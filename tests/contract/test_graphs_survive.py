"""A server dies at any write of a graph, before or after it: nothing is lost, nothing is decided twice."""

from collections import Counter

import pytest
from tests.contract.one_cluster import Failed, Server, Ticking, graph, step

from anchor.adapters.files.blobs import FileBlobs
from anchor.core.dag import RUN_OVER, RunState
from anchor.orchestrator import graphs

pytestmark = pytest.mark.anyio
STEPS = [
    step("a"), step("b", "a"), step("c", "a", code=False), step("d", "b", "c"), step("bad", retry={"attempts": 1}),
    step("never", "bad"), step("soft", "a", softDependencies=["never"]), step("last", always=True),
]  # fmt: skip


class Died(BaseException):
    """The process is no more: nothing in it goes on."""


class Mortal:
    """A store whose server dies at its n-th write: the even ones are written first, the odd ones are not."""

    WRITES = frozenset({"insert", "swap", "insert_run", "swap_run", "claim", "fulfil"})

    def __init__(self, store, at):
        self._store, self._left, self._after = store, at // 2, at % 2 == 0

    def __getattr__(self, name):
        method = getattr(self._store, name)
        if name not in self.WRITES:
            return method

        async def write(*args):
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Died
            answer = await method(*args)
            if self._left == 0:
                raise Died
            return answer

        return write


def does(task, inputs):
    if task.spec.name == "bad":
        raise Failed("bad")
    return sorted(inputs)


async def schedule(server):
    return (await graphs.schedule_once(server.world, graph(*STEPS), owner="ann", key=server.key, digest="d")).run


async def work(server, run, *, cancel):
    await server.look()
    await server.report(1, does)
    if cancel:
        await graphs.cancel(server.world, run.id, by="ann")
    await server.work(does)


@pytest.mark.parametrize("cancel", [False, True])
async def test_a_graph_goes_on_after_a_death_at_any_write(store, tmp_path, cancel):
    clock, blobs = Ticking(), FileBlobs(tmp_path / "blobs")
    for at in range(2, 200):
        clock.ms += 1000
        first = Server(Mortal(store, at), blobs, clock)
        first.key = f"{cancel} {at}"
        died = False
        try:
            await work(first, await schedule(first), cancel=cancel)
        except Died:
            died = True
        second = Server(store, blobs, clock)
        second.world.keys.take(1000, now_ms=clock.now() + 1000)  # a server never makes keys another life of it made
        second.key = first.key
        run = await schedule(second)
        await second.takes_over(first, run)
        if cancel and (await store.run(run.id)).state not in RUN_OVER:
            await graphs.cancel(second.world, run.id, by="ann")
        await second.work(does)
        over = await second.over(run)
        ran = Counter(second.begun)
        assert set(ran.values()) <= {1}, (at, ran)
        if cancel:
            assert over.state is RunState.CANCELLED, at
            assert set(ran) <= {"a", "bad"}, (at, ran)
        else:
            assert set(ran) == {"a", "b", "d", "bad", "soft", "last"}, (at, ran)
            assert over.state is RunState.FAILED, at
            assert over.ended == {"succeeded": 6, "failed": 1, "skipped": 1}, at
            assert await second.result(run, "d") == ["b", "c"]
            assert second.begun[-1] == "last"
        if not died:
            assert at > 20, "not every write was one to die at"
            return
    pytest.fail("there was no end of writes")
