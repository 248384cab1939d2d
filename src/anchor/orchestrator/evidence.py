"""What is kept of a round that was decided against somebody: the case, and in a blob all there is to check it by."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from anchor.core.answers import first_difference
from anchor.core.attempt import Result
from anchor.core.case import Case, Difference, Evidence, Testimony, is_to_blame
from anchor.core.errors import AnchorError
from anchor.core.ids import wire_id
from anchor.core.spec import MIB, Payload, runtime_of
from anchor.core.task import State, Task
from anchor.core.verification import Verdict, Verify, Vote, policy_of
from anchor.failpoints import reached
from anchor.orchestrator.payloads import payload_of
from anchor.orchestrator.whole import one_chunk, read_whole
from anchor.orchestrator.world import World

SHOWN_BYTES = 200
"""How much of two answers is shown from where they differ."""
CASES_LOOKED_AT = 200
_READ_MAX = 4 * MIB


async def keep_case(world: World, head: Task, verdict: Verdict, wrong: Sequence[Vote], copies: dict[int, Task]) -> Case:
    """Write down the case of a decided round, the evidence first; the one that is there already stays as it is."""
    there = await world.store.case(head.id)
    if there is not None:
        return there
    payload = await payload_of(world, head)
    differences = [await _difference(world, copies[verdict.winner], copies[vote.copy]) for vote in wrong]
    evidence = Evidence(
        task=wire_id("task", head.id),
        name=head.spec.name,
        owner=head.owner,
        runtime=runtime_of(head.spec),
        payload=msgspec.Raw(b"null" if head.payload_blob or not payload else payload),
        payload_blob=head.payload_blob,
        limits=head.spec.limits,
        verify=policy_of(head.spec.verify) or Verify(policy="none"),
        testimonies=[await _testimony(world, vote, copies[vote.copy]) for vote in verdict.votes],
        differences=differences,
    )
    digest, _ = await world.blobs.put(one_chunk(msgspec.json.encode(evidence)))
    reached("evidence.kept")
    case = Case(
        id=head.id,
        owner=head.owner,
        task_name=head.spec.name,
        runtime=runtime_of(head.spec),
        opened_at=max(world.clock.now(), head.created_at),
        votes=verdict.votes,
        dissenters=tuple(vote.node for vote in wrong),
        differs=_in_one_line(differences[0]),
        evidence=digest,
        code=_code_of(payload),
    )
    await world.store.insert_case(case)
    reached("evidence.case_opened")
    return await world.store.case(head.id) or case


async def cases_like(world: World, case: Case) -> list[Case]:
    """The newest cases of the same code, where that code is to blame for them; else none."""
    newest = await world.store.cases_page(below=None, limit=CASES_LOOKED_AT, owner=case.owner)
    alike = [one for one in newest if one.code == case.code and one.runtime == case.runtime]
    return alike if is_to_blame(alike) else []


def _code_of(payload: bytes) -> str:
    """The SHA-256 of what a payload runs, whatever it runs it on."""
    code = msgspec.json.decode(payload, type=Payload) if payload else Payload()
    runs = (code.source_code, code.module, code.command, code.modules, code.image, code.function)
    return sha256(msgspec.json.encode(runs, order="sorted")).hexdigest()


async def _testimony(world: World, vote: Vote, copy: Task) -> Testimony:
    node = await world.store.node(vote.node)
    last = copy.attempts[-1] if copy.attempts else None
    return Testimony(
        copy=wire_id("task", copy.id),
        node_id=vote.node,
        owner=vote.owner,
        public_key=node.public_key if node is not None else b"",
        session=last.session if last is not None else 0,
        attempt=last.number if last is not None else 0,
        agreed=vote.agreed,
        answer=vote.answer,
        result=copy.result,
        reason=copy.reason,
        usage=last.usage if last is not None else None,
        leased_at=vote.leased_at,
        ended_at=vote.ended_at,
        seal=last.seal if last is not None else b"",
    )


async def _difference(world: World, won: Task, own: Task) -> Difference:
    name = wire_id("task", own.id)
    if own.state is not State.SUCCEEDED or won.state is not State.SUCCEEDED:
        return Difference(copy=name, where="ending", agreed=_ending_of(won), dissent=_ending_of(own))
    ours, theirs = won.result or Result(), own.result or Result()
    agreed, dissent = await _text(world, ours), await _text(world, theirs)
    if agreed == dissent:
        return _file_difference(name, ours, theirs)
    at = first_difference(agreed, dissent)
    return Difference(copy=name, where="result", offset=at, agreed=_shown(agreed, at), dissent=_shown(dissent, at))


def _file_difference(name: str, ours: Result, theirs: Result) -> Difference:
    here = {file.name: file.sha256 for file in ours.files}
    there = {file.name: file.sha256 for file in theirs.files}
    for file in sorted(here.keys() | there.keys()):
        if here.get(file) != there.get(file):
            agreed, dissent = here.get(file, "missing"), there.get(file, "missing")
            return Difference(copy=name, where=f"file {file}", agreed=agreed, dissent=dissent)
    return Difference(copy=name, where=f"result beyond {_READ_MAX:,} bytes", agreed=ours.blob, dissent=theirs.blob)


def _ending_of(copy: Task) -> str:
    return str(copy.state) if copy.reason is None else f"{copy.reason.code}: {copy.reason.message}"[:SHOWN_BYTES]


def _shown(text: bytes, at: int) -> str:
    return text[at : at + SHOWN_BYTES].decode(errors="replace")


def _in_one_line(difference: Difference) -> str:
    where = f"byte {difference.offset:,} of the result" if difference.where == "result" else difference.where
    return f"{where}: {difference.dissent[:40]!r} instead of {difference.agreed[:40]!r}"


async def _text(world: World, result: Result) -> bytes:
    """The text of a result, as far as it is looked at; nothing where its blob is gone or damaged."""
    if not result.blob:
        return result.json
    try:
        return await read_whole(world.blobs, result.blob, _READ_MAX)
    except AnchorError:
        return b""
