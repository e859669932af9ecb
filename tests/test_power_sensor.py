"""What a sensor is like, found out from what it said."""

import random

import pytest

from benchmarks.meter_accuracy import Clock
from jaxpower.power import SensorModel, SimulatedSource
from jaxpower.power.sampler import Sampler
from jaxpower.power.sensor import (
  averaging_window,
  characterise,
  is_resonant,
  step_period,
)
from jaxpower.power.waveform import Constant, Steps


def history_of(sensor, power=None, seconds=20.0):
  dice = random.Random(3)
  levels = [dice.uniform(100, 600) for _ in range(60)]
  spans = [dice.uniform(0.05, 0.9) for _ in range(60)]
  clock = Clock()
  source = SimulatedSource(
    power or Steps(levels, spans), sensor=sensor, clock=clock
  )
  sampler = Sampler([source], clock=clock)
  while clock.now < 1000 + seconds:
    clock.now = max(clock.now, sampler.poll()) + dice.expovariate(1e4)
  return sampler.histories[0]


@pytest.mark.parametrize("period", [0.02, 0.05, 0.1, 0.25])
def test_the_update_period_is_found(period):
  told = characterise(history_of(SensorModel(energy_period=period)))
  assert told["counter_period_seconds"] == pytest.approx(period, rel=0.02)
  assert told["counter_continuous"] is False


@pytest.mark.parametrize(
  ("sensor", "most"),
  [
    (SensorModel(energy_period=0.02, power_period=0.1), 10),
    (SensorModel(energy_period=0.1, power_period=0.1), 10),
    (SensorModel(power_period=0.1, has_counter=False), 35),
  ],
)
def test_few_reads_are_spent_once_the_rhythm_is_known(sensor, most):
  history = history_of(sensor, seconds=60.0)
  late = [s for s in history.seconds if s > 1010.0]
  assert 4 < len(late) / 50.0 < most


@pytest.mark.parametrize("period", [0.02, 0.1])
def test_the_phase_is_kept_although_few_ticks_are_read(period):
  sensor = SensorModel(energy_period=period, phase=0.007)
  history = history_of(sensor, seconds=60.0)
  for seconds, error in list(zip(history.points, history.errors, strict=True))[
    -50:
  ]:
    off = (seconds - 1000.007) % period
    assert min(off, period - off) <= error + 1e-6
    assert error < 0.1 * period


@pytest.mark.parametrize(
  ("period", "window"), [(0.02, 0.5), (0.1, 0.5), (0.1, 1.0)]
)
def test_the_averaging_window_is_inferred_from_the_counter(period, window):
  sensor = SensorModel(period, 0.1, power_window=window)
  history = history_of(sensor)
  told = averaging_window(
    history.points,
    history.energies,
    history.power_points,
    history.power_watts,
  )
  assert told == window


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
  [(0.1, True), (0.05, True), (0.2, False), (0.083, False)],
)
def test_resonance_is_a_matter_of_phases(period, resonant):
  samples = [0.03 + 0.1 * i for i in range(100)]
  assert is_resonant(samples, 0.0, 10.0, period) is resonant
