"""The module loader given anything at all: a clear refusal or a normal end, and never the end of the process."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.runtimes.wasm_steps import Bench, module
from wasmtime import wat2wasm

from anchor.core.errors import FailureCode

PRIMES = (Path(__file__).parents[2] / "examples" / "wasi" / "primes.wasm").read_bytes()
SMALL = bytes(wat2wasm(module("(drop (call $sched_yield))", head='(table 4 funcref) (data (i32.const 8) "text")')))
SEEDS = [PRIMES[:4096], PRIMES, SMALL]
HEAD = b"\0asm\1\0\0\0"
ENDINGS = {
    None,
    FailureCode.INVALID_MODULE,
    FailureCode.INVALID_PAYLOAD,
    FailureCode.SCRIPT_ERROR,
    FailureCode.MEMORY_LIMIT,
    FailureCode.FUEL_LIMIT,
    FailureCode.TIMEOUT,
}

pytestmark = pytest.mark.timeout(120)
fuzzed = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


def judge(bench: Bench, binary: bytes) -> None:
    ended = bench.run(binary, memory=16, seconds=2.0, fuel=1_000_000)
    bench.compiled.clear()
    assert ended.code in ENDINGS, ended
    if ended.code is not None:
        assert ended.message
        assert "\n" not in ended.message
        assert len(ended.message) < 1000


@fuzzed
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(bench: Bench, tail: bytes) -> None:
    judge(bench, tail)
    judge(bench, HEAD + tail)


@fuzzed
@given(st.sampled_from(SEEDS), st.data())
def test_modules_with_bytes_changed_are_refused_or_run(bench: Bench, seed: bytes, data: st.DataObject) -> None:
    changed = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 8))):
        changed[data.draw(st.integers(8, min(len(seed), 6000) - 1))] = data.draw(st.integers(0, 255))
    judge(bench, bytes(changed))


@fuzzed
@given(st.sampled_from(SEEDS), st.data())
def test_modules_cut_short_or_cut_out_are_refused_or_run(bench: Bench, seed: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(seed)))
    gone = data.draw(st.integers(0, len(seed) - at))
    judge(bench, seed[:at] + seed[at + gone :])


@fuzzed
@given(st.lists(st.tuples(st.integers(0, 14), st.binary(max_size=40)), max_size=6))
def test_sections_of_any_content_in_any_order_are_refused_or_run(
    bench: Bench, sections: list[tuple[int, bytes]]
) -> None:
    judge(bench, HEAD + b"".join(bytes([kind, len(content)]) + content for kind, content in sections))
