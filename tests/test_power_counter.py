"""The pure arithmetic of energy between two instants."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.meter_accuracy import measure, summarise
from jaxpower.power.counter import from_counter
from jaxpower.power.waveform import (
  Steps,
)

watts = st.floats(1.0, 1000.0)
ticks = st.lists(
  st.tuples(st.floats(0.01, 0.5), watts), min_size=4, max_size=30
)


def points(steps):
  """Instants and cumulative joules of ticks given as (seconds, watts)."""
  seconds, joules = [0.0], [0.0]
  for span, power in steps:
    seconds.append(seconds[-1] + span)
    joules.append(joules[-1] + span * power)
  return seconds, joules


def counter(seconds, joules, start, end, **kwargs):
  errors = [0.0] * len(seconds)
  return from_counter(seconds, errors, joules, {}, start, end, **kwargs)


@given(ticks, st.tuples(*[st.floats(0, 1)] * 3))
def test_energy_adds_up_over_adjacent_windows(steps, parts):
  seconds, joules = points(steps)
  a, b, c = sorted(part * seconds[-2] for part in parts)
  first = counter(seconds, joules, a, b).joules
  second = counter(seconds, joules, b, c).joules
  whole = counter(seconds, joules, a, c).joules
  assert first is not None and second is not None and whole is not None
  assert first + second == pytest.approx(whole, rel=1e-9, abs=1e-6)


@given(ticks, st.tuples(*[st.floats(0, 1)] * 2))
def test_energy_never_falls_and_never_exceeds_the_ticks_around(steps, parts):
  seconds, joules = points(steps)
  a, b = sorted(part * seconds[-2] for part in parts)
  energy = counter(seconds, joules, a, b)
  assert energy.joules is not None and energy.bound is not None
  assert -1e-6 <= energy.joules <= joules[-1] + 1e-6
  assert energy.bound >= 0 and math.isfinite(energy.bound)


@given(watts, st.floats(0.2, 1.5), st.floats(0.1, 1.5))
def test_constant_power_is_exact_with_no_bound(power, start, length):
  seconds, joules = points([(0.1, power)] * 40)
  energy = counter(seconds, joules, start, start + length)
  assert energy.joules == pytest.approx(power * length, rel=1e-6)
  assert energy.bound == pytest.approx(0.0, abs=1e-6 * power)


def test_a_jump_inside_a_tick_is_put_where_the_energy_says():
  # 100 W until 0.43 s, then 500 W; ticks every 0.1 s.
  wave = Steps([100.0, 500.0], [0.43, 10.0])
  seconds = [i / 10 for i in range(12)]
  joules = [wave.joules(s) for s in seconds]
  for instant in (0.41, 0.43, 0.46, 0.49):
    energy = counter(seconds, joules, 0.2, instant)
    truth = wave.joules(instant) - wave.joules(0.2)
    assert energy.joules == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize(
  ("start", "end", "reason"),
  [
    (-0.1, 0.5, "before the first tick"),
    (0.1, 9.0, "no tick after its end"),
  ],
)
def test_outside_the_ticks_nothing_is_known(start, end, reason):
  seconds, joules = points([(0.1, 100.0)] * 10)
  energy = counter(seconds, joules, start, end)
  assert energy.joules is None and reason in energy.reasons[0]


def test_beyond_the_last_tick_the_power_goes_on_when_asked():
  seconds, joules = points([(0.1, 100.0)] * 10)
  energy = counter(seconds, joules, 0.2, 1.05, extrapolate=True)
  assert energy.joules == pytest.approx(85.0)
  assert energy.bound is not None and energy.bound > 1.0


def test_a_break_inside_is_unknown_and_outside_is_not():
  seconds, joules = points([(0.1, 100.0)] * 10)
  errors = [0.0] * len(seconds)
  broken = {5: "the counter fell back (reset)"}
  inside = from_counter(seconds, errors, joules, broken, 0.2, 0.8)
  outside = from_counter(seconds, errors, joules, broken, 0.55, 0.8)
  assert inside.joules is None and inside.reasons == (broken[5],)
  assert outside.joules == pytest.approx(25.0)


def test_beyond_the_last_tick_the_bar_grows_with_the_time():
  seconds, joules = points([(0.1, 100.0)] * 10)
  bounds = []
  for end in (1.02, 1.1, 2.0, 61.0):
    energy = counter(seconds, joules, 0.95, end, extrapolate=True)
    assert energy.bound is not None
    bounds.append(energy.bound)
  assert bounds == sorted(bounds)
  assert bounds[-1] > 0.5 * 60 * 100


@given(st.floats(0.01, 5.0), st.floats(0.01, 60.0))
def test_both_edges_beyond_the_last_tick_are_no_surer(start, length):
  seconds, joules = points([(0.1, 100.0)] * 10)
  begin = 1.0 + start
  energy = counter(seconds, joules, begin, begin + length, extrapolate=True)
  assert energy.joules == pytest.approx(100 * length, rel=1e-6)
  assert energy.bound is not None and energy.bound > 0.5 * 100 * length


def test_a_tick_known_badly_is_passed_over_where_power_is_even():
  seconds, joules = points([(0.1, 300.0)] * 40)
  errors = [0.001] * len(seconds)
  errors[20], seconds[20] = 0.03, seconds[20] + 0.02
  energy = from_counter(seconds, errors, joules, {}, 1.0, 2.06)
  assert energy.joules == pytest.approx(300 * 1.06, abs=1.0)


def test_a_step_of_power_may_have_been_shown_late():
  # From 100 to 500 W between the edges: a value 15 ms old is 6 J off.
  seconds, joules = points([(0.02, 100.0)] * 50 + [(0.02, 500.0)] * 50)
  step = counter(seconds, joules, 0.51, 1.51).bound
  flat = counter(seconds, joules, 0.11, 0.81).bound
  assert step is not None and flat is not None
  assert step > 5.5 > flat


def test_accuracy_and_honesty_of_the_bound():
  """A short form of benchmarks/meter_accuracy.py, with room for chance."""
  outcomes = [o for number in range(24) for o in measure(7, number)]
  row = summarise(outcomes)
  assert (row["unknown"] or 0) <= 0.02 * len(outcomes)
  assert (row["error_over_limit"] or 9) < 2.0
  assert (row["covered"] or 0) > 0.88
  assert (row["bound_over_error"] or 9) < 6.0
