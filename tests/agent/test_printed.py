"""What an attempt prints: numbered in order, the newest share of the work only, and never more than can be kept."""

import sys

import pytest

from anchor.agent import printed
from anchor.agent.printed import Printed
from anchor.core.progress import progress_text
from anchor.wire.link import Chunk, Held


def said(chunks: list[Chunk]) -> list[tuple[int, str, str]]:
    return [(chunk.seq, chunk.stream, chunk.text) for chunk in chunks]


def test_output_is_sent_once_in_order_and_again_where_the_line_was_lost() -> None:
    output = Printed(Held(7, 2))
    for stream, text in (("stdout", "a"), ("stdout", "b\n"), ("stderr", "c\n"), ("stdout", "d\n")):
        output.add(stream, text)
    first = [(1, "stdout", "ab\n"), (2, "stderr", "c\n"), (3, "stdout", "d\n")]
    assert said(output.unsent()) == first
    assert output.unsent() == []
    output.add("stdout", "e\n")
    assert said(output.unsent()) == [(4, "stdout", "e\n")]
    output.unsend()
    assert said(output.unsent()) == [*first, (4, "stdout", "e\n")]
    assert output.bytes == 9


def test_of_shares_of_the_work_done_only_the_newest_is_sent_and_kept() -> None:
    output = Printed(Held(7, 2))
    for share in range(100):
        output.add("progress", progress_text(share / 100, "working"))
    output.add("stdout", "so far\n")
    output.add("progress", progress_text(1.0))
    assert said(output.unsent()) == [(1, "stdout", "so far\n"), (2, "progress", "100%\n")]
    output.add("progress", progress_text(0.5))
    assert said(output.unsent()) == [(3, "progress", "50%\n")]
    assert said(output.kept) == [(1, "stdout", "so far\n"), (3, "progress", "50%\n")]


def test_what_an_installer_says_is_no_share_and_kept() -> None:
    output = Printed(Held(7, 2))
    output.add("progress", "Installing numpy\n")
    output.add("progress", progress_text(0.1))
    output.add("progress", "Installed numpy\n")
    assert said(output.unsent()) == [
        (1, "progress", "Installing numpy\n"),
        (2, "progress", "10%\n"),
        (3, "progress", "Installed numpy\n"),
    ]


def test_a_long_text_is_cut_into_pieces() -> None:
    output = Printed(Held(7, 2))
    output.add("stdout", "x" * (printed.CHUNK_CHARS_MAX + 1))
    assert [(chunk.seq, len(chunk.text)) for chunk in output.unsent()] == [(1, printed.CHUNK_CHARS_MAX), (2, 1)]


def test_letters_that_alternate_between_streams_stay_few_pieces_and_lose_nothing() -> None:
    output = Printed(Held(7, 2))
    for _ in range(100_000):
        output.add("stdout", "a")
        output.add("stderr", "b")
    chunks = output.unsent()
    assert len(chunks) <= printed.PIECES_PER_GATHERING_MAX + 20
    assert sum(len(chunk.text) for chunk in chunks) == 200_000


def test_an_attempt_that_prints_without_end_is_heard_less_often_and_at_last_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(printed, "CHUNKS_BRISK", 10)
    monkeypatch.setattr(printed, "CHUNKS_KEPT_MAX", 20)
    output = Printed(Held(7, 2))
    for number in range(30):
        assert output.rests == (number > 10)
        output.add("stdout", "x\n")
        output.unsent()
    assert len(output.kept) == 20
    assert output.truncated
    output.add("progress", progress_text(0.5))
    assert [chunk.text for chunk in output.unsent()] == ["50%\n"]


def test_the_most_that_is_kept_of_pieces_is_little_memory() -> None:
    chunk = Chunk(1 << 62, 1, 1 << 20, 1 << 41, "stdout", "x")
    each = sys.getsizeof(chunk) + sys.getsizeof(chunk.text) + sys.getsizeof(chunk.at) + sys.getsizeof(chunk.seq) + 8
    assert each * printed.CHUNKS_KEPT_MAX < 32 * 1024 * 1024
