"""However the line to MongoDB breaks, a write is answered with what became of it: as SQLite would have answered."""

import itertools
import secrets
from hashlib import sha256
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import rule, run_state_machine_as_test
from msgspec.structs import replace
from pymongo import common
from tests.contract.mongo_relay import ALL, Fault, Relay
from tests.contract.test_store_model import StoreMachine

from anchor.adapters.mongo import MongoStore, connection, writes
from anchor.core.access import Key, Role
from anchor.core.app import App, Wanted
from anchor.core.audit import sealed
from anchor.core.errors import Unavailable
from anchor.core.node import Node
from anchor.core.task import TERMINAL, State, extend
from anchor.ports.store import Claim, Duty, LogChunk, Store, Swap, UnknownOutcome

pytestmark = pytest.mark.anyio

CARRIED_OUT = (Fault.REPLY_LOST, Fault.UNCONFIRMED)
NOT_CARRIED_OUT = (Fault.NEVER_SENT, Fault.HELD, Fault.STEPPED_DOWN)

BREAKING = itertools.cycle(fault for each in ALL for fault in (None, each))

NODE = Node(id="REX-A1B2C3", owner="ann", public_key=bytes(range(32)), joined_at=5)
KEY = Key(digest="ab" * 32, name="laptop", role=Role.NODE, created_at=5, uses_left=1)
DUTY = Duty("retention", "a", 1, 1000)
APP = App(id=256, name="shop", title="Shop", owner="ann", created_at=5)
CLAIM = Claim("ann", "k", "d", 256, 1, False, 1)


@pytest.fixture(autouse=True)
def _driver_that_looks_again_at_once(monkeypatch):
    """The driver looks for a lost server twice a second and for three seconds; these tests lose it more often."""
    monkeypatch.setattr(connection, "SELECT_MS", 2500)
    monkeypatch.setattr(writes, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(common, "MIN_HEARTBEAT_INTERVAL", 0.02)


@pytest.fixture
def database():
    return secrets.token_hex(8)


@pytest.fixture
async def relay(mongo_engine):
    async with Relay(mongo_engine.port) as relay:
        yield relay


@pytest.fixture
async def store(relay, database):
    opened = await MongoStore.open(relay.url_of(database))
    yield opened
    await opened.close()


@pytest.fixture
async def rival(mongo_engine, database, store):
    """Another server on the same database, with a line that does not break."""
    opened = await MongoStore.open(mongo_engine.url_of(database))
    yield opened
    await opened.close()


class Write:
    """A write that only one of two rivals can win: what it stands on, how it is made, what is there afterwards."""

    def __init__(self, make) -> None:
        self.task = make.task()
        self.mine = make.leased(self.task, node="AAA-000000")
        self.yours = make.leased(self.task, node="BBB-000000")

    async def prepare(self, store: Store) -> None:
        """Nothing has to be there."""

    async def do(self, store: Store, who: str) -> bool:
        raise NotImplementedError

    async def winner(self, store: Store) -> str:
        raise NotImplementedError


class TaskInsert(Write):
    async def do(self, store, who):
        [done] = await store.insert([replace(self.task, owner=who)])
        return done

    async def winner(self, store):
        [task] = await store.get([self.task.id])
        return task.owner


class TaskSwap(Write):
    async def prepare(self, store):
        await store.insert([self.task])

    async def do(self, store, who):
        [done] = await store.swap([Swap(self.task, replace(self.mine, node=who))])
        return done

    async def winner(self, store):
        [task] = await store.get([self.task.id])
        return task.node


class NodeInsert(Write):
    async def do(self, store, who):
        return await store.insert_node(replace(NODE, owner=who))

    async def winner(self, store):
        return (await store.node(NODE.id)).owner


class NodeSwap(NodeInsert):
    async def prepare(self, store):
        await store.insert_node(NODE)

    async def do(self, store, who):
        return await store.swap_node(NODE, replace(NODE, ver=2, owner=who))


class AppInsert(Write):
    async def do(self, store, who):
        return await store.insert_app(replace(APP, owner=who))

    async def winner(self, store):
        return (await store.app_named(APP.name)).owner


class AppSwap(AppInsert):
    async def prepare(self, store):
        await store.insert_app(APP)

    async def do(self, store, who):
        return await store.swap_app(APP, replace(APP, ver=2, owner=who, generations=1))


class KeySwap(Write):
    async def prepare(self, store):
        await store.add_key(KEY)

    async def do(self, store, who):
        return await store.swap_key(KEY, replace(KEY, ver=2, name=who))

    async def winner(self, store):
        return (await store.key(KEY.digest)).name


class DutyBegun(Write):
    async def do(self, store, who):
        return await store.swap_duty(None, replace(DUTY, holder=who))

    async def winner(self, store):
        return (await store.duty(DUTY.name)).holder


class DutySwap(DutyBegun):
    async def prepare(self, store):
        await store.swap_duty(None, DUTY)

    async def do(self, store, who):
        return await store.swap_duty(DUTY, replace(DUTY, holder=who, term=2))


class AuditAppend(Write):
    async def do(self, store, who):
        return await store.audit_append(sealed(None, at=1, kind="k", subject="s", message="m", by=who))

    async def winner(self, store):
        return (await store.audit_tail()).by


class ClaimMade(Write):
    async def do(self, store, who):
        return (await store.claim(replace(CLAIM, digest=who))).digest == who

    async def winner(self, store):
        return (await store.claim(replace(CLAIM, digest="nobody"))).digest


WRITES = Write.__subclasses__() + AppInsert.__subclasses__() + NodeInsert.__subclasses__() + DutyBegun.__subclasses__()


@pytest.fixture(params=WRITES, ids=lambda kind: kind.__name__)
def write(request, make):
    return request.param(make)


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name)
async def test_a_write_that_nobody_contests_is_ours(store, relay, write, fault):
    await write.prepare(store)
    relay.plan(fault)
    assert await write.do(store, "me")
    await relay.release()
    assert await write.winner(store) == "me"


@pytest.mark.parametrize("fault", NOT_CARRIED_OUT, ids=lambda fault: fault.name)
async def test_a_write_that_somebody_else_made_meanwhile_is_not_ours(store, rival, relay, write, fault):
    await write.prepare(store)

    async def meanwhile():
        assert await write.do(rival, "them")

    relay.plan(fault, meanwhile=meanwhile)
    assert not await write.do(store, "me")
    await relay.release()
    assert await write.winner(store) == "them"


@pytest.mark.parametrize("fault", CARRIED_OUT, ids=lambda fault: fault.name)
async def test_a_write_that_was_first_stays_ours_whoever_tries_after_it(store, rival, relay, write, fault):
    await write.prepare(store)

    async def meanwhile():
        assert not await write.do(rival, "them")

    relay.plan(fault, meanwhile=meanwhile)
    assert await write.do(store, "me")
    assert await write.winner(store) == "me"


async def test_a_write_is_found_out_however_often_the_line_breaks(store, relay, write):
    await write.prepare(store)
    relay.plan(Fault.NEVER_SENT, Fault.REPLY_LOST, Fault.HELD, Fault.UNCONFIRMED, Fault.STEPPED_DOWN)
    assert await write.do(store, "me")
    await relay.release()
    assert await write.winner(store) == "me"


@pytest.mark.parametrize("later", [1, writes.OPS_KEPT - 1])
async def test_a_swap_is_known_for_ours_though_the_task_has_moved_on(store, rival, relay, make, later):
    task = make.task()
    await store.insert([task])
    mine = make.leased(task)
    relay.plan(Fault.REPLY_LOST, meanwhile=lambda: moved_on(rival, mine, later))
    assert await store.swap([Swap(task, mine)]) == [True]


async def test_a_swap_whose_mark_may_have_been_pushed_out_stays_unknown(store, rival, relay, make):
    task = make.task()
    await store.insert([task])
    mine = make.leased(task)
    relay.plan(Fault.REPLY_LOST, meanwhile=lambda: moved_on(rival, mine, writes.OPS_KEPT))
    with pytest.raises(UnknownOutcome):
        await store.swap([Swap(task, mine)])


async def test_a_swap_on_a_version_long_gone_fails_plainly_when_the_line_holds(store, make):
    task = make.task()
    await store.insert([task])
    await moved_on(store, task, 3 * writes.OPS_KEPT)
    assert await store.swap([Swap(task, make.leased(task))]) == [False]


async def moved_on(store, task, versions):
    for until in range(versions):
        later = extend(task, until=until)
        assert await store.swap([Swap(task, later)]) == [True]
        task = later


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name)
async def test_each_task_of_a_batch_is_told_apart(store, rival, relay, make, fault):
    stale, fresh, taken, new = make.tasks(4)
    assert await store.insert([stale, fresh, taken]) == [True] * 3
    moved = make.leased(stale, node="BBB-000000")
    await rival.swap([Swap(stale, moved)])
    relay.plan(fault)
    batch = [Swap(stale, make.leased(stale)), Swap(fresh, make.leased(fresh))]
    assert await store.swap(batch) == [False, True]
    relay.plan(fault)
    assert await store.insert([replace(taken, owner="mallory"), new]) == [False, True]
    await relay.release()
    assert await rival.get([stale.id, fresh.id, taken.id, new.id]) == [moved, make.leased(fresh), taken, new]
    assert (await store.counts(None))[State.LEASED] == 2


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name)
async def test_the_second_swap_of_a_task_in_a_batch_follows_the_first(store, relay, make, fault):
    task = make.task()
    await store.insert([task])
    leased = make.leased(task)
    relay.plan(fault)
    batch = [Swap(task, leased), Swap(leased, make.ended(leased)), Swap(task, make.leased(task, node="X"))]
    assert await store.swap(batch) == [True, True, False]
    await relay.release()
    assert await store.get([task.id]) == [make.ended(leased)]


async def test_a_held_up_write_cannot_hit_a_duty_that_says_the_same_again(store, rival, relay):
    await store.swap_duty(None, DUTY)
    other = replace(DUTY, holder="b", term=2)
    relay.plan(Fault.HELD)
    assert await store.swap_duty(DUTY, other)
    assert await rival.swap_duty(other, DUTY)
    await relay.release()
    assert await store.duty(DUTY.name) == DUTY


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name)
async def test_what_may_be_repeated_is_repeated(store, relay, fault):
    chunks = [LogChunk(7, 1, seq, 1, "stdout", "x") for seq in (1, 2, 3)]
    await store.claim(CLAIM)
    relay.plan(fault)
    await store.append(chunks)
    relay.plan(fault)
    await store.fulfil(CLAIM)
    await relay.release()
    assert await store.read(7, attempt=0, seq=0, limit=10) == chunks
    assert await store.claim(CLAIM) == replace(CLAIM, done=True)


async def test_who_removed_a_key_is_not_made_up(store, relay):
    await store.add_key(KEY)
    relay.plan(Fault.REPLY_LOST)
    with pytest.raises(UnknownOutcome):
        await store.remove_key(KEY.digest)
    assert await store.key(KEY.digest) is None
    await store.add_key(KEY)
    relay.plan(Fault.NEVER_SENT)
    assert await store.remove_key(KEY.digest)


async def test_who_removed_an_app_is_not_made_up(store, relay):
    await store.insert_app(APP)
    relay.plan(None, None, Fault.REPLY_LOST)
    with pytest.raises(UnknownOutcome):
        await store.remove_app(APP)
    assert await store.app(APP.id) is None
    await store.insert_app(APP)
    for fault in (Fault.NEVER_SENT, Fault.HELD, Fault.STEPPED_DOWN):
        relay.plan(None, None, fault)
        assert await store.remove_app(APP)
        await relay.release()
        assert await store.insert_app(APP)


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name)
async def test_a_name_that_another_app_has_is_never_taken_for_ours(store, rival, relay, fault):
    async def meanwhile():
        await rival.insert_app(replace(APP, id=512))

    relay.plan(fault, meanwhile=meanwhile)
    if fault in CARRIED_OUT:
        assert await store.insert_app(APP)
        assert (await rival.app_named(APP.name)).id == APP.id
    else:
        with pytest.raises(UnknownOutcome):
            await store.insert_app(APP)
        assert await store.app(APP.id) is None
    await relay.release()
    assert len(await store.app_versions()) == 1


async def test_a_held_up_removal_takes_nothing_that_changed_since(store, rival, relay):
    await store.insert_app(APP)
    wanted = replace(APP, ver=2, wanted=Wanted.STOPPED)
    relay.plan(None, None)
    relay.plan(Fault.HELD, meanwhile=lambda: rival.swap_app(APP, wanted))
    with pytest.raises(UnknownOutcome):
        await store.remove_app(APP)
    await relay.release()
    assert await store.app(APP.id) == wanted


@pytest.mark.parametrize("at", range(5))
async def test_counts_stay_exact_when_a_removal_loses_a_reply(store, rival, relay, make, at):
    tasks = [make.in_state(state) for state in State]
    await store.insert(tasks)
    await store.append([LogChunk(tasks[-1].id, 1, 1, 1, "stdout", "x")])
    assert await rival.counts(None) == dict.fromkeys(State, 1)
    relay.plan(*[None] * at, Fault.REPLY_LOST)
    await store.remove_finished(make.now + 3_600_000, 10)
    live = {state: int(state not in TERMINAL) for state in State}
    assert await rival.counts(None) == await store.counts(None) == live


async def test_with_mongodb_gone_nothing_is_written_and_that_is_said(store, relay, make, monkeypatch):
    await relay.stop()
    monkeypatch.setattr(writes, "RESOLVE_SECONDS", 0.0)
    with pytest.raises((Unavailable, UnknownOutcome)):
        await store.insert([make.task()])  # it finds out only now
    with pytest.raises(Unavailable) as told:
        await store.insert([make.task()])
    assert (told.value.code, told.value.retry_after_seconds) == ("store_unreachable", 1)
    with pytest.raises(Unavailable):
        await store.get([1])


async def test_a_write_that_was_under_way_when_mongodb_went_stays_unknown(store, relay, make, monkeypatch):
    monkeypatch.setattr(writes, "RESOLVE_SECONDS", 0.3)
    relay.plan(Fault.REPLY_LOST, meanwhile=relay.refuse)
    with pytest.raises(UnknownOutcome):
        await store.insert([make.task()])


def test_on_a_line_that_breaks_at_every_other_write_the_store_agrees_with_a_plain_dict(mongo_engine):
    """The same machine as on whole lines; what was held up arrives when nobody expects it any more."""

    class Machine(StoreMachine):
        async def open_store(self, folder: Path) -> MongoStore:
            self.relay = Relay(mongo_engine.port)
            await self.relay.start()
            store = await MongoStore.open(self.relay.url_of(sha256(bytes(folder)).hexdigest()[:20]))
            self.relay.plan_for_ever(BREAKING)
            return store

        @rule()
        def what_was_held_up_arrives(self):
            self.run(self.relay.release())

        @rule()
        def restart(self):
            self.teardown_relay()
            self.store = self.run(self.open_store(self.folder / "data"))

        @rule(limit=st.integers(1, 4))
        def retire(self, limit):
            # How many were removed is not promised where replies are lost; everything else is.
            self.relay.plan_for_ever(())
            super().retire(limit=limit)
            self.relay.plan_for_ever(BREAKING)

        def teardown_relay(self):
            self.run(self.store.close())
            self.run(self.relay.stop())

        def teardown(self):
            self.run(self.relay.stop())
            super().teardown()

    run_state_machine_as_test(Machine, settings=settings(max_examples=8, stateful_step_count=20, deadline=None))
