"""The period of ticks, fitted to the intervals they must lie in."""

import random

import pytest

from jaxpower.power.rhythm import Change, find_period, fit, longest_period


def changes(period, width, count=30, seed=0, held=0.7):
  """Ticks in a rhythm, each somewhere in an interval of that width."""
  dice = random.Random(seed)
  lows = [k * period - dice.random() * width for k in range(count)]
  return [Change(low, low + width, held * period) for low in lows]


@pytest.mark.parametrize("width", [0.02, 0.1, 0.2])
def test_the_period_agrees_with_all_intervals(width):
  for seed in range(5):
    found = find_period(changes(0.1, width * 0.1, seed=seed))
    assert found == pytest.approx(0.1, rel=0.06)


def test_no_period_is_longer_than_ticks_came_often():
  assert longest_period(changes(0.1, 0.02)) == pytest.approx(0.1, abs=0.02)


def test_intervals_longer_than_the_period_say_nothing():
  assert find_period(changes(0.1, 0.15)) is None


def test_a_value_that_was_never_seen_to_stay_has_no_period():
  assert find_period(changes(0.1, 0.004, held=0.0)) is None
  assert find_period(changes(0.1, 0.004, held=0.0), repeats=True) is not None


def test_no_rhythm_is_found_where_there_is_none():
  dice = random.Random(1)
  seconds = 0.0
  wild = []
  for _ in range(30):
    seconds += dice.expovariate(10.0)
    wild.append(Change(seconds, seconds + 2e-3))
  assert fit(wild, repeats=True) is None


def test_the_line_goes_through_the_ticks():
  rhythm = fit(changes(0.1, 0.004))
  assert rhythm is not None
  assert rhythm.period == pytest.approx(0.1, abs=rhythm.error)
  assert rhythm.instant == pytest.approx(29 * 0.1, abs=rhythm.doubt)
  assert rhythm.jitter < 0.002 and not rhythm.wanders
