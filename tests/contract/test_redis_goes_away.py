"""Redis may be killed, stopped, emptied or full at any time: nobody waits for it long, and it is used again."""

import asyncio
import contextlib
import inspect
import secrets
import socket
import sys
import time

import pytest
import redis
from tests.engines.valkey import running_valkey

from anchor.adapters.local.buckets import LocalBuckets
from anchor.adapters.local.bus import LocalBus
from anchor.adapters.local.ready import LocalReady
from anchor.adapters.redis import RedisHints
from anchor.core.errors import Conflict, InvalidRequest, Unavailable
from anchor.ports.bus import ANY_APP, ANY_NODE
from anchor.ports.ready import Hint

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no Valkey for Windows"),
]
SOON = 10.0
"""Seconds that whatever has to happen may take on a busy machine."""
PATIENCE = 1.0
"""More than by default, so that a busy machine is not taken for a Redis that is gone."""
AT_ONCE = 2.5
"""Seconds for what may take one moment of patience, on a busy machine."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with running_valkey(tmp_path_factory.mktemp("valkey")) as started:
        yield started


@contextlib.asynccontextmanager
async def server_on(engine, namespace="anchor"):
    """The hints of one server."""
    hints = await RedisHints.open(
        engine.url,
        ready=LocalReady(),
        bus=LocalBus(),
        buckets=LocalBuckets(),
        namespace=namespace,
        patience_seconds=PATIENCE,
    )
    try:
        yield hints
    finally:
        await hints.close()


@pytest.fixture
async def two(engine):
    namespace = secrets.token_hex(8)
    async with server_on(engine, namespace) as one, server_on(engine, namespace) as other:
        yield one, other


async def until(condition) -> None:
    """Wait for something that is looked up, or asked for."""
    async with asyncio.timeout(SOON):
        while True:
            found = condition()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(0.01)


async def redis_is_back(*servers) -> None:
    await until(lambda: all(server.problem is None for server in servers))


async def notice(*servers) -> None:
    """Have servers ask for something while Redis is away."""
    for server in servers:
        await server.ready.size()
        assert server.problem is not None


@contextlib.contextmanager
def at_once():
    began = time.monotonic()
    yield
    assert time.monotonic() - began < AT_ONCE


async def everything_answers(server) -> None:
    """What a server does all day, none of it kept waiting."""
    with at_once():
        await server.ready.push([Hint(1, 0, "a"), Hint(2, 3, "b")])
        assert sorted(await server.ready.shapes(0)) == ["a", "b"]
        assert await server.ready.size() == 2
        assert [hint.id for hint in await server.ready.pop(5, ["a", "b"])] == [2, 1]
        assert await server.buckets.take("x", rate=1, burst=1) == 0
        with server.bus.watch_task(1) as watch:
            server.bus.tasks_changed([1])
            assert await watch.changed(0)
        server.bus.work_waits()
        assert await server.bus.next_work(0)


async def test_a_queue_is_shared_by_the_servers(two):
    one, other = two
    await one.ready.push([Hint(1, 0, "a"), Hint(2, 1, "a"), Hint(3, 0, "b", not_before=7)])
    assert await other.ready.size() == 2
    assert await other.ready.shapes(7) == await one.ready.shapes(7)
    taken = [await server.ready.pop(1, ["a", "b"]) for server in (one, other, one, other)]
    assert [hint.id for hints in taken for hint in hints] == [2, 1, 3]


async def test_of_servers_that_take_at_the_same_time_each_gets_other_hints(two):
    one, other = two
    await one.ready.push([Hint(at, at % 3, "ab"[at % 2]) for at in range(2_000)])
    taken = await asyncio.gather(*[two[at % 2].ready.pop(70, ["a", "b"]) for at in range(40)])
    assert sorted(hint.id for hints in taken for hint in hints) == list(range(2_000))
    assert await other.ready.shapes(0) == []


async def test_who_overhears_other_servers_hears_of_their_tasks_and_not_of_its_own(two):
    one, other = two
    heard = asyncio.Queue()
    one.bus.overhear(heard.put_nowait)
    one.bus.tasks_changed([1])
    other.bus.tasks_changed([2, 3])
    assert sorted(await asyncio.wait_for(heard.get(), 5)) == [2, 3]
    one.bus.overhear(None)
    other.bus.tasks_changed([4])
    with one.bus.watch_task(4) as watch:
        other.bus.tasks_changed([4])
        assert await watch.changed(5)
    assert heard.empty()


async def test_what_one_server_says_wakes_those_who_look_on_the_other(two):
    one, other = two
    await one.bus.next_work(0)
    with other.bus.watch_task(5) as watch, other.bus.watch_task(6) as quiet:
        one.bus.tasks_changed([4, 5])
        one.bus.node_changed("REX-A1B2C3", [5])
        one.bus.apps_changed([9])
        one.bus.work_waits()
        assert await watch.changed(SOON)
        assert await other.bus.next_nodes(SOON) == {"REX-A1B2C3": {5}}
        assert await other.bus.next_apps(SOON) == {9}
        assert await other.bus.next_work(SOON)
        assert not await quiet.changed(0)
    assert await one.bus.next_nodes(0) == {"REX-A1B2C3": {5}}
    other.bus.node_changed("MAX-000000")
    assert await one.bus.next_nodes(SOON) == {"MAX-000000": set()}


async def test_many_changes_in_one_turn_are_one_message_and_own_messages_change_nothing(engine, two):
    one, other = two
    with redis.Redis(port=engine.port) as client:
        with other.bus.watch_task(0) as first, other.bus.watch_task(99) as watch:
            one.bus.tasks_changed([0])
            assert await first.changed(SOON)
            before = client.info("commandstats")["cmdstat_publish"]["calls"]
            for task in range(100):
                one.bus.tasks_changed([task])
            assert await watch.changed(SOON)
        assert client.info("commandstats")["cmdstat_publish"]["calls"] == before + 1
    one.bus.work_waits()
    assert await one.bus.next_work(0)
    assert await other.bus.next_work(SOON)
    assert not await one.bus.next_work(0.05)


async def test_a_bucket_is_shared_by_the_servers(two):
    waits = await asyncio.gather(*[two[at % 2].buckets.take("a", rate=0.01, burst=7) for at in range(30)])
    assert waits.count(0) == 7


async def test_a_killed_redis_keeps_nobody_waiting_and_is_used_again(engine, two):
    one, other = two
    engine.kill()
    await everything_answers(one)
    assert one.problem is not None
    assert one.problem.code == "redis_away"
    assert one.problem.hint
    with other.bus.watch_task(3) as watch:
        await other.bus.next_nodes(0)
        await other.bus.next_apps(0)
        one.bus.tasks_changed([3])
        one.bus.node_changed("REX-A1B2C3")
        assert not await watch.changed(0.05)
        await one.ready.push([Hint(4, 0, "meanwhile")])
        engine.start()
        await redis_is_back(one, other)
        assert await watch.changed(SOON), "something may have been missed"
        assert ANY_NODE in await other.bus.next_nodes(SOON)
        assert ANY_APP in await other.bus.next_apps(SOON)
        assert await other.bus.next_work(SOON)
    await until(lambda: other.ready.size())
    assert await other.ready.pop(1, ["meanwhile"]) == [Hint(4, 0, "meanwhile")]


async def test_a_stopped_redis_costs_one_short_wait_and_everybody_shares_it(engine, two):
    one, other = two
    engine.pause()
    try:
        with at_once():
            await asyncio.gather(*[one.ready.push([Hint(at, 0, "a")]) for at in range(200)])
        assert one.problem is not None
        began = time.monotonic()
        for _ in range(100):
            assert await one.ready.size() == 200
        assert time.monotonic() - began < AT_ONCE, "nobody tries again for himself"
        await until(lambda: one.bus.problem is not None and other.bus.problem is not None)
        await everything_answers(other)
    finally:
        engine.resume()
    await redis_is_back(one, other)
    await until(lambda: _holds(other, 200))


async def test_hints_that_rested_while_redis_was_away_are_handed_over_when_due(engine, two):
    one, other = two
    engine.kill()
    await notice(one, other)
    await one.ready.push([Hint(1, 0, "late", not_before=50)])
    engine.start()
    await redis_is_back(one, other)
    assert await one.ready.shapes(49) == []
    assert await one.ready.shapes(50) == ["late"]
    assert await other.ready.pop(1, ["late"]) == [Hint(1, 0, "late")]


async def test_an_emptied_redis_knows_no_hints_and_takes_new_ones(engine, two):
    one, other = two
    await one.ready.push([Hint(at, 0, "a", not_before=at % 2) for at in range(10)])
    with redis.Redis(port=engine.port) as client:
        client.flushall()
        client.script_flush()
    assert (await other.ready.size(), await other.ready.shapes(5)) == (0, [])
    await everything_answers(one)
    with other.bus.watch_task(1) as watch:
        one.bus.tasks_changed([1])
        assert await watch.changed(SOON)
    assert one.problem is None


async def test_a_redis_started_on_an_empty_directory_goes_on(tmp_path):
    with running_valkey(tmp_path / "one") as first:
        async with server_on(first) as server:
            await server.ready.push([Hint(1, 0, "a")])
            first.kill()
            await notice(server)
            with running_valkey(tmp_path / "two", port=first.port):
                await redis_is_back(server)
                assert await server.ready.size() == 0
                await everything_answers(server)


async def test_a_full_redis_is_done_without_until_it_takes_writes_again(engine, two):
    one, _ = two
    with redis.Redis(port=engine.port) as client:
        client.config_set("maxmemory", 1)
        try:
            await everything_answers(one)
            assert "memory" in one.problem.message
            await asyncio.sleep(0.3)
            assert one.problem is not None
        finally:
            client.config_set("maxmemory", 0)
    await redis_is_back(one)


async def test_a_redis_that_came_back_before_anybody_asked_is_used_as_if_nothing_had_been(engine, two):
    one, other = two
    await one.ready.push([Hint(1, 0, "a")])
    engine.restart()
    assert await other.ready.pop(1, ["a"]) == [Hint(1, 0, "a")]
    assert await one.ready.size() == 0
    await redis_is_back(one, other)


async def test_it_comes_back_after_any_number_of_kills(engine, two):
    one, other = two
    for at in range(1, 6):
        engine.kill()
        await asyncio.gather(*[server.ready.push([Hint(at, 0, "a")]) for server in two])
        engine.start()
        await redis_is_back(one, other)
        one.bus.node_changed(f"REX-{at:06}")
        heard: set[str] = set()
        async with asyncio.timeout(SOON):
            while not heard & {f"REX-{at:06}", ANY_NODE}:
                heard |= set(await other.bus.next_nodes(SOON))
        await until(lambda: _holds(one, 1))  # the last kill may have taken those of the rounds before


async def _holds(server, hints: int) -> bool:
    return await server.ready.size() >= hints


async def test_a_redis_that_evicts_is_refused(tmp_path):
    with running_valkey(tmp_path, evicts="allkeys-lru") as evicting, pytest.raises(Conflict) as refused:
        async with server_on(evicting):
            pass
    assert refused.value.code == "redis_evicts"
    assert "CONFIG SET maxmemory-policy noeviction" in refused.value.hint


async def test_a_password_is_needed_where_redis_asks_for_one_and_is_never_shown(tmp_path):
    with running_valkey(tmp_path, password="right/one@:") as locked:
        async with server_on(locked) as server:
            await everything_answers(server)
            assert server.problem is None
        for url in (locked.url.replace("right", "wrong"), f"redis://127.0.0.1:{locked.port}/0"):
            locked.url = url
            with pytest.raises(Unavailable) as refused:
                async with server_on(locked):
                    pass
            assert refused.value.code == "queue_refused"
            assert "wrong" not in refused.value.message + refused.value.hint


async def test_at_the_start_somebody_has_to_be_there():
    class Nobody:
        url = "redis://:secret@127.0.0.1:{}/0"

    with socket.create_server(("127.0.0.1", 0)) as silent:
        Nobody.url = Nobody.url.format(silent.getsockname()[1])
        with pytest.raises(Unavailable) as unheard:
            async with server_on(Nobody):
                pass
    with pytest.raises(Unavailable) as unreached:
        async with server_on(Nobody):
            pass
    for refused in (unheard, unreached):
        assert refused.value.code == "queue_unreachable"
        assert "secret" not in refused.value.message
    Nobody.url = "mysql://127.0.0.1"
    with pytest.raises(InvalidRequest):
        async with server_on(Nobody):
            pass
