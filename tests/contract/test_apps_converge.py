"""Apps come to be as they are wanted on every store, whichever server does what, and whatever is lost between."""

import asyncio
from random import Random

import pytest
from msgspec.structs import replace
from tests.contract.one_cluster import Ticking

from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.local.bus import LocalBus
from anchor.adapters.local.ready import LocalReady
from anchor.core.app import AppConfig, Plan, ReleaseState, ReplicaState, Wanted, routable
from anchor.core.errors import Conflict, NotFound
from anchor.core.ids import KeySequence
from anchor.core.node import Node, Profile, Status
from anchor.core.placement import short_of
from anchor.core.spec import Need
from anchor.orchestrator.apps import change
from anchor.orchestrator.apps.advance import advance
from anchor.orchestrator.apps.hosting import tell
from anchor.orchestrator.apps.observe import observed
from anchor.orchestrator.apps.refresh import reread
from anchor.orchestrator.apps.sweep import heard, look_after, sweep
from anchor.orchestrator.apps.view import state_of
from anchor.orchestrator.nodes import set_status
from anchor.orchestrator.world import World
from anchor.wire.link import ReplicaStatus

pytestmark = pytest.mark.anyio
PLAN = Plan(kind="node", processes={"web": "node server.js"})
LEASE_MS = 30_000


class Machines:
    """The nodes of one server: they do what they were told last, when a test says so."""

    def __init__(self):
        self.told = {}
        self.deaf = False

    async def host(self, node, session, replicas):
        if not self.deaf:
            self.told[node] = [(app.id, one.generation, one.state is ReplicaState.DRAINING) for app, one in replicas]

    async def hang_up(self, node, session):
        self.told.pop(node, None)


class Site:
    """Servers over one store, each with nodes of its own."""

    def __init__(self, store, blobs):
        self.store, self.blobs, self.clock = store, blobs, Ticking()
        self.worlds = []

    async def server(self, *names):
        number = len(self.worlds) + 1
        world = World(
            store=self.store, ready=LocalReady(), bus=LocalBus(), blobs=self.blobs, links=Machines(), clock=self.clock,
            chance=Random(number), keys=KeySequence(number), lease_ms=LEASE_MS, heartbeat_ms=10_000,
            swept_at=self.clock.now(), server=f"server {number}",
        )  # fmt: skip
        for name in names:
            profile = Profile(cores=8, ram=8.0, features=("apps",), task_memory_mib=4096)
            node = Node(
                id=name, owner="o", public_key=bytes(32), joined_at=1, session=1, profile=profile,
                lease_until=self.clock.now() + LEASE_MS,
            )  # fmt: skip
            assert await self.store.insert_node(node)
            world.fleet.join(node)
        self.worlds.append(world)
        await sweep(world, self.clock.now())
        return world

    async def say(self, world, node, state="healthy"):
        """A node says that all it was told to run is so, and that what was to drain has stopped."""
        statuses = [
            ReplicaStatus(app, generation, "stopped" if drains else state, self.clock.now())
            for app, generation, drains in world.links.told.get(node, ())
        ]
        await observed(world, node, 1, statuses)

    async def go_on(self, rounds=6):
        """Let everybody do what there is to do, hearing of everything."""
        for _ in range(rounds):
            for world in self.worlds:
                for node in sorted(world.links.told):
                    await self.say(world, node)
                for other in self.worlds:
                    await heard(other, {0})

    async def pass_time(self, ms):
        """Time goes by; the leases of nodes that are connected are renewed."""
        self.clock.ms += ms
        for world in self.worlds:
            world.swept_at = self.clock.now()
            for seat in list(world.fleet.seats()):
                old = await self.store.node(seat.node)
                new = replace(old, ver=old.ver + 1, lease_until=self.clock.now() + LEASE_MS)
                assert await self.store.swap_node(old, new)
                seat.see(new)


@pytest.fixture
def site(store, tmp_path):
    return Site(store, FileBlobs(tmp_path / "blobs"))


async def created(world, name="shop", *, count=2, key=None, **config):
    config = AppConfig(scale={"web": count}, **config)
    return await change.create(
        world, name=name, title=name.title(), owner="ann", config=config, plan=PLAN, source="s1", env={"A": b"x"},
        by="ann", key=key,
    )  # fmt: skip


async def test_an_app_runs_on_the_nodes_of_both_servers_and_each_routes_to_all_of_it(site):
    left, right = await site.server("A"), await site.server("B")
    app = await created(left)
    assert [one.state for one in app.replicas] == [ReplicaState.PLACED]
    await site.go_on()
    for world in (left, right):
        known = world.apps.named("shop")
        assert {one.node for one in routable(known)} == {"A", "B"}
        assert state_of(known) == ("running", None)


async def test_what_many_do_at_once_gives_no_generation_twice_and_comes_to_one_end(site):
    left, right = await site.server("A"), await site.server("B")
    app = await created(left)
    await site.go_on()
    await asyncio.gather(
        *(change.restart(world, app.id, owner="ann", by="ann") for world in (left, right) for _ in range(3)),
        change.scale(right, app.id, owner="ann", scale={"web": 3}, by="ann"),
        change.release(left, app.id, owner="ann", source="s2", by="ann"),
        *(advance(world, app.id) for world in (left, right) for _ in range(3)),
    )
    await site.go_on(12)
    app = await site.store.app(app.id)
    generations = [one.generation for one in app.replicas]
    assert len(generations) == len(set(generations)) == 3
    assert app.live == 2
    assert {(one.release, one.state) for one in app.replicas} == {(2, ReplicaState.HEALTHY)}


async def test_what_a_server_wrote_and_told_nobody_of_is_found_by_the_others_sweep(site):
    left, right = await site.server("A"), await site.server("B")
    right.links.deaf = True  # as if it had died after the write
    await created(right, count=1)
    right.links.deaf = False
    assert left.links.told["A"] == []
    await site.pass_time(5_000)
    await sweep(left, site.clock.now())
    assert len(left.links.told["A"]) == 1


async def test_what_ran_on_a_node_whose_lease_is_over_is_replaced_elsewhere(site):
    left, right = await site.server("A"), await site.server("B")
    app = await created(left, count=1)
    await site.go_on()
    [before] = routable(right.apps.named("shop"))
    owner, other = (left, right) if before.node == "A" else (right, left)
    owner.fleet.leave(before.node, 1)
    site.worlds.remove(owner)
    await site.pass_time(LEASE_MS + 1_000)
    await sweep(other, site.clock.now())
    [after] = (await site.store.app(app.id)).replicas
    assert (after.state, after.generation) == (ReplicaState.PLACED, before.generation + 1)
    assert after.node != before.node
    stale = [ReplicaStatus(app.id, before.generation, "healthy", 0)]
    await observed(owner, before.node, 1, stale)
    assert routable(await site.store.app(app.id)) == []


async def test_a_server_that_stood_still_takes_nobody_for_gone(site):
    world = await site.server("A")
    app = await created(world, count=1)
    await site.go_on()
    site.clock.ms += 10 * LEASE_MS
    await sweep(world, site.clock.now())
    assert len(routable(await site.store.app(app.id))) == 1


async def test_a_node_that_drains_hands_over_and_a_blocked_one_is_replaced_at_once(site):
    world = await site.server("A", "B", "C")
    app = await created(world, count=1)
    await site.go_on()
    [first] = routable(await site.store.app(app.id))
    await set_status(world, first.node, Status.DRAINING, by="op")
    assert len((await site.store.app(app.id)).replicas) == 2
    await site.go_on()
    [second] = routable(await site.store.app(app.id))
    assert second.node != first.node
    await set_status(world, second.node, Status.BLOCKED, by="op")
    [third] = (await site.store.app(app.id)).replicas
    assert third.node not in (first.node, second.node)


async def test_an_app_waits_for_a_node_and_is_placed_when_one_comes(site):
    world = await site.server()
    app = await created(world, count=1)
    assert state_of(app).state == "deploying"
    assert state_of(app).reason.code == "no_node"
    node = Node(
        id="Z", owner="o", public_key=bytes(32), joined_at=1, session=1, lease_until=site.clock.now() + LEASE_MS,
        profile=Profile(cores=1, ram=1.0, features=("apps",)),
    )  # fmt: skip
    await site.store.insert_node(node)
    world.fleet.join(node)
    await look_after(world, "Z")
    assert len(world.links.told["Z"]) == 1


async def test_a_node_that_runs_what_it_should_not_or_lacks_something_is_told_again(site):
    world = await site.server("A")
    app = await created(world, count=1)
    await site.go_on()
    for statuses in ([], [ReplicaStatus(app.id, 1, "healthy", 0), ReplicaStatus(9, 9, "healthy", 0)]):
        world.links.told.clear()
        site.clock.ms += 1_000
        await observed(world, "A", 1, statuses)
        assert world.links.told["A"] == [(app.id, 1, False)]
    world.links.told.clear()
    await observed(world, "A", 2, [])
    assert world.links.told == {}


async def test_a_bad_release_never_touches_what_is_live(site):
    world = await site.server("A", "B", "C")
    app = await created(world)
    await site.go_on()
    before = routable(world.apps.get(app.id))
    await change.release(world, app.id, owner="ann", source="bad", by="ann")
    for _ in range(4):
        for node, told in list(world.links.told.items()):
            states = {True: "stopped", False: "failed"}
            live = {one.generation for one in before}
            await observed(
                world,
                node,
                1,
                [ReplicaStatus(a, g, "healthy" if g in live else states[drains], 0) for a, g, drains in told],
            )
            assert routable(world.apps.get(app.id)) == before
    after = await site.store.app(app.id)
    assert [one.state for one in after.releases] == [ReleaseState.LIVE, ReleaseState.FAILED]
    assert state_of(after).state == "running"
    assert "Release 2 failed" in state_of(after).reason.message


async def test_going_back_brings_the_variables_back_too(site):
    world = await site.server("A")
    app = await created(world, count=1)
    await site.go_on()
    await change.release(world, app.id, owner="ann", env={"A": b"y"}, config=AppConfig(port=9000), by="ann")
    await site.go_on()
    await change.rollback(world, app.id, owner="ann", by="ann")
    await site.go_on()
    after = await site.store.app(app.id)
    live = after.release(after.live)
    assert (after.live, live.of, live.env, live.config.port) == (3, 1, {"A": b"x"}, None)


async def test_an_app_is_stopped_started_and_removed_and_its_name_is_free_again(site):
    world = await site.server("A")
    app = await created(world)
    await site.go_on()
    await change.stop(world, app.id, owner="ann", by="ann")
    assert routable(world.apps.get(app.id)) == []
    await site.go_on()
    stopped = await site.store.app(app.id)
    assert (stopped.replicas, state_of(stopped).state, stopped.wake_at) == ((), "stopped", None)
    await change.start(world, app.id, owner="ann", by="ann")
    await site.go_on()
    assert len(routable(world.apps.get(app.id))) == 2
    await change.remove(world, app.id, owner="ann", by="ann")
    assert state_of(world.apps.get(app.id)).state == "removing"
    with pytest.raises(Conflict, match="is being removed"):
        await change.restart(world, app.id, owner="ann", by="ann")
    await site.go_on()
    assert await site.store.app(app.id) is None
    assert world.apps.named("shop") is None
    assert (await created(world)).id != app.id


async def test_a_removal_whose_last_write_was_lost_is_finished_by_the_sweep(site):
    world = await site.server("A")
    app = await created(world)
    old = await site.store.app(app.id)
    gone = replace(old, ver=old.ver + 1, wanted=Wanted.REMOVED, replicas=(), wake_at=site.clock.now())
    assert await site.store.swap_app(old, gone)
    await sweep(world, site.clock.now() + 1)
    assert await site.store.app(app.id) is None


async def test_an_app_is_its_owners_its_name_is_its_own_and_a_repeated_request_gets_the_same_one(site):
    world = await site.server("A")
    [key] = world.keys.take(1, now_ms=site.clock.now())
    app = await created(world, key=key)
    assert (await created(world, key=key)).id == app.id == key
    with pytest.raises(Conflict, match="is an app 'shop' already"):
        await created(world)
    with pytest.raises(NotFound):
        await change.stop(world, app.id, owner="eve", by="eve")
    with pytest.raises(NotFound):
        await change.remove(world, app.id + 1, owner=None, by="op")
    with pytest.raises(Conflict, match="no process 'cron'"):
        await change.scale(world, app.id, owner="ann", scale={"cron": 1}, by="ann")


async def test_a_new_config_keeps_the_scale_it_does_not_name(site):
    world = await site.server("A")
    app = await created(world, count=3)
    await change.release(world, app.id, owner="ann", config=AppConfig(port=9000), by="ann")
    assert (await site.store.app(app.id)).releases[-1].config == AppConfig(port=9000, scale={"web": 3})


async def test_two_apps_that_want_one_port_are_told_so(site):
    world = await site.server("A")
    await created(world, "one", count=1, port=8080)
    second = await created(world, "two", count=1, port=8080)
    assert "has its port 8080 taken by another app" in state_of(second).reason.message


async def test_what_waits_for_a_port_gets_it_with_the_next_sweep_after_it_is_free(site):
    world = await site.server("A")
    first = await created(world, "one", count=1, port=8080)
    await site.go_on()
    second = await created(world, "two", count=1, port=8080)
    await change.remove(world, first.id, owner="ann", by="ann")
    await site.go_on()
    assert await site.store.app(first.id) is None
    await sweep(world, site.clock.now())
    assert [one.node for one in (await site.store.app(second.id)).replicas] == ["A"]


async def test_memory_promised_to_apps_is_not_there_for_tasks(site):
    world = await site.server("A")
    await created(world, count=1, ram="4GB")
    seat = world.fleet.seat("A")
    assert world.apps.promised("A").mib == 4096
    assert "has promised 4096 of its 8192 MiB" in seat.short_of(Need(memory_mib=5000))
    assert seat.short_of(Need(memory_mib=4000)) is None
    assert short_of(Need(memory_mib=5000), seat.profile, seat.record.metrics, booked_mib=0, booked_cores=0) is None


async def test_an_old_memory_is_read_again_before_a_node_is_told(site):
    left, right = await site.server("A"), await site.server()
    await created(right, count=1)
    assert left.apps.named("shop") is None
    await tell(left, ["A"])
    assert len(left.links.told["A"]) == 1
    assert await reread(left) == set()
