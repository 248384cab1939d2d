"""When two answers are the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.core.answers import Answer, answer_of, first_difference, same
from anchor.core.attempt import OutputFile, Result
from anchor.core.spec import TaskSpec
from anchor.core.spec_faults import faults_in
from anchor.core.verification import Verify, faults_in_policy

numbers = st.integers(-(1 << 60), 1 << 60) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def answer(policy: Verify, text: str | bytes, *files: str) -> Answer:
    content = text.encode() if isinstance(text, str) else text
    left = tuple(OutputFile(name, "0" * 64, 1) for name in files)
    return answer_of(policy, Result(json=content, size=len(content), files=left), content)


def alike(policy: Verify, one: str, two: str) -> bool:
    return same(policy, answer(policy, one), answer(policy, two))


BYTES, JSON, LINES = (Verify(compare=one) for one in ("bytes", "json", "lines"))


@given(values)
def test_a_value_is_the_same_however_it_is_written(value: Any) -> None:
    plain, other = json.dumps(value), json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    try:
        other.encode()
    except UnicodeEncodeError:
        return  # a lone surrogate is no text
    for policy in (JSON, Verify(compare="numeric")):
        assert alike(policy, plain, other)
    assert alike(BYTES, plain, other) == (plain == other)


@given(values, values)
def test_sameness_is_the_same_both_ways_round_and_never_fails(one: Any, two: Any) -> None:
    for compare in ("bytes", "json", "numeric", "lines"):
        policy = Verify(compare=compare, absolute=0.5 if compare == "numeric" else 0)
        first, second = answer(policy, json.dumps(one)), answer(policy, json.dumps(two))
        assert same(policy, first, second) == same(policy, second, first)
        assert same(policy, first, first)


@pytest.mark.parametrize(
    ("policy", "one", "two", "expected"),
    [
        (JSON, "1", "1.0", True),
        (JSON, "true", "1", False),
        (JSON, "9007199254740993", "9007199254740992", False),
        (JSON, '{"a":1,"b":2}', '{"b":2,"a":1}', True),
        (JSON, "[1,2]", "[2,1]", False),
        (Verify(compare="json", ignore=["/at", "/in/0/ms"]), '{"at":1,"in":[{"ms":1}]}', '{"in":[{"ms":7}]}', True),
        (Verify(compare="json", ignore=["/a~1b"]), '{"a/b":1}', '{"a/b":2}', True),
        (Verify(compare="numeric", absolute=0.1), "[1,2]", "[1.05,2.0]", True),
        (Verify(compare="numeric", absolute=0.1), "[1,2]", "[1.2,2]", False),
        (Verify(compare="numeric", relative=0.01), "1e6", "1005000", True),
        (Verify(compare="numeric", relative=0.01), '{"a":1}', '{"b":1}', False),
        (Verify(compare="numeric", absolute=2), "true", "1", False),
        (LINES, '"a  \\nb\\n\\n"', '"a\\r\\nb"', True),
        (LINES, '"a\\nb"', '"a\\n b"', False),
        (LINES, '{"a":1.0}', '{"a": 1}', True),
    ],
)
def test_what_makes_a_difference(policy: Verify, one: str, two: str, expected: bool) -> None:
    assert alike(policy, one, two) is expected


def test_files_make_a_difference_whatever_is_compared() -> None:
    for compare in ("bytes", "json", "numeric", "lines"):
        policy = Verify(compare=compare)
        assert not same(policy, answer(policy, "1", "a"), answer(policy, "1", "b"))
        assert same(policy, answer(policy, "1", "a", "b"), answer(policy, "1", "b", "a"))


def test_what_is_no_json_or_nests_too_deep_counts_by_its_bytes() -> None:
    for text in (b"\xff", b"[" * 100_000):
        assert same(JSON, answer(JSON, text), answer(JSON, text))
        assert not same(JSON, answer(JSON, text), answer(JSON, text + b" "))


def test_a_blob_and_the_same_text_inline_are_the_same_bytes() -> None:
    inline = answer(BYTES, "1")
    assert answer_of(BYTES, Result(blob=inline.digest, size=1), None) == inline


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_the_first_difference_is_where_two_texts_part(one: bytes, two: bytes) -> None:
    at = first_difference(one, two)
    assert one[:at] == two[:at]
    assert at == min(len(one), len(two)) or one[at] != two[at]


@pytest.mark.parametrize(
    ("policy", "pointer"),
    [
        (Verify(copies=2, agree=3), "/agree"),
        (Verify(copies=4, agree=2), "/agree"),
        (Verify(copies=1, agree=1), "/agree"),
        (Verify(copies=3, copies_max=2), "/copiesMax"),
        (Verify(ignore=["/a"]), "/ignore"),
        (Verify(compare="json", ignore=["a"]), "/ignore/0"),
        (Verify(absolute=0.1), "/absolute"),
        (Verify(relative=0.1), "/relative"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_where_it_is_wrong(policy: Verify, pointer: str) -> None:
    assert [fault.pointer for fault in faults_in_policy(policy, "")] == [pointer]


def test_the_defaults_are_sound_and_a_noop_has_nothing_to_check() -> None:
    assert faults_in_policy(Verify(), "") == faults_in_policy(Verify(policy="adaptive"), "") == []
    noop = TaskSpec(name="t", type="noop", verify="quorum")
    assert [fault.pointer for fault in faults_in(noop, "")] == ["/verify"]
