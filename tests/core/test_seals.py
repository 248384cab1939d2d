"""A seal is one node's word about one attempt, and about nothing else."""

import hashlib
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from anchor.agent.identity import Identity
from anchor.agent.seals import Sealer
from anchor.core.attempt import Ending, Outcome, OutputFile, Reason, Result
from anchor.core.spec import ResolvedLimits
from anchor.wire.link import Assignment
from anchor.wire.seals import SEAL_BYTES, Given, is_sealed, seal_from, sealed_session, statement_bytes, statement_of

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
LIMITS = ResolvedLimits(128, 30.0, 1 << 20, 1024, 0)
GIVEN = Given(12345 << 8, 2, "isolate", LIMITS, "ab" * 32)
FILE = OutputFile("plots/größe.png", "cd" * 32, 7)
ENDING = Ending(GIVEN.task, 2, Outcome.SUCCEEDED, Result(json=b"[1, 2.50]", size=9, files=(FILE,)))
SAID = statement_of(GIVEN, ENDING, node="REX-A1B2C3", session=7)
SEAL = seal_from(7, KEY.sign(statement_bytes(SAID)))


def test_a_seal_holds_for_what_was_sealed_with_the_key_of_its_node() -> None:
    assert len(SEAL) == SEAL_BYTES
    assert sealed_session(SEAL) == 7
    assert is_sealed(SEAL, [PUBLIC], SAID)
    assert is_sealed(SEAL, [OTHER, PUBLIC], SAID)
    assert not is_sealed(SEAL, [OTHER], SAID)
    assert not is_sealed(SEAL, [], SAID)
    assert not is_sealed(SEAL, [b"no key"], SAID)


def test_a_seal_holds_where_its_attempt_was_recorded_in_a_later_session_and_not_in_an_earlier_one() -> None:
    assert is_sealed(SEAL, [PUBLIC], replace(SAID, session=9))
    assert not is_sealed(SEAL, [PUBLIC], replace(SAID, session=6))
    assert not is_sealed((8).to_bytes(8, "big") + SEAL[8:], [PUBLIC], replace(SAID, session=9))


@pytest.mark.parametrize(
    "change",
    [
        {"node": "REX-A1B2C4"},
        {"task": "task_0000000000001"},
        {"attempt": 3},
        {"runtime": "wasm"},
        {"limits": (128, 30_001, 1 << 20, 1024, 0)},
        {"payload": "ac" + "ab" * 31},
        {"outcome": "errored"},
        {"code": "script_error"},
        {"result": ""},
        {"files": ()},
        {"files": (("plots/größe.png", "ce" + "cd" * 31),)},
        {"files": (("plots/grösse.png", "cd" * 32),)},
    ],
    ids=str,
)
def test_a_seal_holds_for_no_other_statement(change: dict[str, Any]) -> None:
    assert not is_sealed(SEAL, [PUBLIC], replace(SAID, **change))


@given(at=st.integers(0, SEAL_BYTES - 1), bit=st.integers(0, 7))
def test_no_bit_of_a_seal_may_change(at: int, bit: int) -> None:
    changed = bytearray(SEAL)
    changed[at] ^= 1 << bit
    assert not is_sealed(bytes(changed), [PUBLIC], SAID)


@given(st.integers(0, SEAL_BYTES - 1))
def test_a_piece_of_a_seal_is_none(length: int) -> None:
    assert not is_sealed(SEAL[:length], [PUBLIC], SAID)
    assert not is_sealed(SEAL + bytes(length + 1), [PUBLIC], SAID)


def test_fields_cannot_flow_into_each_other() -> None:
    assert statement_bytes(replace(SAID, node="A", task="BC")) != statement_bytes(replace(SAID, node="AB", task="C"))


def test_what_is_signed_is_one_json_array_after_its_domain() -> None:
    digest = hashlib.sha256(b"[1, 2.50]").hexdigest()
    assert (
        statement_bytes(SAID)
        == (
            f'anchor-link-1:seal:["REX-A1B2C3",7,"{SAID.task}",2,"isolate",[128,30000,1048576,1024,0],'
            f'"{"ab" * 32}","succeeded","","{digest}",'
            f'[["plots/größe.png","{"cd" * 32}"]]]'
        ).encode()
    )


def item(runtime: str, payload: bytes = b'{"sourceCode":"1"}', blob: str = "") -> Assignment:
    return Assignment(GIVEN.task, 2, runtime, LIMITS, payload, blob, "t")


def sealer() -> Sealer:
    return Sealer(Identity("REX-A1B2C3", bytes(range(32))), lambda: 7)


@pytest.mark.parametrize(
    "ending", [ENDING, replace(ENDING, outcome=Outcome.ERRORED, result=None, reason=Reason("x", "y"))]
)
def test_an_agent_seals_how_an_attempt_ended_with_what_it_was_given(ending: Ending) -> None:
    blob = item("isolate", b"", "ef" * 32)
    assert sealer()(item("isolate"), ending).seal != sealer()(blob, ending).seal
    sealed = sealer()(blob, ending)
    assert replace(sealed, seal=b"") == ending
    assert is_sealed(
        sealed.seal, [PUBLIC], statement_of(replace(GIVEN, payload="ef" * 32), ending, node="REX-A1B2C3", session=8)
    )


def test_a_noop_is_not_sealed() -> None:
    assert sealer()(item("noop"), ENDING) is ENDING


def test_a_seal_costs_at_most_100_microseconds() -> None:
    sign, given_item = sealer(), item("isolate", b'{"sourceCode":"' + b"x" * 1000 + b'"}')
    best = min(_seconds_of(lambda: sign(given_item, ENDING)) for _ in range(50))
    assert best < 100e-6


def _seconds_of(step: Any) -> float:
    began = time.perf_counter()
    for _ in range(10):
        step()
    return (time.perf_counter() - began) / 10
