"""A recorded timeline gives the energy it was recorded with."""

import pytest

from benchmarks.meter_accuracy import Clock
from jaxpower.power import MeterError, Monitor, ReplaySource, Sample
from jaxpower.power.sampler import Sampler
from jaxpower.power.simulated import SimulatedSource
from jaxpower.power.window_energy import energy_of

GPU = "GPU-5c1d3f0e-8a9b-4c7d-9e2f-0b6a1d2c3e4f"


def recording(power=200.0, period=0.05, seconds=10.0):
  rows = []
  for i in range(round(seconds / 0.01)):
    now = 77.0 + i * 0.01
    ticks = int((now - 77.0) / period + 1e-9)
    rows.append(Sample(GPU, now, ticks * period * power, power))
  return rows


def test_a_recorded_counter_is_measured_as_if_it_ran_now():
  clock = Clock()
  source = ReplaySource(recording(), GPU, clock=clock)
  sampler = Sampler([source], clock=clock)
  while clock.now < 1009.0:
    clock.now = max(clock.now, sampler.poll()) + 1e-4
  energy = energy_of(sampler.histories[0], 1003.0, 1006.0)
  assert energy.joules == pytest.approx(600.0, rel=0.02)
  assert source.domains[0].method == "counter"


def test_after_the_recording_nothing_is_known():
  clock = Clock()
  source = ReplaySource(recording(seconds=1.0), GPU, clock=clock)
  clock.now += 5.0
  (reading,) = source.read()
  assert reading.joules is None
  assert reading.failure == "the recorded timeline is over"


def test_a_recording_without_counter_is_power():
  rows = [Sample(GPU, float(i), None, 100.0) for i in range(5)]
  assert ReplaySource(rows, GPU).domains[0].method == "power_instant"


def test_an_unknown_domain_names_the_known_ones():
  with pytest.raises(MeterError, match=GPU):
    ReplaySource(recording(), "GPU-nothere")


def test_a_monitors_own_timeline_can_be_replayed():
  with Monitor([SimulatedSource(100.0)]) as monitor:
    monitor.measure("train", sum, range(100_000))
  source = ReplaySource(monitor.timeline(), GPU)
  description = source.describe()
  assert description["samples"] == len(monitor.timeline())
