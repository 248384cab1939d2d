"""Apps: a name is one app's, a version is swapped once, what is due is found, and what is removed leaves nothing."""

import asyncio

import pytest
from msgspec.structs import replace

from anchor.core.app import App, AppConfig, Plan, Release, ReleaseState, Replica, ReplicaState, Wanted
from anchor.core.attempt import Reason
from anchor.ports.store import LogChunk

pytestmark = pytest.mark.anyio


@pytest.fixture
def app_of(make):
    """A new app; its id is a fresh key."""

    def made(name="shop", **how):
        return App(**{"id": make.task().id, "name": name, "title": "My Shop 🐙", "owner": "ann", "created_at": 5} | how)

    return made


def moved(app, **how):
    return replace(app, ver=app.ver + 1, **how)


async def test_an_app_comes_back_whole_after_a_restart(store, reopened, app_of):
    release = Release(
        number=3,
        source="ab" * 32,
        config=AppConfig(port=8080, ram="2048MB", scale={"web": 2}, health_path="/health"),
        plan=Plan(kind="node", processes={"web": "node server.js"}, install="npm"),
        created_at=6,
        by="ann",
        env={"TOKEN": bytes(range(256))},
        state=ReleaseState.LIVE,
        lock="cd" * 32,
        of=1,
    )
    place = {"process": "web", "release": 3, "node": "REX-A1B2C3"}
    replicas = (
        Replica(index=0, generation=7, state=ReplicaState.HEALTHY, **place),
        Replica(index=1, generation=9, state=ReplicaState.FAILED, reason=Reason("x", "y"), avoided=("A",), **place),
    )
    app = app_of(releases=(release,), live=3, replicas=replicas, generations=9, wake_at=8, reason=Reason("a", "b"))
    assert await store.insert_app(app)
    store = await reopened(store)
    assert await store.app(app.id) == await store.app_named("shop") == app
    assert await store.app(17) is await store.app_named("other") is None


async def test_an_id_and_a_name_are_taken_once_whoever_hurries(store, app_of):
    apps = [app_of(owner=f"owner {at}") for at in range(12)]
    answers = await asyncio.gather(*[store.insert_app(app) for app in apps])
    assert sorted(answers) == [False] * 11 + [True]
    winner = apps[answers.index(True)]
    assert not await store.insert_app(replace(winner, name="other", owner="mallory"))
    assert await store.app_named("shop") == winner
    assert await store.app_named("other") is None
    assert await store.app_versions() == {winner.id: 1}


async def test_of_two_swaps_of_one_version_one_succeeds(store, reopened, app_of):
    app = app_of()
    await store.insert_app(app)
    wishes = [moved(app, wanted=wanted, wake_at=7) for wanted in (Wanted.STOPPED, Wanted.REMOVED)]
    answers = await asyncio.gather(*[store.swap_app(app, new) for new in wishes])
    assert sorted(answers) == [False, True]
    winner = wishes[answers.index(True)]
    assert not await store.swap_app(app, moved(app))
    assert not await store.swap_app(replace(app, id=17), replace(winner, id=17))
    store = await reopened(store)
    assert await store.app(app.id) == winner
    assert await store.app_versions() == {app.id: 2}


async def test_due_are_those_whose_time_has_come_longest_waiting_first(store, app_of):
    late, early, later, never = (app_of(f"app-{at}", wake_at=at) for at in (20, 10, 31, None))
    for app in (late, early, later, never):
        await store.insert_app(app)
    assert await store.apps_due(9, 10) == []
    assert await store.apps_due(30, 10) == [early, late]
    assert await store.apps_due(31, 2) == [early, late]
    assert await store.swap_app(early, moved(early, wake_at=None))
    assert await store.swap_app(never, woken := moved(never, wake_at=1))
    assert await store.apps_due(31, 10) == [woken, late, later]


async def test_what_is_removed_leaves_its_name_and_no_log(store, reopened, app_of, make):
    app, other = app_of(), app_of("other")
    task = make.task()
    for one in (app, other):
        await store.insert_app(one)
        await store.append([LogChunk(one.id, generation, 1, 1, "stdout", "x") for generation in (1, 2)])
    await store.append([LogChunk(task.id, 1, 1, 1, "stdout", "a task's")])
    newer = moved(app, wanted=Wanted.REMOVED)
    await store.swap_app(app, newer)
    assert not await store.remove_app(app)
    assert await store.app(app.id) == newer
    assert len(await store.read(app.id, attempt=0, seq=0, limit=9)) == 2
    assert sorted(await asyncio.gather(*[store.remove_app(newer) for _ in range(3)])) == [False, False, True]
    assert not await store.swap_app(newer, moved(newer))
    store = await reopened(store)
    assert await store.app(app.id) is await store.app_named("shop") is None
    assert await store.read(app.id, attempt=0, seq=0, limit=9) == []
    assert [len(await store.read(key, attempt=0, seq=0, limit=9)) for key in (other.id, task.id)] == [2, 1]
    again = app_of()
    assert await store.insert_app(again)
    assert await store.app_versions() == {again.id: 1, other.id: 1}


async def test_keys_go_on_rising_when_the_newest_app_is_gone(store, reopened, app_of):
    app = app_of()
    await store.insert_app(app)
    store = await reopened(store)
    assert store.last_key == app.id
    await store.remove_app(app)
    assert (await reopened(store)).last_key == app.id


async def test_a_log_is_cut_where_it_was_said_and_nowhere_else(store, reopened):
    chunks = [LogChunk(7, generation, seq, 1, "stdout", "x") for generation in (1, 2, 3) for seq in (1, 2, 3)]
    others = [LogChunk(task, 2, 1, 1, "stdout", "not mine") for task in (6, 8)]
    await store.append([*chunks, *others])
    await store.trim_log(7, 2, 3)
    await store.trim_log(7, 1, None)
    await store.trim_log(9, 1, None)
    store = await reopened(store)
    assert await store.read(7, attempt=0, seq=0, limit=99) == chunks[5:]
    assert [await store.read(chunk.task, attempt=0, seq=0, limit=9) for chunk in others] == [[one] for one in others]
    # What comes after it stays.
    await store.append([replace(chunks[3], seq=4)])
    assert len(await store.read(7, attempt=1, seq=0, limit=9)) == 5
