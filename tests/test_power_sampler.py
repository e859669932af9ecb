"""When sensors are read, and how seldom."""

import time
from bisect import bisect_right
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.drawn_power import Power, Sensor
from benchmarks.meter_accuracy import (
  LOADS,
  START,
  Clock,
  DrawnSource,
  measure,
  run_sampler,
)
from jaxpower.power import Monitor, Reading, SensorModel, SimulatedSource
from jaxpower.power.sampler import Sampler
from jaxpower.power.waveform import Constant, Square
from tests.power_histories import history_of


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


def test_an_answer_that_cannot_be_digested_is_a_failed_read():
  class Garbled(SimulatedSource):
    def ask(self):
      return lambda: 1 / 0

  sampler = Sampler([Garbled(100.0)])
  sampler.poll()
  assert "ZeroDivisionError" in sampler.histories[0].gaps[0].reason


def test_chores_are_done_beside_reads_and_wake_nobody_of_their_own():
  clock, done, wakes = Clock(), [], 0
  sensor = SensorModel(energy_period=0.1, power_period=0.1)
  source = SimulatedSource(200.0, sensor=sensor, clock=clock)
  sampler = Sampler([source], clock=clock)
  sampler.add_chore(lambda: done.append(clock.now), 1.0)
  while clock.now < START + 30.0:
    clock.now = max(clock.now, sampler.poll()) + 1e-4
    wakes += clock.now > START + 10.0
  reads = sum(s > START + 10.0 for s in sampler.histories[0].seconds)
  assert 24 <= len(done) <= 31
  assert wakes == pytest.approx(reads, abs=2)


def test_chores_are_done_where_nothing_is_read():
  clock, done = Clock(), []
  sampler = Sampler([], clock=clock)
  sampler.add_chore(lambda: done.append(clock.now), 1.0)
  while clock.now < START + 10.0:
    clock.now = max(clock.now, sampler.poll())
  assert len(done) >= 6


def test_the_simulated_run_is_repeatable():
  assert measure(3, 5) == measure(3, 5)


def drawn(sensor, seconds=20.0, edges=(), load="quiet"):
  """The history of a sensor under an even power, and its ticks."""
  clock = Clock()
  power = Power(np.full(int((seconds + 8) * 1e3), 300.0), START - 3)
  source = DrawnSource(sensor, power, seconds, clock, 5)
  sampler = run_sampler([source], clock, seconds, 5, edges, LOADS[load])
  return sampler.histories[0], source.ticks


@pytest.mark.parametrize("load", ["load 2", "load 8"])
@pytest.mark.parametrize("period", [0.02, 0.061])
def test_a_busy_start_spoils_nothing_after_it(period, load):
  history, _ = drawn(Sensor(period), load=load)
  assert not history.continuous
  assert history.counter.period == pytest.approx(period, rel=0.002)
  late = [s for s in history.seconds if s > START + 12]
  assert len(late) / 8 < 12
  errors = history.errors[bisect_right(history.points, START + 12) :]
  assert max(errors) < 0.25 * period


@pytest.mark.parametrize(
  "sensor",
  [
    Sensor(0.061, jitter=0.16),
    Sensor(0.061, jitter=0.16, wanders=True),
    Sensor(0.033, call_seconds=8e-3),
    Sensor(0.1, call_seconds=8e-3),
  ],
)
def test_ticks_lie_where_they_are_said_to(sensor):
  edges = [START + 3 + i for i in range(15)]
  history, ticks = drawn(sensor, edges=edges)
  missed = 0
  first = bisect_right(history.points, START + 4)
  for i in range(first, len(history.points)):
    low = history.points[i] - history.errors[i] - 1e-6
    high = history.points[i] + history.errors[i] + 1e-6
    missed += bisect_right(ticks, high) == bisect_right(ticks, low)
  assert missed <= 0.08 * (len(history.points) - first)


@pytest.mark.parametrize(("period", "most"), [(0.02, 33), (0.1, 14)])
def test_many_edges_cost_few_reads_and_do_not_lose_the_phase(period, most):
  edges = [START + 3 + 0.05 * i for i in range(760)]
  history, ticks = drawn(Sensor(period), seconds=40.0, edges=edges)
  late = [s for s in history.seconds if START + 15 < s < START + 38]
  assert len(late) / 23 < most
  first = bisect_right(history.points, START + 15)
  errors = history.errors[first:]
  assert sum(errors) / len(errors) < 0.08 * period
  assert len(errors) / 23 > min(20.0, 0.9 / period)
  for seconds, error in zip(history.points[first:], errors, strict=True):
    i = bisect_right(ticks, seconds)
    nearest = min(abs(tick - seconds) for tick in ticks[i - 1 : i + 1])
    assert nearest <= error + 1e-6


def test_what_was_read_ahead_is_noted_when_somebody_asks():
  clock = Clock()
  sensor = SensorModel(energy_period=0.1, power_period=0.1)
  source = SimulatedSource(200.0, sensor=sensor, clock=clock)
  sampler = Sampler([source], clock=clock)
  (channel,) = sampler.channels
  behind = 0
  while clock.now < START + 10.0:
    clock.now = max(clock.now, sampler.poll()) + 1e-4
    noted = channel.histories[0].recording.count
    behind = max(behind, channel.reads - noted)
    if int(10 * clock.now) % 30 == 0:
      assert sampler.histories[0].recording.count == channel.reads
  assert behind > 2


def test_an_edge_wakes_nobody_where_the_next_tick_is_read_anyhow():
  clock = Clock()
  power = Power(np.full(20000, 300.0), START - 3)
  source = DrawnSource(Sensor(0.1), power, 8.0, clock, 5)
  sampler = Sampler([source], clock=clock)
  edge, woken, edges = START + 3.0, 0, 0
  while clock.now < START + 7.0:
    due = sampler.poll()
    if edge < due:
      clock.now = max(clock.now, edge)
      sampler.nudge()
      woken, edges = woken + sampler._nudged, edges + 1
      edge += 0.03
    else:
      clock.now = max(clock.now, due) + 1e-4
  assert edges > 120
  assert woken < edges / 2


def test_moving_power_is_looked_at_closely_once():
  clock, power = Clock(), Square(100.0, 500.0, 0.37)
  sensor = SensorModel(energy_period=0.02, power_period=0.1)
  source = SimulatedSource(power, sensor=sensor, clock=clock)
  sampler = Sampler([source], clock=clock)
  while clock.now < START + 30.0:
    clock.now = max(clock.now, sampler.poll()) + 1e-4
  (history,) = sampler.histories
  assert history.lag == 0.0
  late = [s for s in history.seconds if s > START + 10]
  assert len(late) / 20 < 12


def test_a_value_that_never_moves_is_read_seldom():
  sensor = SensorModel(power_period=0.1, has_counter=False)
  history = history_of(sensor, Constant(70.0), seconds=60.0)
  late = [s for s in history.seconds if s > 1030.0]
  assert 5 < len(late) / 30 < 26
  assert max(b - a for a, b in pairwise(late)) < 0.3
