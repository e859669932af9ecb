"""Energy from readings of power, and what they are taken to have missed."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower.power.integral import FLOOR, from_power

watts = st.floats(1.0, 1000.0)


@given(watts, st.floats(0.0, 0.9), st.floats(0.05, 0.9))
def test_constant_power_is_integrated_exactly(power, start, length):
  seconds = [i / 10 for i in range(25)]
  energy = from_power(seconds, [power] * 25, start, start + length)
  assert energy.joules == pytest.approx(power * length, rel=1e-9)


def test_a_ramp_is_integrated_exactly_with_interpolated_edges():
  seconds = [i / 10 for i in range(25)]
  ramp = [100 + 50 * s for s in seconds]
  energy = from_power(seconds, ramp, 0.33, 1.77)
  truth = 100 * 1.44 + 25 * (1.77**2 - 0.33**2)
  assert energy.joules == pytest.approx(truth, rel=1e-9)


def test_a_hole_in_the_power_is_unknown():
  seconds = [0.0, 0.1, 2.5, 2.6]
  energy = from_power(seconds, [100.0] * 4, 0.05, 2.55, gap=1.0)
  assert energy.joules is None and "no power reading for" in energy.reasons[0]


def bound(watts):
  seconds = [i / 10 for i in range(len(watts))]
  half_width = from_power(seconds, watts, 6.0, 16.0).bound
  assert half_width is not None
  return half_width


def test_a_rhythm_cancels_where_chance_adds_up():
  # A swing of 370 ms read every 100 ms, and the same readings shuffled.
  rhythm = [350 + 200 * math.sin(2 * math.pi * i / 3.7) for i in range(220)]
  chance = random.Random(1).sample(rhythm, len(rhythm))
  assert bound(rhythm) < 0.6 * bound(chance)


def test_a_rhythm_in_resonance_with_the_sensor_is_not_taken_to_cancel():
  resonant = [500.0 if i % 2 else 200.0 for i in range(220)]
  drifting = [350 + 150 * math.sin(2 * math.pi * i / 3.7) for i in range(220)]
  assert bound(resonant) > 2 * bound(drifting)


def test_a_power_that_stays_is_known_to_the_floor():
  assert bound([300.0] * 220) == pytest.approx(FLOOR * 3000.0)


def test_white_power_is_unseen_by_chance():
  """Truth of many draws of power that a reading sees a quarter of."""
  covered = widths = errors = 0.0
  for seed in range(60):
    dice = random.Random(seed)
    parts = [dice.gauss(300, 80) for _ in range(4 * 220)]
    readings = parts[3::4]
    seconds = [0.1 * (i + 1) for i in range(220)]
    energy = from_power(seconds, readings, 6.0, 16.0)
    truth = sum(parts[4 * 60 : 4 * 160]) * 0.025
    assert energy.joules is not None and energy.bound is not None
    error = abs(energy.joules - truth)
    covered += error <= energy.bound
    widths, errors = widths + energy.bound, errors + error
  assert covered >= 51
  assert widths < 5 * errors


def test_a_long_average_is_unsure_of_its_edges():
  swing = [350 + 200 * math.sin(2 * math.pi * i / 37) for i in range(220)]
  seconds = [i / 10 for i in range(220)]
  plain = from_power(seconds, swing, 6.0, 8.0)
  smooth = from_power(seconds, swing, 6.0, 8.0, window=1.0)
  assert plain.joules == smooth.joules
  assert plain.bound is not None and smooth.bound is not None
  assert smooth.bound > 2 * plain.bound


def test_both_edges_of_a_short_window_lie_in_one_average():
  swing = [350 + 200 * math.sin(2 * math.pi * i / 37) for i in range(220)]
  seconds = [i / 10 for i in range(220)]
  short = from_power(seconds, swing, 6.0, 6.1, window=1.0)
  long = from_power(seconds, swing, 6.0, 8.0, window=1.0)
  assert short.bound is not None and long.bound is not None
  assert 0.1 * long.bound < short.bound < 0.6 * long.bound
