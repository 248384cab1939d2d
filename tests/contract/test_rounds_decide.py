"""Rounds on every store: what copies answered is decided once, whoever looks and whatever is repeated."""

import json
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import msgspec
import pytest
from msgspec.structs import replace
from tests.contract.one_cluster import NOW, RUNTIMES, Hands, Ticking, graph, step

from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.local.bus import LocalBus
from anchor.adapters.local.ready import LocalReady
from anchor.core.attempt import Ending, Outcome, Reason, Result
from anchor.core.case import CaseState, Evidence
from anchor.core.dag import RunState
from anchor.core.ids import KeySequence, keys_from
from anchor.core.node import Node, Profile, Status
from anchor.core.reputation import Reputation
from anchor.core.spec import FEATURES, Payload, TaskSpec, VerifyWish
from anchor.core.task import TERMINAL, State, Task
from anchor.core.verification import Round, Verdict, Verify
from anchor.orchestrator import cases, graphs, rounds
from anchor.orchestrator.cancel import cancel
from anchor.orchestrator.dispatch import dispatch
from anchor.orchestrator.follow import follow
from anchor.orchestrator.nodes import set_status
from anchor.orchestrator.settle import settle
from anchor.orchestrator.submit import submit
from anchor.orchestrator.world import World
from anchor.ports.blobs import Blobs
from anchor.ports.store import Store

pytestmark = pytest.mark.anyio
Says = Callable[[str, Task], object]
"""What a node answers to a task: a value, or an ending's reason where it fails."""


def right(node: str, task: Task) -> object:
    return 42


def liars(*names: str) -> Says:
    return lambda node, task: 41 if node in names else 42


class Fleet:
    """One server over a store, and nodes of different owners connected to it."""

    def __init__(self, store: Store, blobs: Blobs) -> None:
        self.store = store
        self.hands = Hands()
        self.ran: list[tuple[str, int]] = []
        self.clock = Ticking()
        self.world = World(
            store=store,
            ready=LocalReady(),
            bus=LocalBus(),
            blobs=blobs,
            links=self.hands,
            clock=self.clock,
            chance=Random(7),
            keys=KeySequence(1),
            lease_ms=30_000,
            heartbeat_ms=10_000,
            swept_at=NOW,
        )

    async def join(self, *names: str, **how: object) -> None:
        runtimes = dict.fromkeys(RUNTIMES, "1")
        for name in names:
            node = Node(
                id=name, owner=f"owner of {name}", public_key=bytes(32), joined_at=NOW, session=1, slots=10,
                lease_until=NOW + 10**9,
                profile=Profile(cores=8, ram=64.0, disk=100.0, runtimes=runtimes, features=(*FEATURES,)),
            )  # fmt: skip
            node = replace(node, **how)
            await self.store.insert_node(node)
            self.world.fleet.join(node)

    async def submit(self, verify: VerifyWish = "quorum", *, code: str = "return 42") -> Task:
        spec = TaskSpec(name="t", payload=Payload(source_code=code), verify=verify)
        [task] = await submit(self.world, [spec], owner="ann")
        return task

    async def look(self) -> None:
        await follow(self.world)
        await dispatch(self.world)

    def in_order(self) -> None:
        """What is assigned is reported by the names of its nodes."""
        self.hands.assigned = deque(sorted(self.hands.assigned, key=lambda one: one.node))

    async def report(self, says: Says = right) -> None:
        """Report one assigned attempt."""
        task = self.hands.assigned.popleft()
        if task.id in self.hands.to_stop:
            ending = Ending(task.id, task.attempt, Outcome.CANCELLED, reason=Reason("cancelled", "Stopped."))
        else:
            self.ran.append((task.node, task.id))
            answer = says(task.node, task)
            if isinstance(answer, Reason):
                ending = Ending(task.id, task.attempt, Outcome.ERRORED, reason=answer)
            else:
                text = msgspec.json.encode(answer)
                ending = Ending(task.id, task.attempt, Outcome.SUCCEEDED, Result(json=text, size=len(text)))
        await settle(self.world, node=task.node, session=task.session, endings=[ending])

    async def work(self, says: Says = right) -> None:
        await self.look()
        while self.hands.assigned:
            await self.report(says)
            await self.look()

    async def task(self, task: Task) -> Task:
        [found] = await self.store.get([task.id])
        assert found is not None
        return found

    async def copies(self, task: Task) -> Sequence[Task]:
        parts = (await self.task(task)).parts
        assert isinstance(parts, Round)
        return [one for one in await self.store.get(list(keys_from(parts.first, parts.cap))) if one is not None]

    async def node(self, name: str) -> Node:
        found = await self.store.node(name)
        assert found is not None
        return found


@pytest.fixture
async def fleet(store: Store, tmp_path: Path) -> Fleet:
    return Fleet(store, FileBlobs(tmp_path / "blobs"))


def verdict_of(task: Task) -> Verdict:
    assert isinstance(task.parts, Round)
    assert task.parts.verdict is not None
    return task.parts.verdict


async def test_three_copies_on_three_owners_agree_and_the_answer_is_the_tasks(fleet: Fleet) -> None:
    await fleet.join("A", "B", "C")
    task = await fleet.submit()
    assert task.state is State.VERIFYING
    await fleet.work()
    done = await fleet.task(task)
    assert (done.state, done.result and done.result.json) == (State.SUCCEEDED, b"42")
    assert verdict_of(done).agreed
    assert len({node for node, _ in fleet.ran}) == len(fleet.ran)
    assert all(copy.state in TERMINAL for copy in await fleet.copies(task))


async def test_machines_of_one_owner_check_each_other_only_where_the_policy_allows_it(fleet: Fleet) -> None:
    await fleet.join("A", "B", "C", owner="the lab")
    strict = await fleet.submit()
    lenient = await fleet.submit(Verify(same_owner=True))
    await fleet.look()
    fleet.in_order()
    await fleet.work(liars("A"))
    assert (await fleet.task(strict)).state is State.VERIFYING
    done = await fleet.task(lenient)
    assert (done.state, done.result and done.result.json) == (State.SUCCEEDED, b"42")
    assert len({vote.node for vote in verdict_of(done).votes}) == len(verdict_of(done).votes) >= 2
    assert not any([(await fleet.node(name)).reputation for name in "ABC"])


async def test_16_17_a_liar_is_outvoted_and_a_case_is_kept_with_all_it_rests_on(fleet: Fleet) -> None:
    await fleet.join("A", "B", "C")
    task = await fleet.submit()
    await fleet.look()
    fleet.in_order()
    await fleet.work(liars("A"))
    done = await fleet.task(task)
    assert done.result is not None
    assert done.result.json == b"42"
    votes = verdict_of(done).votes
    assert [(vote.node, vote.agreed) for vote in sorted(votes, key=lambda one: one.node)] == [
        ("A", False), ("B", True), ("C", True),
    ]  # fmt: skip
    case = await fleet.store.case(task.id)
    assert case is not None
    assert case.dissenters == ("A",)
    assert "'1' instead of '2'" in case.differs
    raw = b"".join([chunk async for chunk in fleet.world.blobs.get(case.evidence)])
    evidence = msgspec.json.decode(raw, type=Evidence)
    assert json.loads(bytes(evidence.payload))["sourceCode"] == "return 42"
    assert {one.node_id: one.result and one.result.json for one in evidence.testimonies}["A"] == b"41"
    assert (await fleet.node("A")).reputation["isolate"].invalid == 1
    assert (await fleet.node("B")).reputation["isolate"].valid_in_row == 1


async def test_17_answers_that_all_differ_ask_for_more_copies_up_to_the_cap_and_name_the_task(fleet: Fleet) -> None:
    await fleet.join(*"ABCDEFG")
    task = await fleet.submit(Verify(copies=3, agree=2, copies_max=5))
    await fleet.work(lambda node, task: f"chance {node}")
    done = await fleet.task(task)
    assert done.state is State.INCONCLUSIVE
    assert done.reason is not None
    assert "is not deterministic" in done.reason.message
    assert len(fleet.ran) == 5
    assert await fleet.store.case(task.id) is None
    assert [(await fleet.node(name)).reputation for name in "ABCDEFG"] == [{}] * 7


async def test_a_copy_whose_node_is_lost_is_no_vote_and_another_is_asked(fleet: Fleet) -> None:
    await fleet.join("A", "B", "C")
    task = await fleet.submit(Verify(copies=2, agree=2))
    down = Reason("runtime_unavailable", "No engine.")
    lost: list[str] = []

    def says(node: str, task: Task) -> object:
        lost.append(node)
        return down if node == lost[0] else 42

    for _ in range(30):
        await fleet.work(says)
        fleet.clock.ms += 60_000
    done = await fleet.task(task)
    assert done.state is State.SUCCEEDED
    assert all(vote.agreed for vote in verdict_of(done).votes)


async def test_a_failure_that_enough_copies_have_in_common_is_the_answer(fleet: Fleet) -> None:
    await fleet.join("A", "B", "C")
    task = await fleet.submit(Verify())
    await fleet.work(lambda node, task: Reason("invalid_module", "Not a module."))
    done = await fleet.task(task)
    assert (done.state, done.reason and done.reason.code) == (State.FAILED, "invalid_module")
    assert await fleet.store.case(task.id) is None


async def test_adaptive_checks_a_new_node_and_spares_a_trusted_one(fleet: Fleet) -> None:
    await fleet.join("A", "B")
    checked = await fleet.submit("adaptive")
    await fleet.work()
    assert len(fleet.ran) == 2
    assert not verdict_of(await fleet.task(checked)).spared
    trust = {"isolate": Reputation(valid_in_row=10**9, valid=10.0, at=NOW)}
    for name in "AB":
        node = await fleet.node(name)
        await fleet.store.swap_node(node, replace(node, ver=node.ver + 1, reputation=trust))
    spared = await fleet.submit("adaptive")
    await fleet.work()
    assert len(fleet.ran) == 3
    assert verdict_of(await fleet.task(spared)).spared
    fleet.world.spot_check_share = 1.0
    await fleet.submit("adaptive")
    await fleet.work()
    assert len(fleet.ran) == 5


async def test_a_node_that_lies_is_quarantined_within_three_wrong_answers_and_there_is_a_way_back(fleet: Fleet) -> None:
    await fleet.join("A", "B", "C")
    tasks: list[Task] = []
    while (await fleet.node("A")).status is Status.READY:
        assert len(tasks) < 20
        tasks.append(await fleet.submit())
        await fleet.look()
        fleet.in_order()
        await fleet.work(liars("A"))
    node = await fleet.node("A")
    assert node.status is Status.QUARANTINED
    assert node.reason is not None
    assert len([one for one in fleet.ran if one[0] == "A"]) == 3
    assert node.faults["node"] == 3
    kinds = [entry.kind for entry in await fleet.store.audit_page(None, 10)]
    assert "node_quarantined" in kinds
    [case, *_] = node.dissents
    await cases.clear(fleet.world, case.case, by="olga", reason="a bad cable")
    node = await fleet.node("A")
    assert node.status is Status.READY
    assert node.reputation["isolate"].invalid == pytest.approx(2)
    cleared = await fleet.store.case(case.case)
    assert cleared is not None
    assert (cleared.state, cleared.reason and "a bad cable" in cleared.reason.message) == (CaseState.CLEARED, True)
    await set_status(fleet.world, "A", Status.READY, by="olga")
    assert all(one.forgiven for one in (await fleet.node("A")).dissents)


async def test_a_program_of_chance_quarantines_none_of_twenty_honest_nodes(fleet: Fleet) -> None:
    names = [f"N{number:02}" for number in range(20)]
    await fleet.join(*names)
    dice = Random(3)
    for _ in range(40):
        await fleet.submit(code="return Math.random() < 0.5")
        await fleet.work(lambda node, task: dice.random() < 0.5)
    assert {(await fleet.node(name)).status for name in names} == {Status.READY}


async def test_cancelling_a_verified_task_cancels_its_copies(fleet: Fleet) -> None:
    await fleet.join("A", "B")  # one copy has nowhere to run
    task = await fleet.submit()
    await fleet.look()
    await cancel(fleet.world, task.id, by="ann")
    await fleet.work()
    assert (await fleet.task(task)).state is State.CANCELLED
    assert {copy.state for copy in await fleet.copies(task)} == {State.CANCELLED}
    assert fleet.ran == []


async def test_late_votes_and_repeated_effects_change_nothing(fleet: Fleet) -> None:
    await fleet.join("A", "B", "C", "D")
    task = await fleet.submit(Verify(copies=3, agree=2))
    await fleet.look()
    for name in "AB":
        fleet.hands.assigned.rotate(-next(i for i, one in enumerate(fleet.hands.assigned) if one.node == name))
        await fleet.report()
    await fleet.look()
    done = await fleet.task(task)
    assert done.state is State.SUCCEEDED
    before = [await fleet.node(name) for name in "ABCD"]
    await rounds.tally(fleet.world, [task.id])
    await fleet.work(liars("C", "D"))
    assert await fleet.task(task) == done
    after = [await fleet.node(name) for name in "ABCD"]
    assert [node.reputation for node in after] == [node.reputation for node in before]


async def test_what_a_crash_left_undone_is_found_by_the_sweep(fleet: Fleet) -> None:
    await fleet.join("A", "B", "C")
    task = await fleet.submit()
    await fleet.look()
    while fleet.hands.assigned:
        await fleet.report()
    fleet.world.ended.clear()  # as after a crash
    fleet.clock.ms += 31_000
    await rounds.sweep(fleet.world, fleet.clock.ms)
    assert (await fleet.task(task)).state is State.SUCCEEDED


async def test_a_verified_step_hands_its_answer_on_and_belongs_to_its_run(fleet: Fleet) -> None:
    await fleet.join("A", "B", "C")
    drawn = graph(step("first", verify="quorum"), step("then", "first"))
    run = await graphs.schedule(fleet.world, drawn, owner="ann")
    await fleet.work(liars("A"))
    found = await fleet.store.run(run.id)
    assert found is not None
    assert found.state is RunState.SUCCEEDED
    [head] = await fleet.store.get([run.key_of(0)])
    assert head is not None
    assert (head.state, head.result and head.result.json) == (State.SUCCEEDED, b"42")
    for copy in await fleet.copies(head):
        assert copy.part_of == run.id
        assert copy.origin is not None
        assert (copy.origin.run, copy.origin.step, copy.origin.head) == (run.id, 0, head.id)


async def test_a_copy_that_takes_three_nodes_down_ends_the_round_and_quarantines_none(fleet: Fleet) -> None:
    names = [f"N{number:02}" for number in range(20)]
    await fleet.join(*names)
    task = await fleet.submit(Verify(copies=2, agree=2))
    for _ in range(40):
        await fleet.look()
        while fleet.hands.assigned:
            lost = fleet.hands.assigned.popleft()
            silent = Ending(lost.id, lost.attempt, Outcome.LOST, reason=Reason("lease_lost", "Silent."))
            await settle(fleet.world, node=lost.node, session=lost.session, endings=[silent])
            fleet.world.fleet.leave(lost.node, lost.session)
        fleet.clock.ms += 61_000
        if (await fleet.task(task)).state in TERMINAL:
            break
    done = await fleet.task(task)
    assert (done.state, done.reason and done.reason.code) == (State.FAILED, "poison")
    nodes = [await fleet.node(name) for name in names]
    assert {node.status for node in nodes} == {Status.READY}
    assert 3 <= sum(node.faults.get("network", 0) for node in nodes) <= 6


async def test_a_case_runs_again_on_more_nodes_and_blocks_its_dissenters(fleet: Fleet) -> None:
    await fleet.join(*"ABCDEF")
    task = await fleet.submit()
    liar = fleet.hands.assigned[0].node
    await fleet.work(liars(liar))
    again = await cases.rerun(fleet.world, task.id, by="olga")
    assert (again.retry_of, again.state) == (task.id, State.VERIFYING)
    await fleet.work(liars(liar))
    assert (await fleet.task(again)).state is State.SUCCEEDED
    case = await cases.block(fleet.world, task.id, by="olga", reason="it lies")
    assert case.reruns == (again.id,)
    assert (await fleet.node(liar)).status is Status.BLOCKED
    kinds = {entry.kind for entry in await fleet.store.audit_page(None, 20)}
    assert {"case_rerun", "case_blocked", "node_blocked"} <= kinds
