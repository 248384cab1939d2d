"""A receipt holds as it was made, and no byte of code, input, output, vote or signature may change."""

import copy
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from anchor.core.ids import wire_id
from anchor.core.spec import ResolvedLimits
from anchor.core.verification import Verify
from anchor.wire.proofs import proof_of, proves
from anchor.wire.receipts import (
    FORMAT,
    Receipt,
    ReceiptAnswer,
    ReceiptFile,
    ReceiptRound,
    ReceiptVote,
    limits_shown,
)
from anchor.wire.seals import Statement, limit_numbers, seal_from, statement_bytes

LIMITS = ResolvedLimits(128, 30.0, 1 << 20, 1024, 0)
PAYLOAD = '{"sourceCode":"return input * 2","input":21}'
NODES = {f"NOD-{name}": Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest()) for name in "ABCD"}
KEYS = {node: key.public_key().public_bytes_raw() for node, key in NODES.items()}
Document = dict[str, Any]


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def answered(
    task: int, node: str, result: str = "", *, code: str = "", payload: str = PAYLOAD, session: int = 3
) -> ReceiptAnswer:
    """What a node that exists would have sealed."""
    outcome = "errored" if code else "succeeded"
    files = [] if code else [ReceiptFile("out/a.txt", "ab" * 32)]
    said = Statement(
        node=node,
        session=session,
        task=wire_id("task", task),
        attempt=1,
        runtime="isolate",
        limits=limit_numbers(LIMITS),
        payload=digest(payload),
        outcome=outcome,
        code=code,
        result="" if code else digest(result),
        files=tuple((file.name, file.sha256) for file in files),
    )
    seal = seal_from(session, NODES[node].sign(statement_bytes(said)))
    return ReceiptAnswer(said.task, 1, node, session, outcome, code, said.result, files, seal, 1, 2)


def plain(task: int = 7 << 8, node: str = "NOD-A", result: str = "42") -> Receipt:
    return Receipt(
        format=FORMAT,
        task=wire_id("task", task),
        name="double",
        owner="ada",
        state="succeeded",
        runtime="isolate",
        limits=limits_shown(LIMITS),
        payload=PAYLOAD,
        payload_sha256=digest(PAYLOAD),
        answer=answered(task, node, result),
        results={digest(result): result},
        keys={node: KEYS[node]},
    )


def verified(results: tuple[str, ...] = ("42", "42", "41"), agreed: tuple[int, ...] = (0, 1), **policy: Any) -> Receipt:
    """Copies on nodes of different owners; one that begins with an exclamation mark failed with that code."""
    votes = []
    for number, result in enumerate(results):
        node = list(NODES)[number]
        failed = result.startswith("!")
        answer = answered((100 + number) << 8, node, result, code=result[1:] if failed else "")
        compared = result[1:] if failed else _with_files(answer.result)
        votes.append(ReceiptVote(number, f"owner-{number}", number in agreed, compared, answer))
    first = votes[agreed[0]] if agreed else None
    failed = first is None or bool(first.answer.code)
    return msgspec.structs.replace(
        plain(),
        state=("failed" if agreed else "inconclusive") if failed else "succeeded",
        answer=None if first is None else first.answer,
        results={digest(result): result for result in results if not result.startswith("!")},
        keys={vote.answer.node: KEYS[vote.answer.node] for vote in votes},
        verification=ReceiptRound(Verify(**policy), bool(agreed), first.copy if first else -1, False, votes),
    )


def _with_files(result: str) -> str:
    files = digest("ab" * 32 + " out/a.txt")
    return digest(f"{result}\n{files}")


def document(receipt: Receipt) -> Document:
    found: Document = json.loads(msgspec.json.encode(receipt))
    return found


def holds(changed: Document | Receipt, known: dict[str, bytes] | None = None) -> bool:
    """Whether it is a receipt, and all of it holds."""
    content = msgspec.json.encode(changed)
    try:
        receipt = msgspec.json.decode(content, type=Receipt)
    except msgspec.DecodeError:
        return False
    return proves(proof_of(receipt, {} if known is None else known))


@pytest.mark.parametrize(
    "receipt",
    [
        plain(),
        verified(),
        verified(("42", "42", "!script_error")),
        verified(("!script_error", "42", "!script_error"), (0, 2)),
        verified(("1", "2", "3"), ()),
        msgspec.structs.replace(plain(), results={}),
    ],
    ids=["plain", "dissent", "one failed", "failure agreed on", "inconclusive", "large result"],
)
def test_a_receipt_holds_as_it_was_made(receipt: Receipt) -> None:
    assert holds(receipt), proof_of(receipt, {})
    assert holds(receipt, KEYS)


def test_a_receipt_does_not_hold_against_another_key_than_its_own() -> None:
    assert not holds(plain(), {"NOD-A": KEYS["NOD-B"]})


def test_whoever_signs_it_all_again_with_own_keys_is_found_by_whoever_knows_the_keys() -> None:
    forged = msgspec.structs.replace(
        plain(), answer=msgspec.structs.replace(answered(7 << 8, "NOD-B", "42"), node="NOD-A")
    )
    assert not holds(forged)
    assert not holds(msgspec.structs.replace(forged, keys={"NOD-A": KEYS["NOD-B"]}))


UNSIGNED = {"/name", "/owner", "/answer/leasedAt", "/answer/endedAt"}
"""What the receipt itself says to be the server's word."""


def places(value: Any, at: str = "") -> Iterator[str]:
    """The JSON pointers of everything in a document that is no container."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, f"{at}/{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, f"{at}/{number}")
    else:
        yield at


def is_word_of_the_server(place: str) -> bool:
    in_votes = place.startswith("/verification/votes/")
    return (
        place in UNSIGNED
        or place.startswith("/verification/policy")
        or (in_votes and place.endswith(("/owner", "/leasedAt", "/endedAt")))
    )


def changed_at(whole: Document, place: str, change: Callable[[Any], Any]) -> Document:
    other = copy.deepcopy(whole)
    *way, last = place.split("/")[1:]
    found: Any = other
    for token in way:
        found = found[int(token)] if isinstance(found, list) else found[token]
    found[last] = change(found[last])
    return other


def otherwise(value: Any) -> list[Any]:
    """The same kind of value, a little different, in several ways."""
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1, value - 1]
        case str() if value:
            middle = len(value) // 2
            flipped = value[:middle] + ("1" if value[middle] != "1" else "2") + value[middle + 1 :]
            return [flipped, value[:-1], value + "0", ""]
        case _:
            return ["1"]


@pytest.mark.parametrize("whole", [document(plain()), document(verified())], ids=["plain", "verified"])
def test_nothing_that_is_signed_may_change(whole: Document) -> None:
    unseen = []
    for place in places(whole):
        # The head of a round is bound to its copies by the server alone: the receipt says so.
        if is_word_of_the_server(place) or (place == "/task" and whole["verification"] is not None):
            continue
        found: list[Any] = []
        changed_at(whole, place, found.append)
        others = [other for other in otherwise(found[0]) if other != found[0]]
        unseen += [(place, other) for other in others if holds(changed_at(whole, place, lambda _, new=other: new))]
    assert unseen == []


def test_answers_cannot_be_swapped_between_nodes_tasks_and_receipts() -> None:
    one, other = plain(), plain(task=8 << 8, node="NOD-B", result="43")
    keys = {"NOD-A": KEYS["NOD-A"], "NOD-B": KEYS["NOD-B"]}
    results = {**one.results, **other.results}
    both = msgspec.structs.replace(one, keys=keys, results=results)
    assert holds(both)
    replace = msgspec.structs.replace
    assert one.answer is not None
    assert other.answer is not None
    swaps = {
        "cross-task": replace(both, answer=other.answer),
        "cross-node": replace(both, answer=replace(one.answer, node="NOD-B")),
        "cross-seal": replace(both, answer=replace(one.answer, seal=other.answer.seal)),
        "cross-result": replace(both, answer=replace(one.answer, result=other.answer.result)),
        "cross-attempt": replace(both, answer=replace(one.answer, attempt=2)),
        "renamed": replace(both, answer=replace(one.answer, task=other.task), task=other.task),
        "swapped keys": replace(both, keys={"NOD-A": keys["NOD-B"], "NOD-B": keys["NOD-A"]}),
        "truncated seal": replace(both, answer=replace(one.answer, seal=one.answer.seal[:-1])),
        "no seal": replace(both, answer=replace(one.answer, seal=b"")),
        "no answer": replace(both, answer=None),
        "other code": replace(both, payload=PAYLOAD + " ", payload_sha256=digest(PAYLOAD + " ")),
    }
    assert [name for name, receipt in swaps.items() if holds(receipt)] == []


def test_votes_cannot_be_repeated_moved_left_out_or_turned() -> None:
    whole = verified()
    round_ = whole.verification
    assert round_ is not None
    replace = msgspec.structs.replace
    first, second, third = round_.votes

    def with_votes(*votes: ReceiptVote, **changes: Any) -> Receipt:
        return replace(whole, verification=replace(round_, votes=list(votes), **changes))

    elsewhere = answered(200 << 8, "NOD-B", "42", payload='{"sourceCode":"return 42"}')
    forgeries = {
        "one vote twice": with_votes(first, replace(first, copy=1, owner="owner-9"), third),
        "one owner twice": with_votes(first, replace(second, owner=first.owner), third),
        "too few": with_votes(first, third),
        "only the dissenter": with_votes(third),
        "none": with_votes(),
        "answers swapped": with_votes(replace(first, answer=third.answer), second, replace(third, answer=first.answer)),
        "dissent turned into consent": with_votes(first, second, replace(third, agreed=True)),
        "consent turned into dissent": with_votes(first, replace(second, agreed=False), third),
        "the dissenter wins": with_votes(first, second, third, winner=2),
        "another winner's answer": replace(whole, answer=third.answer),
        "declared undecided": with_votes(first, second, third, agreed=False, winner=-1),
        "a vote about something else": with_votes(first, replace(second, answer=elsewhere), third),
        "declared trusted": with_votes(first, second, third, spared=True),
    }
    assert [name for name, receipt in forgeries.items() if holds(receipt)] == []


def test_answers_are_compared_as_the_policy_says() -> None:
    spelt = ('{"a": 1, "t": 5}', '{"t":6,"a":1.0}', '{"a":2,"t":5}')
    by_bytes = verified(spelt, (0, 1))
    assert not holds(by_bytes)
    near = verified(("1.0", "1.01", "2.0"), (0, 1), compare="numeric", absolute=0.05)
    lines = [line for line in proof_of(near, {}) if "agrees with" in line.says or "contradicts" in line.says]
    assert [line.holds for line in lines] == [True, True, True]
    far = verified(("1.0", "1.1", "2.0"), (0, 1), compare="numeric", absolute=0.05)
    assert not holds(far)


def test_a_round_that_was_decided_cannot_be_called_undecided_nor_a_tie_decided() -> None:
    assert not holds(verified(("1", "1", "2"), ()))
    assert holds(verified(("1", "1", "2", "2"), ()))
    assert not holds(verified(("1", "1", "2", "2"), (0, 1)))


def test_a_noop_holds_where_its_result_is_its_input() -> None:
    echo = msgspec.structs.replace(
        plain(),
        runtime="noop",
        payload='{"input":[1, 2]}',
        payload_sha256=digest('{"input":[1, 2]}'),
        answer=msgspec.structs.replace(answered(7 << 8, "NOD-A", "[1, 2]"), seal=b""),
        results={digest("[1, 2]"): "[1, 2]"},
    )
    assert holds(echo)
    assert not holds(msgspec.structs.replace(echo, payload='{"input":3}', payload_sha256=digest('{"input":3}')))


WHOLE = msgspec.json.encode(verified(compare="json"))


@given(at=st.integers(0, len(WHOLE) - 1), put=st.binary(min_size=0, max_size=3), cut=st.integers(0, 3))
def test_whatever_stands_in_a_receipt_it_is_checked_and_nothing_breaks(at: int, put: bytes, cut: int) -> None:
    changed = WHOLE[:at] + put + WHOLE[at + cut :]
    try:
        receipt = msgspec.json.decode(changed, type=Receipt)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert proof_of(receipt, KEYS)


@pytest.mark.parametrize("text", ["[" * 5000, '"\\ud800"', "1e999", '{"a":1,"a":2}', "\x00"])
def test_a_result_that_is_no_sane_json_is_compared_all_the_same(text: str) -> None:
    receipt = verified((text, text, "1"), compare="json")
    assert proof_of(msgspec.json.decode(msgspec.json.encode(receipt), type=Receipt), KEYS)
