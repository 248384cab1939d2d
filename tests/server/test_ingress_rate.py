"""How fast the bytes of an app may pass."""

import time

import pytest

from anchor.server.ingress import rate as rates
from anchor.server.ingress.rate import Rate


def test_a_quarter_of_a_second_passes_at_once_and_the_rest_as_fast_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(rates.time, "monotonic", lambda: now)
    rate = Rate(1000)
    assert rate.owed(200) == 0
    assert rate.owed(100) == pytest.approx(0.05)
    assert rate.owed(1000) == pytest.approx(1.05)
    now += 1.05
    assert rate.owed(100) == pytest.approx(0.1)
    now += 3600
    assert rate.owed(350) == pytest.approx(0.1), "more than a quarter of a second's was saved up"
