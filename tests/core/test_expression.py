"""The expression of a task's requirements: what it says of a node, and how it refuses what it does not understand."""

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from anchor.core.comparison import NAMES, WrongExpression
from anchor.core.expression import DEPTH_MAX, LENGTH_MAX, parse

NODE: dict[str, Any] = {
    "id": "REX-A1B2C3",
    "owner": "ann",
    "os": "linux",
    "arch": "x86_64",
    "cores": 4,
    "ram": 8.0,
    "disk": 100.0,
    "gpus": (),
    "labels": ("lab", "quiet"),
    "runtimes": ("isolate", "wasm"),
    "version": "0.10.2",
    "confinement": "confined",
    "speed": 1500.0,
    "free_ram": 2.5,
    "free_disk": 50.0,
    "load": 0.25,
    "reliability": 0.9,
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('node.ram >= "2GiB" and "lab" in node.labels and not node.os == "windows"', True),
        ('node.ram >= "8GiB"', True),
        ('node.ram > "8192 MiB"', False),
        ("node.ram >= 8GiB", True),
        ("node.ram >= 8.5", False),
        ('node.disk >= "0.09TiB"', True),
        ('node.free_ram < "3GB"', True),
        ('"gpu" in node.labels or node.cores >= 4', True),
        ('"gpu" not in node.labels', True),
        ('node.arch in ["arm64", "x86_64"]', True),
        ('node.arch not in ["arm64"]', True),
        ("node.cores in [1, 2]", False),
        ("node.gpus == []", True),
        ("node.gpus != []", False),
        ('node.version >= "0.9"', True),
        ('node.version < "0.10.2"', False),
        ("node.load < 0.5 and (node.speed > 2000 or node.reliability >= 0.9)", True),
        ("not (node.load < 0.5 and node.speed > 1000)", False),
        ('node.confinement == "confined" and "wasm" in node.runtimes', True),
        ("node.free_ram < node.ram", True),
        ("node.owner == 'ann' and node.id != \"REX-000000\"", True),
    ],
)
def test_it_says_what_it_says(text: str, holds: bool) -> None:
    assert parse(text).holds(NODE) is holds


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ('node.rma > "2GiB"', 1, "did you mean node.ram?"),
        ('"lab" in node.lables', 10, "did you mean node.labels?"),
        ("ram > 2", 1, "did you mean node.ram?"),
        ("node.ram = 2", 10, "write == to compare"),
        ('node.ram > "2Gib"', 12, "did you mean GiB?"),
        ('node.os == "linux', 12, "ends with the quote it began with"),
        ('node.os < "linux"', 9, "use == or !="),
        ("node.cores > 2GiB", 14, "write it as 2"),
        ("node.labels == 3", 13, "ask for one of it"),
        ('"a" in node.os', 5, "needs a list on its right"),
        ("node.ram > node.cores", 12, "compares node.cores with a size"),
        ("1 < 2", 1, "name one of the node's"),
        ("node.ram", 9, "a comparison"),
        ("(node.ram > 1", 14, "`)`"),
        ("node.ram > 1 node.ram > 2", 14, "the end"),
        ('node.arch in ["a", 1]', 20, "mixes kinds"),
        ("__import__('os')", 1, "expected"),
        ("node.labels.append > 1", 1, "which there is not"),
        ("  ", 1, "is empty"),
        ("node.ram > 1 and " * 100 + "node.ram > 1", LENGTH_MAX + 1, "shorten it"),
        ("(" * (DEPTH_MAX + 1) + "node.ram > 1" + ")" * (DEPTH_MAX + 1), DEPTH_MAX + 2, "simplify it"),
    ],
)
def test_what_it_does_not_understand_it_refuses_with_the_column(text: str, column: int, says: str) -> None:
    with pytest.raises(WrongExpression) as refused:
        parse(text)
    assert says in refused.value.message
    assert refused.value.column == column


def test_only_the_parts_that_fail_are_named_with_the_values_they_found() -> None:
    parsed = parse('node.cores >= 4 and node.ram >= "16GiB" and ("gpu" in node.labels or node.load > 0.5)')
    assert parsed.failing(NODE) == [
        'node.ram >= "16GiB" (ram is 8 GiB)',
        '("gpu" in node.labels or node.load > 0.5) (labels is [lab, quiet], load is 0.25)',
    ]
    assert parse("node.cores >= 4").failing(NODE) == []


def test_whether_its_answer_may_change_is_known() -> None:
    assert parse("node.free_ram > 1").is_live
    assert not parse("node.ram > 1").is_live


SIGNS = ["==", "!=", "<", ">", "in", "not", "and", "or", "(", ")", "[", "]", ",", "="]
WORDS = [*("node." + name for name in NAMES), *SIGNS, '"', '"a"', "1", "2GiB", '"2GiB"', "x", ".", "é"]


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.text(max_size=40))
def test_any_text_is_either_refused_or_answers_yes_or_no(text: str) -> None:
    try:
        parsed = parse(text)
    except WrongExpression as refused:
        column = refused.column
    else:
        column = 1
        assert parsed.holds(NODE) is (not parsed.failing(NODE))
    assert 1 <= column <= len(text) + 1
