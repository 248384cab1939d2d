"""What of a receipt holds: checked line by line, with nothing but the receipt and the keys one knows."""

from collections.abc import Iterator, Mapping
from hashlib import sha256

import msgspec

from anchor.core.answers import Answer, answer_of, same
from anchor.core.attempt import Outcome, OutputFile, Result
from anchor.core.errors import NotFound
from anchor.core.ids import STEP, key_of
from anchor.wire.receipts import Receipt, ReceiptAnswer, ReceiptRound, ReceiptVote
from anchor.wire.seals import Statement, is_sealed, sealed_session

ANSWERS = frozenset({Outcome.SUCCEEDED, Outcome.ERRORED, Outcome.TIMED_OUT, Outcome.LIMIT_EXCEEDED})
"""Endings that may be a vote."""


class Line(msgspec.Struct, frozen=True):
    """One thing about a receipt; `holds` is null where nothing in the receipt can show it."""

    holds: bool | None
    says: str


def proof_of(receipt: Receipt, known: Mapping[str, bytes]) -> list[Line]:
    """Everything there is to say; `known` are public keys of nodes, known from elsewhere than from this receipt."""
    return list(_lines(receipt, known))


def proves(lines: list[Line]) -> bool:
    """Whether all of it holds that can be shown."""
    return bool(lines) and all(line.holds is not False for line in lines)


def _lines(receipt: Receipt, known: Mapping[str, bytes]) -> Iterator[Line]:
    holds = _digest(receipt.payload) == receipt.payload_sha256
    yield Line(holds, f"Code and input have the SHA-256 {receipt.payload_sha256}.")
    for digest, text in receipt.results.items():
        yield Line(_digest(text) == digest, f"The result with the SHA-256 {digest} is in the receipt, whole.")
    if receipt.runtime == "noop":
        yield from _noop(receipt)
        return
    if receipt.verification is not None:
        yield from _round(receipt, receipt.verification, known)
    elif receipt.answer is not None:
        expected = receipt.answer.task == receipt.task and _fits(receipt.state, receipt.answer.outcome)
        yield Line(expected, f"The answer is one to {receipt.task}, which {receipt.state}.")
        yield from _sealed(receipt, receipt.answer, known)
    else:
        yield Line(False, f"No node has answered {receipt.task}; it {receipt.state}.")
    yield from _keys(receipt, known)
    yield Line(None, "Names, owners, states, times and the policy are what the server says: no node signs them.")


def _fits(state: str, outcome: str) -> bool:
    if state == "succeeded":
        return outcome == Outcome.SUCCEEDED
    return state == "cancelled" or (state == "failed" and outcome != Outcome.SUCCEEDED)


def _noop(receipt: Receipt) -> Iterator[Line]:
    """A noop is not sealed: that it gave its input back can be seen."""
    given = _Given()
    if receipt.payload:
        try:
            given = msgspec.json.decode(receipt.payload, type=_Given)
        except msgspec.DecodeError:
            yield Line(False, "The payload is JSON.")
            return
    answer = receipt.answer
    returned = answer is not None and answer.result == sha256(bytes(given.input)).hexdigest()
    yield Line(returned, "The task does nothing, and its result is its input.")


class _Given(msgspec.Struct):
    input: msgspec.Raw = msgspec.Raw(b"null")


def _sealed(receipt: Receipt, answer: ReceiptAnswer, known: Mapping[str, bytes]) -> Iterator[Line]:
    who = f"{answer.node} (attempt {answer.attempt} of {answer.task})"
    keys = [known[answer.node]] if answer.node in known else [receipt.keys.get(answer.node, b"")]
    said = Statement(
        node=answer.node,
        session=answer.session,
        task=answer.task,
        attempt=answer.attempt,
        runtime=receipt.runtime,
        limits=msgspec.structs.astuple(receipt.limits),
        payload=receipt.payload_sha256,
        outcome=answer.outcome,
        code=answer.code,
        result=answer.result,
        files=tuple(sorted((file.name, file.sha256) for file in answer.files)),
    )
    if not answer.seal:
        yield Line(False, f"{who} has signed nothing.")
        return
    what = f"the result {answer.result}" if answer.result else f"{answer.outcome}, {answer.code or 'no code'}"
    files = f" and {len(answer.files)} files" if answer.files else ""
    holds = is_sealed(answer.seal, keys, said) and sealed_session(answer.seal) == answer.session
    yield Line(holds, f"{who} has signed {what}{files} for this code, input, runtime and limits.")
    if answer.result and answer.result not in receipt.results:
        yield Line(None, f"The result with the SHA-256 {answer.result} is too large to be in the receipt.")


def _round(receipt: Receipt, round_: ReceiptRound, known: Mapping[str, bytes]) -> Iterator[Line]:
    for vote in round_.votes:
        yield from _sealed(receipt, vote.answer, known)
    counted = [vote.answer.outcome in ANSWERS for vote in round_.votes]
    distinct = all(
        len({of(vote) for vote in round_.votes}) == len(round_.votes)
        for of in (_node_of, _owner_of, _copy_of, _task_of)
    )
    yield Line(distinct and all(counted), "No node, owner or copy has voted twice.")
    firsts = {_first_key(vote) for vote in round_.votes}
    yield Line(len(firsts) <= 1, "The copies are numbered as their ids are.")
    winner = next((vote for vote in round_.votes if vote.copy == round_.winner), None)
    answers = {vote.copy: _compared(receipt, round_, vote) for vote in round_.votes}
    for vote in round_.votes:
        digest = answers[vote.copy].digest
        yield Line(vote.compared == digest, f"Copy {vote.copy} voted for {vote.compared}.")
    if not round_.agreed:
        lost = round_.winner == -1 and receipt.answer is None and not any(vote.agreed for vote in round_.votes)
        # A round may fail before its votes decide: its task took machines down.
        undecided = receipt.state == "failed" or (
            receipt.state == "inconclusive" and not _has_majority(round_, answers)
        )
        yield Line(lost and undecided, "The votes have decided nothing.")
        return
    whose = winner is not None and receipt.answer == winner.answer and _fits(receipt.state, winner.answer.outcome)
    yield Line(whose, f"The answer of {receipt.task} is that of copy {round_.winner}.")
    if winner is None:
        return
    for vote in round_.votes:
        equal = _equal(round_, answers, winner, vote)
        word = "agrees with" if vote.agreed else "contradicts"
        yield Line(equal == vote.agreed, f"Copy {vote.copy} of {vote.answer.node} {word} what was decided.")
    agreed = sum(vote.agreed for vote in round_.votes)
    if round_.spared:
        lone = len(round_.votes) == 1 and round_.policy.policy == "adaptive" and winner.agreed
        yield Line(lone and None, "One answer was taken unchecked, since its node had earned trust.")
    else:
        enough = winner.agreed and agreed >= round_.policy.agree and _has_majority(round_, answers)
        yield Line(enough, f"{agreed} of {len(round_.votes)} answers agree; {round_.policy.agree} had to.")
    yield Line(None, f"That these are copies of {receipt.task}, and whose nodes they ran on, is the server's word.")


def _has_majority(round_: ReceiptRound, answers: Mapping[int, Answer]) -> bool:
    """Whether enough votes are the same as one of them, and no others are as many."""
    groups = [[other for other in round_.votes if _equal(round_, answers, one, other)] for one in round_.votes]
    largest = max(groups, key=len, default=[])
    rivals = [one for one, group in zip(round_.votes, groups, strict=True) if len(group) == len(largest)]
    return len(largest) >= round_.policy.agree and all(one in largest for one in rivals)


def _compared(receipt: Receipt, round_: ReceiptRound, vote: ReceiptVote) -> Answer:
    answer = vote.answer
    if answer.outcome != Outcome.SUCCEEDED:
        return Answer(answer.code)
    files = tuple(OutputFile(file.name, file.sha256, 0) for file in answer.files)
    text = receipt.results.get(answer.result)
    return answer_of(round_.policy, Result(blob=answer.result, files=files), None if text is None else text.encode())


def _equal(round_: ReceiptRound, answers: Mapping[int, Answer], one: ReceiptVote, other: ReceiptVote) -> bool:
    if one.answer.outcome != Outcome.SUCCEEDED or other.answer.outcome != Outcome.SUCCEEDED:
        neither = one.answer.outcome != Outcome.SUCCEEDED and other.answer.outcome != Outcome.SUCCEEDED
        return neither and one.answer.code == other.answer.code
    return same(round_.policy, answers[one.copy], answers[other.copy])


def _keys(receipt: Receipt, known: Mapping[str, bytes]) -> Iterator[Line]:
    for node, key in receipt.keys.items():
        if node in known:
            yield Line(known[node] == key, f"The key of {node} is the one you know.")
        else:
            yield Line(None, f"The key of {node} is the one the receipt names; give yours with --key to be sure.")


def _first_key(vote: ReceiptVote) -> int | None:
    """The key of the first copy of the round that a vote is in; None where the copy's id is none."""
    try:
        return key_of("task", vote.answer.task) - vote.copy * STEP
    except NotFound:
        return None


def _node_of(vote: ReceiptVote) -> object:
    return vote.answer.node


def _owner_of(vote: ReceiptVote) -> object:
    return vote.owner


def _copy_of(vote: ReceiptVote) -> object:
    return vote.copy


def _task_of(vote: ReceiptVote) -> object:
    return vote.answer.task


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
