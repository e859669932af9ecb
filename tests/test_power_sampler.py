"""When sensors are read, and how seldom."""

import time

import pytest

from benchmarks.meter_accuracy import run_sampler
from jaxpower.power import Monitor, Reading, SensorModel, SimulatedSource
from jaxpower.power.sampler import Sampler
from jaxpower.power.waveform import Square
from tests.power_histories import history_of

SENSOR = SensorModel(
  energy_period=0.1, power_period=0.1, power_window=0.025, quantum=1e-3
)
WORK = Square(150.0, 500.0, 0.37, 0.6)


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


def test_a_fixed_interval_is_kept():
  source = SimulatedSource(100.0, sensor=SensorModel(energy_period=0.02))
  with Monitor([source], interval_seconds=0.05) as monitor:
    time.sleep(0.5)
    reads = len(monitor.timeline())
  assert 5 <= reads <= 14


def test_a_source_that_raises_is_a_failed_read():
  class Broken(SimulatedSource):
    def read(self) -> tuple[Reading]:
      raise OSError("the cable is out")

  sampler = Sampler([Broken(100.0)])
  sampler.poll()
  assert sampler.histories[0].gaps[0].reason == "OSError: the cable is out"


def test_the_simulated_run_is_repeatable():
  first, _ = run_sampler(WORK, SENSOR, 5.0, 3)
  second, _ = run_sampler(WORK, SENSOR, 5.0, 3)
  assert first.histories[0].points == second.histories[0].points
