"""The rhythm of a counter, learned from reads at known instants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower.power.ticks import Tracker


@given(
  st.floats(0.015, 0.2),
  st.floats(0, 0.2),
  st.floats(0.0005, 0.004),
)
def test_the_tracker_finds_period_and_phase(period, phase, poll):
  tracker = Tracker()
  now = 10.0
  while now < 10.0 + 12 * period + phase:
    tracker.observe(now, now, float(int((now - phase) / period)))
    now += poll
  assert tracker.period == pytest.approx(period, rel=0.1, abs=poll / 4)
  assert tracker.last is not None
  off = (tracker.last.seconds - phase) % period
  assert min(off, period - off) <= tracker.last.error + 1e-6
