"""What a submitted task means, and every rule of meaning it can break, with the place it breaks it."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.core.spec import (
    Limits,
    Need,
    Payload,
    ResolvedLimits,
    TaskSpec,
    blob_of,
    limits_for,
    need_of,
    need_of_shape,
    runtime_of,
    shape_of,
)
from anchor.core.spec_faults import faults_in

DIGEST = "sha256:" + "a" * 64
WASM = base64.b64encode(b"\0asm\1\0\0\0").decode()


def spec(**fields: Any) -> TaskSpec:
    return msgspec.convert({"name": "t", **fields}, TaskSpec)


THE_SPECS_OWN_REQUEST = {
    "name": "Prime Finder",
    "type": "script",
    "payload": {"sourceCode": "return 1", "dependencies": ["lodash"], "runtime": "native"},
    "requirements": {"minRam": 2, "gpuRequired": False},
}


def test_the_request_of_the_specification_is_valid_as_written() -> None:
    task = msgspec.convert(THE_SPECS_OWN_REQUEST, TaskSpec)
    assert faults_in(task, "") == []
    assert need_of(task) == Need(runtime="native", min_ram_gib=2)


@pytest.mark.parametrize(
    ("fields", "runtime"),
    [
        ({"type": "noop"}, "noop"),
        ({"payload": {"sourceCode": "1"}}, "isolate"),
        ({"payload": {"sourceCode": "1", "runtime": "isolated-vm"}}, "isolate"),
        ({"payload": {"sourceCode": "1", "language": "python"}}, "native"),
        ({"payload": {"sourceCode": "1", "runtime": "python"}}, "python"),
        ({"payload": {"sourceCode": "1", "dependencies": ["lodash"]}}, "native"),
        ({"payload": {"command": ["ls"]}}, "native"),
        ({"payload": {"module": WASM}}, "wasm"),
        ({"type": "wasm", "payload": {"module": DIGEST}}, "wasm"),
    ],
)
def test_a_task_that_names_no_runtime_gets_the_one_it_implies(fields: dict[str, Any], runtime: str) -> None:
    task = spec(**fields)
    assert runtime_of(task) == runtime
    assert faults_in(task, "") == []


@pytest.mark.parametrize(
    ("fields", "pointer", "message"),
    [
        ({}, "/payload", "is missing"),
        ({"payload": {}}, "/payload/sourceCode", "is missing; runtime isolate needs it"),
        ({"type": "wasm", "payload": {}}, "/payload/module", "is missing; runtime wasm needs it"),
        ({"payload": {"sourceCode": " \n"}}, "/payload/sourceCode", "is empty"),
        ({"payload": {"command": []}}, "/payload/command", "is empty"),
        ({"payload": {"command": [""]}}, "/payload/command", "is empty"),
        ({"payload": {"sourceCode": "1", "module": DIGEST, "runtime": "wasm"}}, "/payload/module", "be combined"),
        ({"payload": {"sourceCode": "1", "runtime": "wasm"}}, "/payload/sourceCode", "does not go with runtime wasm"),
        ({"payload": {"command": ["ls"], "runtime": "isolate"}}, "/payload/command", "not go with runtime isolate"),
        ({"payload": {"module": "%%%"}}, "/payload/module", "is neither base64 nor sha256"),
        ({"payload": {"module": "aGVsbG8="}}, "/payload/module", "is not WebAssembly"),
        ({"payload": {"sourceCode": "1", "runtime": "isolate", "dependencies": ["x"]}}, "/payload/dependencies",
         "need runtime native"),
        ({"payload": {"sourceCode": "1", "dependencies": ["--global"]}}, "/payload/dependencies", "not a package name"),
        ({"payload": {"sourceCode": "1", "dependencies": ["a;b"]}}, "/payload/dependencies", "not a package name"),
        ({"payload": {"sourceCode": "1", "runtime": "isolate", "language": "python"}}, "/payload/language",
         "isolate runs javascript"),
        ({"payload": {"sourceCode": "1", "runtime": "python", "language": "javascript"}}, "/payload/language",
         "runtime python runs python"),
        ({"payload": {"sourceCode": "1", "function": "f"}}, "/payload/function", "use runtime wasm"),
        ({"payload": {"sourceCode": "1", "env": {"A B": "1"}}}, "/payload/env", "not a usable environment variable"),
        ({"payload": {"sourceCode": "1", "env": {"A": "\0"}}}, "/payload/env", "not a usable environment variable"),
        ({"payload": {"sourceCode": "1", "args": [1]}}, "/payload/args", "must be strings without NUL"),
        ({"payload": {"command": ["ls", "\0"]}}, "/payload/args", "must be strings without NUL"),
        ({"name": "a\0b", "type": "noop"}, "/name", "NUL"),
        ({"labels": ["a\0b"], "type": "noop"}, "/labels/0", "NUL"),
        ({"name": "a\x1b[2J", "type": "noop"}, "/name", "control character"),
        ({"type": "noop", "payload": {"sourceCode": "1"}}, "/payload", "a noop task runs nothing"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_named_with_its_place(fields: dict[str, Any], pointer: str, message: str) -> None:
    faults = faults_in(spec(**fields), "/3")
    assert [fault.pointer for fault in faults] == ["/3" + pointer]
    assert message in faults[0].message


def test_every_broken_rule_is_named_not_only_the_first() -> None:
    task = spec(name="\0", payload={"sourceCode": "", "runtime": "isolate", "dependencies": ["x"]})
    assert [fault.pointer for fault in faults_in(task, "")] == [
        "/name", "/payload/sourceCode", "/payload/dependencies",
    ]  # fmt: skip


def test_a_function_of_a_wasm_module_takes_typed_arguments() -> None:
    assert faults_in(spec(payload={"module": WASM, "function": "add", "args": [1, 2.5]}), "") == []


@pytest.mark.parametrize("name", ["lodash", "@scope/pkg@1.2.3", "numpy==2.1", "requests[socks]>=2,<3", "a~=1.0"])
def test_a_package_name_may_carry_a_version(name: str) -> None:
    assert faults_in(spec(payload={"sourceCode": "1", "dependencies": [name]}), "") == []


@pytest.mark.parametrize(
    "broken",
    [
        {"nme": "t"}, {"name": ""}, {"name": "x" * 201}, {"priority": 101}, {"priority": "5"}, {"type": "scrpt"},
        {"retry": {"attempts": 0}}, {"retry": {"attempts": 101}}, {"retry": {"backoffSeconds": -1}},
        {"limits": {"memoryMb": 8}}, {"limits": {"timeoutSeconds": 0}}, {"limits": {"outputBytes": -1}},
        {"requirements": {"minRam": -1}}, {"labels": [""]}, {"payload": {"runtime": "docker"}},
    ],
)  # fmt: skip
def test_a_wrong_type_an_unknown_field_or_a_number_out_of_bounds_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        spec(**broken)


@pytest.mark.parametrize(
    ("runtime", "memory_mib", "timeout_seconds"),
    [("noop", 16, 30), ("isolate", 128, 30), ("wasm", 256, 60), ("python", 256, 60), ("native", 2048, 600)],
)
def test_limits_that_are_left_out_are_the_runtimes_own(runtime: str, memory_mib: int, timeout_seconds: int) -> None:
    assert limits_for(runtime, Limits()) == ResolvedLimits(memory_mib, timeout_seconds, 1024 * 1024)


def test_limits_that_are_given_win() -> None:
    assert limits_for("isolate", Limits(memory_mb=64, timeout_seconds=0.5, output_bytes=0)) == ResolvedLimits(
        64, 0.5, 0
    )


def test_a_module_is_a_blob_only_with_a_whole_digest() -> None:
    assert blob_of(DIGEST) == "a" * 64
    assert blob_of(DIGEST[:-1]) is None
    assert blob_of(DIGEST.upper()) is None
    assert blob_of(WASM) is None


needs = st.builds(
    Need,
    runtime=st.sampled_from(["noop", "isolate", "wasm", "python", "native"]),
    min_ram_gib=st.floats(0, 1_000_000),
    min_cores=st.integers(0, 100_000),
    gpu=st.booleans(),
    labels=st.lists(st.text(min_size=1, max_size=5), max_size=3).map(tuple),
)


@given(needs)
def test_a_shape_is_read_back_as_the_need_it_was_made_of(need: Need) -> None:
    assert need_of_shape(shape_of(need)) == need


def test_labels_in_another_order_or_twice_are_the_same_need() -> None:
    one = spec(type="noop", requirements={"labels": ["b", "a", "b"]})
    other = spec(type="noop", requirements={"labels": ["a", "b"]})
    assert need_of(one) == need_of(other)


def test_a_payload_is_empty_unless_it_says_something() -> None:
    assert msgspec.json.encode(Payload()) == b"{}"
