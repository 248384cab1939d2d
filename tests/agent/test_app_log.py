"""The log of a replica: whole lines at a bounded rate; what is dropped is said; kept while nobody listens."""

import time
from types import SimpleNamespace

import pytest

from anchor.agent.apps import app_log
from anchor.agent.apps.app_log import AppLog


def texts(log: AppLog) -> list[str]:
    return "".join(chunk.text for chunk in log.taken(1 << 30)).splitlines()


def test_pieces_become_lines_in_order_and_a_last_one_without_an_end_is_kept() -> None:
    log = AppLog(1, 2)
    assert log.write("stdout", "one\ntw")
    assert log.write("stderr", "err\n")
    assert log.write("stdout", "o\nthr")
    assert texts(log) == ["one", "err", "two"]
    log.write("stdout", "ee")
    log.finish()
    chunks = log.taken(1 << 30)
    assert [(chunk.task, chunk.attempt, chunk.stream, chunk.text) for chunk in chunks] == [(1, 2, "stdout", "three\n")]
    assert not log.waits


def test_numbers_rise_also_after_the_agent_was_started_anew() -> None:
    first, seen = AppLog(1, 1), []
    for log in (first, AppLog(1, 1)):
        for number in range(3):
            log.write("stdout", f"{number}\n")
            seen += [chunk.seq for chunk in log.taken(1 << 20)]
    assert seen == sorted(set(seen))


def test_a_long_line_is_cut_once_and_the_next_is_whole() -> None:
    log = AppLog(1, 1)
    for _ in range(10):
        log.write("stdout", "x" * app_log.LINE_CHARACTERS_MAX)
    log.write("stdout", "the end of it\nnext\n")
    cut, following = texts(log)
    assert len(cut) < app_log.LINE_CHARACTERS_MAX + 100
    assert cut.endswith("(cut at 8,192 characters)")
    assert following == "next"


def test_a_flood_is_bounded_counted_and_does_not_hold_back_what_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(app_log, "time", SimpleNamespace(monotonic=lambda: now[0], time_ns=time.time_ns))
    log = AppLog(1, 1)
    line = "y" * 999 + "\n"
    kept = [log.write("stdout", line) for _ in range(1000)]
    assert kept.count(True) == app_log.BURST_BYTES // 1000
    assert kept[-1] is False
    now[0] += 1
    assert log.write("stdout", "later\n")
    said = texts(log)
    assert said[-2:] == ["738 lines (738,000 bytes) were dropped here: a log keeps 64 KiB a second", "later"]
    assert log.tail().endswith("later"), "what explains an end is seen whether or not it was kept"


def test_while_nobody_listens_the_newest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(app_log, "time", SimpleNamespace(monotonic=lambda: now[0], time_ns=time.time_ns))
    log = AppLog(1, 1)
    for number in range(2000):
        now[0] += 1
        log.write("stdout", f"{number} {'z' * 990}\n")
    said = texts(log)
    assert said[-1].startswith("1999 ")
    assert 400 < len(said) <= app_log.KEPT_BYTES_MAX // 990
    assert len(log.taken(1 << 30)) == 0
