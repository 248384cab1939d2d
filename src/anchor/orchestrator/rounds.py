"""Rounds of verification: what the copies of a task answered is counted, decided once, and carried out.

In this order, each step a compare-and-set or idempotent, so that a crash anywhere repeats what follows and changes
nothing that was decided: the verdict is written into the head; its effects are carried out (the case, what it says of
the nodes, the end of copies nobody needs any more); the head ends.
"""

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from anchor.core.answers import Answer, answer_of, bytes_wanted, same
from anchor.core.attempt import Reason, Result, took_its_node_down
from anchor.core.errors import AnchorError, FailureCode
from anchor.core.ids import keys_from
from anchor.core.node import Finding
from anchor.core.reputation import check_chance
from anchor.core.spec import runtime_of
from anchor.core.tally import Ballot, Open, counted, poisoned
from anchor.core.task import (
    POISON_NODES,
    TERMINAL,
    VERIFYING_SECONDS,
    State,
    Task,
    concluded,
    extend,
    nodes_taken_down,
    stopped,
    with_round,
)
from anchor.core.task import cancel as cancelled
from anchor.core.verification import NO_ANSWER, Round, Verdict, Verify, dissenters, policy_of
from anchor.failpoints import reached
from anchor.orchestrator.apart import owner_of
from anchor.orchestrator.blame import absolve, rate
from anchor.orchestrator.cancel import cancel_all
from anchor.orchestrator.copies import copies_of
from anchor.orchestrator.enter import enter
from anchor.orchestrator.evidence import cases_like, keep_case
from anchor.orchestrator.whole import read_whole
from anchor.orchestrator.world import World
from anchor.ports.store import Swap

PAGE = 500
TRIES_MAX = 8
NOT_NEEDED = Reason(FailureCode.CANCELLED, "The round was decided without this copy.")

Copies = dict[int, Task]
"""The copies of a round that exist, by their numbers."""


async def tally(world: World, heads: Collection[int]) -> None:
    """Look again at these verified tasks, because a copy of theirs ended or somebody wants them stopped."""
    waiting = sorted(set(heads))
    for _ in range(TRIES_MAX):
        if not waiting:
            return
        waiting = await _look(world, waiting)


async def sweep(world: World, now: int) -> None:
    """Look again at verified tasks that are due, so that any hint or server may be lost; at its start, all."""
    until = now + VERIFYING_SECONDS * 1000
    before = until if world.swept_at == 0 else now
    while due := await world.store.due(State.VERIFYING, before, PAGE):
        await world.store.swap([Swap(task, extend(task, until=until + 1)) for task in due])
        reached("rounds.looked_at")
        await tally(world, [task.id for task in due])
        if len(due) < PAGE:
            break


async def _look(world: World, ids: Sequence[int]) -> list[int]:
    """Carry on as many of these as nobody else changes at the moment; the others have to be looked at again."""
    heads = [head for head in await world.store.get(ids) if head is not None and head.state not in TERMINAL]
    rounds = {head.id: head.parts for head in heads if isinstance(head.parts, Round)}
    copies = await _copies(world, rounds)
    undecided: list[Task] = []
    decided: list[Task] = []
    unwanted: list[Task] = []
    for head in heads:
        if head.id not in rounds:
            continue
        if head.state is State.CANCELLING:
            unwanted.append(head)
        else:
            (undecided if rounds[head.id].verdict is None else decided).append(head)
    newly, again = await _decide(world, undecided, rounds, copies)
    again += await _conclude(world, decided + newly, copies)
    return again + await _stop(world, unwanted, rounds, copies)


async def _copies(world: World, rounds: Mapping[int, Round]) -> dict[int, Copies]:
    keys = [key for one in rounds.values() for key in keys_from(one.first, one.asked)]
    there = {task.id: task for task in await world.store.get(keys) if task is not None}
    return {
        head: {
            number: there[key]
            for number, key in enumerate(keys_from(one.first, one.asked))
            if key in there
        }
        for head, one in rounds.items()
    }  # fmt: skip


async def _decide(
    world: World, heads: Sequence[Task], rounds: Mapping[int, Round], copies: Mapping[int, Copies]
) -> tuple[list[Task], list[int]]:
    """Write down what was decided, or how many copies more are asked for; and make the copies that are not there."""
    swaps: list[Swap] = []
    missing: list[Task] = []
    now = world.clock.now()
    for head in heads:
        round_, its = rounds[head.id], copies[head.id]
        outcome = await _count(world, head, round_, its)
        if isinstance(outcome, Verdict):
            swaps.append(Swap(head, with_round(head, replace(round_, verdict=outcome), now=now)))
        else:
            if outcome.more:
                asked = replace(round_, asked=round_.asked + outcome.more)
                swaps.append(Swap(head, with_round(head, asked, now=now)))
            lost = [number for number in range(round_.asked) if number not in its]
            missing += await copies_of(world, head, round_, lost) if lost else []
    if missing:
        await enter(world, missing, fresh=False)
    done = await world.store.swap(swaps)
    reached("rounds.decided")
    newly: list[Task] = []
    more: list[Task] = []
    again: list[int] = []
    for swap, ok in zip(swaps, done, strict=True):
        if not ok:
            again.append(swap.new.id)
            continue
        world.bus.tasks_changed([swap.new.id])
        now_asked = swap.new.parts
        assert isinstance(now_asked, Round)
        if now_asked.verdict is not None:
            newly.append(swap.new)
        else:
            numbers = range(rounds[swap.new.id].asked, now_asked.asked)
            more += await copies_of(world, swap.new, now_asked, numbers)
    if more:
        await enter(world, more, fresh=True)
    return newly, again


async def _count(world: World, head: Task, round_: Round, copies: Copies) -> Verdict | Open:
    policy = policy_of(head.spec.verify) or Verify()
    ballots: list[Ballot] = []
    answers: dict[int, Answer] = {}
    live = round_.asked - len(copies)
    given_up = False
    for number, copy in copies.items():
        code = copy.reason.code if copy.reason is not None else ""
        if copy.state not in TERMINAL:
            live += 1
        elif copy.state is State.SUCCEEDED:
            result = copy.result or Result()
            answers[number] = answer_of(policy, result, await _text(world, policy, result))
            ballots.append(await _ballot(world, number, copy, answers[number].digest, is_failure=False))
        elif copy.state is State.FAILED and copy.attempts and took_its_node_down(copy.attempts[-1]):
            given_up = True
        elif copy.state is State.FAILED and code not in NO_ANSWER:
            ballots.append(await _ballot(world, number, copy, code, is_failure=True))
    if given_up:
        downed = {node for copy in copies.values() for node in nodes_taken_down(copy.attempts)}
        if len(downed) >= POISON_NODES:
            return poisoned(ballots)
    spared = False
    if policy.policy == "adaptive" and round_.asked == 1 and ballots:
        spared = await _is_spared(world, head, ballots[0])

    def alike(one: int, two: int) -> bool:
        return same(policy, answers[one], answers[two])

    return counted(policy, round_, ballots, live=live, same=alike, spared=spared)


async def _ballot(world: World, number: int, copy: Task, answer: str, *, is_failure: bool) -> Ballot:
    # A node that nobody knows any more stands for an owner of its own.
    return Ballot(
        copy=number,
        node=copy.node,
        owner=await owner_of(world, copy.node) or f"?{copy.node}",
        answer=answer,
        is_failure=is_failure,
        leased_at=copy.leased_at or copy.created_at,
        ended_at=copy.finished_at or copy.created_at,
    )


async def _text(world: World, policy: Verify, result: Result) -> bytes | None:
    if not result.blob:
        return result.json
    if not bytes_wanted(policy, result):
        return None
    try:
        return await read_whole(world.blobs, result.blob)
    except AnchorError:  # gone or damaged: what it was is still said by its name
        return None


async def _is_spared(world: World, head: Task, ballot: Ballot) -> bool:
    """Whether the first answer of an adaptive task may stand alone. The dice are thrown only now, so that no node can
    know beforehand whether its answer will be checked."""
    node = await world.store.node(ballot.node)
    reputation = node.reputation.get(runtime_of(head.spec)) if node is not None else None
    return world.chance.random() >= check_chance(reputation, share=world.spot_check_share)


async def _conclude(world: World, heads: Sequence[Task], copies: Mapping[int, Copies]) -> list[int]:
    """Carry out what verdicts lead to, then end their tasks; those that somebody else changed meanwhile."""
    if not heads:
        return []
    swaps: list[Swap] = []
    findings: list[Finding] = []
    idle: list[int] = []
    now = world.clock.now()
    for head in heads:
        round_ = head.parts
        assert isinstance(round_, Round)
        verdict = round_.verdict
        assert verdict is not None
        its = copies[head.id]
        findings += await _findings(world, head, verdict, its)
        idle += [copy.id for copy in its.values() if copy.state not in TERMINAL]
        await _bar(world, head, round_, its)
        swaps.append(Swap(head, concluded(head, verdict, its.get(verdict.winner), now=now)))
    await rate(world, findings)
    if idle:
        await cancel_all(world, idle, reason=NOT_NEEDED)
    reached("rounds.carried_out")
    return await _end(world, swaps)


async def _findings(world: World, head: Task, verdict: Verdict, copies: Copies) -> list[Finding]:
    """What a verdict says of the nodes that voted. Only an answer that was checked and succeeded speaks for a node, and
    only a contradiction speaks against it; where the code is to blame, or one owner may have cast all votes, nothing
    does."""
    if not verdict.agreed or verdict.spared:
        return []
    runtime = runtime_of(head.spec)
    won = copies.get(verdict.winner)
    succeeded = won is not None and won.state is State.SUCCEEDED
    right = [vote.node for vote in verdict.votes if vote.agreed and succeeded]
    wrong = dissenters(verdict)
    policy = policy_of(head.spec.verify)
    if wrong:
        case = await keep_case(world, head, verdict, wrong, copies)
    if policy is not None and policy.same_owner:  # whoever submits and owns all nodes but one could say anything of it
        return []
    if wrong:
        cases = await cases_like(world, case)
        if cases:
            await absolve(world, {node for one in cases for node in one.dissenters}, {one.id for one in cases})
            wrong = []
    findings = [Finding(node, runtime, head.id, True) for node in right]
    return findings + [Finding(vote.node, runtime, head.id, False) for vote in wrong]


async def _stop(
    world: World, heads: Sequence[Task], rounds: Mapping[int, Round], copies: Mapping[int, Copies]
) -> list[int]:
    """Stop the copies of tasks that somebody wants stopped; end those none of whose copies runs any more."""
    if not heads:
        return []
    for head in heads:
        await _bar(world, head, rounds[head.id], copies[head.id])
    live = {
        copy.id: head.id for head in heads for copy in copies[head.id].values() if copy.state not in TERMINAL
    }  # fmt: skip
    reason = Reason(FailureCode.CANCELLED, "The task was cancelled.")
    left = {task.id for task in await cancel_all(world, list(live), reason=reason) if task.state not in TERMINAL}
    busy = {head for copy, head in live.items() if copy in left}
    now = world.clock.now()
    return await _end(world, [Swap(head, stopped(head, now=now)) for head in heads if head.id not in busy])


async def _bar(world: World, head: Task, round_: Round, copies: Copies) -> None:
    """Take the place of copies that were asked for and are not there: whoever still comes to make them finds them."""
    lost = [number for number in range(round_.asked) if number not in copies]
    if lost:
        now = world.clock.now()
        drafts = await copies_of(world, head, round_, lost)
        await world.store.insert([cancelled(draft, by="", now=now, reason=NOT_NEEDED) for draft in drafts])
        reached("rounds.barred")


async def _end(world: World, swaps: Sequence[Swap]) -> list[int]:
    done = await world.store.swap(swaps)
    reached("rounds.ended")
    ended = [swap.new for swap, ok in zip(swaps, done, strict=True) if ok]
    if ended:
        if world.onlooker is not None:
            world.onlooker(ended)
        world.bus.tasks_changed([task.id for task in ended])
        world.ended.extend(task for task in ended if task.origin is not None)
        world.bus.work_waits()
    return [swap.old.id for swap, ok in zip(swaps, done, strict=True) if not ok]
