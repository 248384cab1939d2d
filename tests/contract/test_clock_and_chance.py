"""Time goes forwards only, from where it was; chance is fair enough."""

import time

from anchor.adapters.local.clock import SystemChance, SystemClock


def test_the_clock_tells_unix_milliseconds():
    assert abs(SystemClock().now() - time.time() * 1000) < 1000


def test_the_clock_never_runs_backwards():
    clock = SystemClock()
    readings = [clock.now() for _ in range(10_000)]
    assert readings == sorted(readings)


def test_setting_the_wall_clock_back_moves_nothing(monkeypatch):
    clock = SystemClock()
    before = clock.now()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert before <= clock.now() < before + 60_000


def test_a_clock_that_lags_behind_goes_on_from_what_was_written():
    ahead = time.time_ns() // 1_000_000 + 3_600_000
    assert ahead <= SystemClock(not_before_ms=ahead).now() < ahead + 60_000


def test_chance_is_within_bounds_and_varied():
    chance = SystemChance()
    drawn = [chance.random() for _ in range(1000)]
    assert all(0 <= number < 1 for number in drawn)
    assert len(set(drawn)) > 900
    assert len({chance.randbytes(16) for _ in range(100)}) == 100
    assert len(chance.randbytes(7)) == 7
