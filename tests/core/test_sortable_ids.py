"""Keys rise with time, never repeat on one server, and their texts sort as they do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.core.errors import NotFound
from anchor.core.ids import KeySequence, born_ms, key_of, keys_from, wire_id

keys = st.integers(0, (1 << 63) - 1)
NOW = 1_790_000_000_000


@given(keys)
def test_a_key_comes_back_from_its_text(key: int) -> None:
    assert key_of("task", wire_id("task", key)) == key


@given(keys, keys)
def test_texts_sort_as_their_keys_do(one: int, other: int) -> None:
    assert (wire_id("task", one) < wire_id("task", other)) == (one < other)


def test_a_text_says_what_it_is_the_id_of() -> None:
    assert wire_id("task", 17) == "task_000000000000h"


@pytest.mark.parametrize(
    "text",
    [
        "", "task_", "task_1", "000000000000h", "dag_000000000000h", "task_000000000000H", "task_000000000000i",
        "task_0000000000000h", "task_zzzzzzzzzzzzz", "task_00000000000\N{ARABIC-INDIC DIGIT ONE}h",
    ],
)  # fmt: skip
def test_a_text_that_is_no_id_of_this_kind_is_not_found(text: str) -> None:
    with pytest.raises(NotFound, match="There is no task"):
        key_of("task", text)


def test_an_absurdly_long_id_is_not_repeated_in_full() -> None:
    with pytest.raises(NotFound) as caught:
        key_of("task", "task_" + "x" * 10_000)
    assert len(str(caught.value)) < 100
    assert "task_0000000000000" in caught.value.hint


@given(st.lists(st.tuples(st.integers(1, 5_000), st.integers(0, 50)), min_size=1, max_size=20), st.integers(0, 255))
def test_keys_rise_and_never_repeat_however_many_are_taken_however_fast(
    takes: list[tuple[int, int]], server: int
) -> None:
    sequence, now, last = KeySequence(server), NOW, -1
    for count, pause_ms in takes:
        now += pause_ms
        taken = sequence.take(count, now_ms=now)
        assert len(taken) == count
        assert taken[0] > last
        assert taken == keys_from(taken[0], count)
        last = taken[-1]


def test_a_key_remembers_when_it_was_handed_out() -> None:
    [key] = KeySequence(1).take(1, now_ms=NOW)
    assert born_ms(key) == NOW
    assert 0 < key < 1 << 63


def test_a_clock_that_runs_backwards_repeats_nothing() -> None:
    sequence = KeySequence(1)
    before = sequence.take(10, now_ms=NOW)
    after = sequence.take(10, now_ms=NOW - 60_000)
    assert after[0] > before[-1]


def test_a_restarted_server_goes_on_above_its_last_key() -> None:
    before = KeySequence(1).take(10_000, now_ms=NOW)
    after = KeySequence(1, last_key=before[-1]).take(1, now_ms=NOW)
    assert after[0] > before[-1]


def test_two_servers_never_hand_out_the_same_key() -> None:
    one, two = KeySequence(1).take(5_000, now_ms=NOW), KeySequence(2).take(5_000, now_ms=NOW)
    assert not set(one) & set(two)


def test_the_layout_of_a_key_never_changes_for_it_is_written_in_every_store() -> None:
    assert list(KeySequence(5).take(2, now_ms=NOW)) == [NOW << 20 | 5, NOW << 20 | 1 << 8 | 5]
