"""The ticks of a counter, found from reads at known instants."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxpower.power.ticks import Tracker


def poll(tracker, value, start, end, wait):
  """Reads at once, then waits; returns the instant of the next read."""
  now = start
  while now < end:
    tracker.observe(now, now, value(now))
    now += wait()
  return now


def steady(period, phase=0.0):
  return lambda now: float((now - phase) // period)


def off(seconds, period, phase=0.0):
  away = (seconds - phase) % period
  return min(away, period - away)


@settings(deadline=None)
@given(
  st.floats(0.015, 0.2),
  st.floats(0, 0.2),
  st.floats(0.0005, 0.0025),
)
def test_the_tracker_finds_period_and_phase(period, phase, interval):
  tracker = Tracker()
  poll(
    tracker,
    steady(period, phase),
    10.0,
    10.0 + 14 * period + phase,
    lambda: interval,
  )
  assert tracker.period == pytest.approx(period, rel=0.1, abs=interval / 4)
  assert tracker.last is not None
  late = off(tracker.last.seconds, period, phase)
  assert late <= tracker.last.error + 1e-6


@pytest.mark.parametrize("late", [0.01, 0.03])
@pytest.mark.parametrize("period", [0.02, 0.1])
def test_reads_that_come_late_teach_no_wrong_period(period, late):
  for seed in range(4):
    dice = random.Random(seed)
    tracker = Tracker()
    now = poll(
      tracker,
      steady(period),
      10.0,
      12.0,
      lambda dice=dice: 2e-3 + dice.expovariate(1 / late),
    )
    tracker.end_learning()
    assert not tracker.continuous
    poll(tracker, steady(period), now, now + 30 * period, lambda: 2e-3)
    if tracker.astray:  # what was learned was wrong, and is seen to be
      tracker.forget()
      now += 30 * period
      poll(tracker, steady(period), now, now + 30 * period, lambda: 2e-3)
    assert tracker.period == pytest.approx(period, rel=0.02)


def test_a_value_that_moves_at_every_close_read_is_continuous():
  tracker = Tracker()
  poll(tracker, lambda now: now, 10.0, 10.5, lambda: 2e-3)
  tracker.end_learning()
  assert tracker.continuous


def test_one_that_moves_at_every_distant_read_need_not_be():
  tracker = Tracker()
  poll(tracker, steady(0.02), 10.0, 13.0, lambda: 0.03)
  tracker.end_learning()
  assert not tracker.continuous


def learned(period, stray=lambda k: 0.0, seconds=2.0):
  """A tracker that followed ticks which stray from their rhythm."""
  ticks = [10.0 + k * period + stray(k) for k in range(int(seconds / period))]
  tracker = Tracker()
  now, k = 10.0 + period, 0
  while now < 10.0 + seconds - 2 * period:
    while ticks[k + 1] <= now:
      k += 1
    tracker.observe(now, now, float(k))
    now += 2e-3
  return tracker


@pytest.mark.parametrize("share", [0.0, 0.16])
def test_jitter_is_learned(share):
  dice = random.Random(2)
  tracker = learned(
    0.06, lambda _: 0.06 * share * dice.uniform(-1, 1), seconds=4.0
  )
  assert tracker.period == pytest.approx(0.06, rel=0.02)
  assert tracker.jitter / 0.06 == pytest.approx(max(0.01, share), abs=0.06)
  assert not tracker.wanders


def test_jitter_that_adds_up_is_told_apart():
  dice, total = random.Random(1), [0.0]

  def walk(_):
    total[0] += 0.06 * 0.16 * dice.uniform(-1, 1)
    return total[0]

  tracker = learned(0.06, walk, seconds=4.0)
  assert tracker.wanders
  assert tracker.reach(25) > 4 * tracker.reach(1) - 0.06 * 0.16


def test_a_read_that_takes_long_may_show_a_value_as_old_as_its_begin():
  tracker = learned(0.02)
  # A tick falls at 12.00; the call took its value before, at 11.985.
  now = 11.95
  tracker.observe(now, now, 96.0)
  tick = tracker.observe(11.985, 12.012, 98.0)
  assert tick is not None
  assert tick.seconds - tick.error <= 11.98 <= tick.seconds + tick.error


def test_ticks_where_none_was_due_are_astray():
  tracker = learned(0.02)
  assert not tracker.astray
  poll(tracker, steady(0.027), 12.0, 13.0, lambda: 2e-3)
  assert tracker.astray
  tracker.forget()
  poll(tracker, steady(0.027), 13.0, 14.0, lambda: 2e-3)
  assert tracker.period == pytest.approx(0.027, rel=0.01)


def test_the_tick_before_is_known_better_once_the_next_is():
  tracker = learned(0.1, seconds=3.0)
  tracker.observe(13.02, 13.02, 30.0)
  vague = tracker.last
  tracker.observe(13.099, 13.099, 30.0)
  tick = tracker.observe(13.1005, 13.1005, 31.0)
  assert tick is not None and vague is not None
  earlier = tracker.earlier or vague
  assert abs(earlier.seconds - 13.0) <= earlier.error
  assert earlier.error <= vague.error


def test_power_that_stays_has_the_rhythm_of_its_updates():
  # It changes at the 3rd, 7th, 9th ... of the updates every 100 ms only.
  dice = random.Random(4)
  numbers = [0]
  while len(numbers) < 30:
    numbers.append(numbers[-1] + dice.choice((2, 3, 4, 5)))

  def value(now):
    return float(sum(0.1 * n <= now - 10.0 for n in numbers))

  tracker = Tracker(repeats=True)
  poll(tracker, value, 10.0, 16.0, lambda: 2e-3)
  assert tracker.period == pytest.approx(0.1, rel=0.02)
