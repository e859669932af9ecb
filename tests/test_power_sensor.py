"""What a sensor is like, found out from what it said."""

import random

import pytest

from jaxpower.power import SensorModel
from jaxpower.power.sensor import (
  averaging_window,
  characterise,
  is_resonant,
  locking,
  missed_watts,
  possible_locking,
  step_period,
)
from jaxpower.power.waveform import Constant
from tests.power_histories import history_of


@pytest.mark.parametrize("period", [0.02, 0.05, 0.1, 0.25])
def test_the_update_period_is_found(period):
  facts = characterise(history_of(SensorModel(energy_period=period)))
  assert facts["counter_period_seconds"] == pytest.approx(period, rel=0.02)
  assert facts["counter_continuous"] is False


@pytest.mark.parametrize(
  ("period", "window"), [(0.02, 0.5), (0.1, 0.5), (0.1, 1.0)]
)
def test_the_averaging_window_is_inferred_from_the_counter(period, window):
  sensor = SensorModel(period, 0.1, power_window=window)
  history = history_of(sensor)
  inferred = averaging_window(
    history.points,
    history.energies,
    history.power_points,
    history.power_watts,
  )
  assert inferred == window


def test_steady_power_tells_no_averaging_window():
  history = history_of(
    SensorModel(0.02, 0.1, power_window=0.1), Constant(200.0)
  )
  assert characterise(history)["power_window_seconds"] is None


def test_steps_have_a_rhythm_or_none():
  assert step_period([i * 0.1 for i in range(20)]) == pytest.approx(0.1)
  assert step_period([0.0, 0.1, 0.2]) is None
  dice = random.Random(1)
  assert step_period([dice.uniform(0, 9) for _ in range(20)]) is None


@pytest.mark.parametrize(
  ("period", "resonant"),
  [(0.1, True), (0.05, True), (0.2, True), (0.083, False), (0.43, False)],
)
def test_resonance_is_a_matter_of_phases(period, resonant):
  samples = [0.03 + 0.1 * i for i in range(100)]
  assert is_resonant(locking(samples, 0.0, 10.0, period)) is resonant
  locked = possible_locking(0.1, 1e-5, 10.0, period)
  assert is_resonant(locked) is resonant


def test_a_period_known_badly_may_be_that_of_the_steps():
  assert not is_resonant(possible_locking(0.1, 1e-4, 10.0, 0.102))
  assert is_resonant(possible_locking(0.1, 2e-3, 10.0, 0.102))


def test_three_instants_of_a_step_miss_less_than_one():
  three = locking([0.03 + 0.1 * i for i in range(100)], 0.0, 10.0, 0.3)
  assert not is_resonant(three)
  assert 0 < missed_watts(three, 100.0) < missed_watts([1.0], 100.0) < 100.0


@pytest.mark.parametrize(
  ("period", "resonant"), [(0.1, True), (0.1003, True), (0.083, False)]
)
def test_a_short_window_is_judged_by_the_updates_around_it(period, resonant):
  samples = [0.03 + 0.1 * i for i in range(100)]
  assert is_resonant(locking(samples, 5.0, 5.25, period)) is resonant
  assert is_resonant(possible_locking(0.1, 1e-5, 0.25, period)) is resonant


def test_few_updates_tell_no_resonance():
  assert locking([0.03 + 0.1 * i for i in range(6)], 0.1, 0.3, 0.1) == []
