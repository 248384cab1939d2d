"""What a task may say of its inputs by name and of pieces of blobs, and what is wrong where it may not."""

from typing import Any

import msgspec
import pytest

from anchor.core.spec import Payload, TaskSpec, blobs_named, need_of
from anchor.core.spec_faults import faults_in

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def spec(payload: dict[str, Any], **fields: Any) -> TaskSpec:
    return msgspec.convert({"name": "t", "payload": {"sourceCode": "1", **payload}, **fields}, TaskSpec)


def test_inputs_are_values_or_blobs_and_ask_for_a_node_that_hands_them_over() -> None:
    asks = spec({"inputs": {"fetch rows/ü": {"value": [1]}, "large": {"blob": DIGEST}, "nothing": {"value": None}}})
    assert faults_in(asks, "") == []
    assert need_of(asks).features == ("inputs",)


@pytest.mark.parametrize(
    ("name", "given", "pointer", "says"),
    [
        ("a/b~", {"value": 1, "blob": DIGEST}, "/payload/inputs/a~1b~0", "a value and a blob"),
        ("a", {"blob": "a" * 64}, "/payload/inputs/a/blob", "is not sha256:… of an uploaded blob"),
        ("a", {"blob": DIGEST + "[1:2]"}, "/payload/inputs/a/blob", "is not sha256:… of an uploaded blob"),
        ("", {"value": 1}, "/payload/inputs/", "unusable name"),
        ("a\nb", {"value": 1}, "/payload/inputs/a\nb", "unusable name"),
        ("x" * 201, {"value": 1}, "/payload/inputs/" + "x" * 201, "unusable name"),
    ],
)
def test_inputs_that_cannot_be_handed_over_are_refused(name: str, given: Any, pointer: str, says: str) -> None:
    [fault] = faults_in(spec({"inputs": {name: given}}), "")
    assert fault.pointer == pointer
    assert says in fault.message


def test_a_noop_with_inputs_is_looked_at_as_well() -> None:
    noop = msgspec.convert({"name": "t", "type": "noop", "payload": {"inputs": {"": {"value": 1}}}}, TaskSpec)
    assert [fault.pointer for fault in faults_in(noop, "")] == ["/payload/inputs/"]


def test_a_file_may_be_a_piece_of_a_blob_and_never_an_empty_one() -> None:
    assert faults_in(spec({"files": {"a": DIGEST + "[3:]", "b": DIGEST + "[:3]", "c": DIGEST + "[1:2]"}}), "") == []
    for wrong in ("[2:2]", "[3:2]", "[-1:]", "[1]"):
        [fault] = faults_in(spec({"files": {"a": DIGEST + wrong}}), "")
        assert (fault.pointer, "does not name bytes" in fault.message) == ("/payload/files/a", True)


def test_every_blob_that_a_payload_names_is_known() -> None:
    payload = msgspec.convert(
        {"files": {"a": DIGEST + "[3:]"}, "inputs": {"x": {"blob": OTHER}, "y": {"value": 1}}}, Payload
    )
    assert set(blobs_named(payload)) == {"a" * 64, "b" * 64}
