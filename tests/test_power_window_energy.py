"""Every fault gives the right value within its bound, or None and why.

The sampler runs on a simulated clock: no waiting, no flakiness.
"""

import random
from dataclasses import replace

import pytest

from benchmarks.meter_accuracy import Clock
from jaxpower.power import Fault, SensorModel, SimulatedSource, window_energy
from jaxpower.power.sampler import Sampler
from jaxpower.power.waveform import Constant, Square, Steps
from jaxpower.power.window_energy import energy_of

SENSOR = SensorModel(
  energy_period=0.1, power_period=0.1, power_window=0.025, quantum=1e-3
)
WORK = Square(150.0, 500.0, 0.37, 0.6)


def sample(power, sensor=SENSOR, seconds=20.0, faults=(), max_watts=None):
  """Lets the sampler run for a while; returns its history and the source."""
  clock = Clock()
  dice = random.Random(7)
  source = SimulatedSource(power, sensor=sensor, faults=faults, clock=clock)
  if max_watts:
    source._domain = replace(source._domain, max_watts=max_watts)
  sampler = Sampler([source], clock=clock)
  while clock.now < 1000 + seconds:
    clock.now = max(clock.now, sampler.poll()) + dice.expovariate(1e4)
  return sampler.histories[0], source


def check(history, source, start, end):
  """The energy between two instants, which must be honest."""
  energy = energy_of(history, 1000 + start, 1000 + end)
  if energy.joules is not None:
    truth = source.truth(1000 + start, 1000 + end)
    assert energy.joules_bound is not None
    assert abs(energy.joules - truth) <= 1.5 * energy.joules_bound + 1e-6
  else:
    assert energy.partial and energy.reasons
  return energy


def test_a_healthy_sensor():
  history, source = sample(WORK)
  energy = check(history, source, 5.03, 9.48)
  assert energy.method == "counter" and not energy.reasons
  assert 20 < energy.ticks < 46  # calm inside, closely at the edges
  assert energy.integral_joules == pytest.approx(energy.joules, rel=0.1)


@pytest.mark.parametrize(
  ("fault", "reason"),
  [
    (Fault("reset", 7.0), "reset"),
    (Fault("stuck", 7.0), "no tick after its end"),
    (Fault("stuck", 7.0, 12.0), "stood still"),
    (Fault("jump", 7.0), "jumped"),
  ],
)
def test_a_broken_counter_gives_way_to_the_power(fault, reason):
  history, source = sample(WORK, faults=[fault], max_watts=5000)
  broken = check(history, source, 5.0, 9.0)
  assert broken.method == "power_instant" and broken.joules is not None
  assert any(reason in text for text in broken.reasons), broken.reasons
  before = check(history, source, 3.0, 6.0)
  assert before.method == "counter" and not before.reasons


def test_a_broken_counter_gives_way_to_power_that_stays():
  reset = [Fault("reset", 7.0)]
  history, source = sample(Constant(300.0), faults=reset, seconds=9.0)
  point, read = history.power_points[-1], history.seconds[-1]
  assert point <= read  # power that stays is noted only now and then
  late = check(history, source, 6.5, (point + read) / 2 - 1000)
  assert late.method == "power_instant" and late.joules is not None
  after = check(history, source, 6.5, read + 0.05 - 1000)
  assert after.joules is None, "nothing was read after its end"


def test_a_window_over_a_stuck_stretch_is_not_believed():
  history, source = sample(WORK, faults=[Fault("frozen", 7.0, 9.0)])
  energy = check(history, source, 5.0, 12.0)
  assert energy.method == "power_instant"
  assert any("stood still" in text for text in energy.reasons)


@pytest.mark.parametrize("kind", ["reset", "stuck", "jump"])
def test_a_broken_counter_without_power_is_unknown(kind):
  sensor = replace(SENSOR, has_power=False)
  history, source = sample(
    WORK, sensor, faults=[Fault(kind, 7.0)], max_watts=5000
  )
  energy = check(history, source, 5.0, 9.0)
  assert energy.joules is None and energy.partial


def test_a_counter_stuck_from_the_start_is_unknown_not_zero():
  sensor = replace(SENSOR, has_power=False)
  history, source = sample(WORK, sensor, faults=[Fault("stuck", 0.0)])
  energy = check(history, source, 5.0, 9.0)
  assert energy.joules is None
  assert "has not moved" in energy.reasons[0]


def test_a_lost_gpu_is_unknown_after_and_known_before():
  history, source = sample(WORK, faults=[Fault("lost", 7.0)])
  assert check(history, source, 5.0, 9.0).joules is None
  assert check(history, source, 3.0, 6.0).joules is not None


def test_failed_reads_in_the_middle_do_not_matter_to_a_counter():
  history, source = sample(WORK, faults=[Fault("lost", 6.0, 8.0)])
  energy = check(history, source, 5.0, 9.0)
  assert energy.method == "counter" and energy.joules is not None
  assert "the GPU is lost" in energy.reasons


def test_an_edge_inside_a_hole_has_a_wide_bound():
  history, source = sample(WORK, faults=[Fault("lost", 6.0, 8.0)])
  sure = check(history, source, 3.0, 5.0)
  unsure = check(history, source, 3.0, 7.0)
  assert sure.joules_bound is not None and unsure.joules_bound is not None
  assert unsure.joules_bound > 10 * sure.joules_bound


def test_failed_reads_in_the_middle_are_a_hole_for_the_power():
  sensor = replace(SENSOR, has_counter=False)
  history, source = sample(WORK, sensor, faults=[Fault("lost", 6.0, 8.0)])
  energy = check(history, source, 5.0, 9.0)
  assert energy.joules is None
  assert any("no power reading for" in text for text in energy.reasons)


def test_a_noisy_counter_is_not_taken_for_a_reset():
  sensor = replace(SENSOR, noise=0.5)
  history, source = sample(WORK, sensor)
  energy = check(history, source, 5.0, 9.0)
  assert energy.method == "counter" and energy.joules is not None
  assert history.noise > 0


def test_power_that_never_moves_is_not_believed_for_long():
  sensor = replace(SENSOR, has_counter=False)
  history, source = sample(WORK, sensor, faults=[Fault("stuck_power", 4.0)])
  energy = check(history, source, 5.0, 18.0)
  assert energy.joules is None
  assert any("has not moved" in text for text in energy.reasons)


def test_constant_power_is_integrated_not_dropped():
  sensor = replace(SENSOR, has_counter=False)
  history, source = sample(Constant(210.0), sensor)
  energy = check(history, source, 5.0, 9.0)
  assert energy.joules == pytest.approx(210 * 4)


def test_a_window_too_short_for_the_sensor_says_so():
  history, source = sample(WORK)
  energy = check(history, source, 5.31, 5.33)
  assert any("too short for the sensor" in text for text in energy.reasons)


def test_a_gain_error_shows_as_a_difference_of_the_methods():
  history, _ = sample(Steps([300.0, 310.0], [0.7, 0.9]))
  for i, watts in enumerate(history.power_watts):
    history.power_watts[i] = watts * 1.2
  energy = energy_of(history, 1005.0, 1015.0)
  assert energy.disagreement == pytest.approx(0.2, abs=0.01)
  assert any("differs from the counter" in text for text in energy.reasons)


@pytest.mark.parametrize(("step", "resonant"), [(0.1, True), (0.083, False)])
def test_work_in_step_with_the_power_sensor_is_reported(step, resonant):
  sensor = replace(SENSOR, has_counter=False, power_noise=0.05)
  work = Square(100.0, 600.0, step, 0.3)
  history, source = sample(work, sensor)
  energy = energy_of(history, 1005.0, 1015.0, step_seconds=step)
  warned = any("resonance" in text for text in energy.reasons)
  assert warned is resonant and energy.partial is resonant
  if resonant:
    truth = source.truth(1005.0, 1015.0)
    assert energy.joules is not None
    assert abs(energy.joules / truth - 1) > 0.2  # what the warning is for
    assert energy.joules_bound is None


def test_not_waiting_gives_a_wider_bound():
  history, source = sample(WORK, seconds=9.0)
  early = energy_of(history, 1005.0, 1009.15, extrapolate=True)
  truth = source.truth(1005.0, 1009.15)
  sure = check(history, source, 4.5, 8.65)
  assert early.joules is not None and early.joules_bound is not None
  assert sure.joules_bound is not None
  assert early.joules_bound > sure.joules_bound
  assert abs(early.joules - truth) < early.joules_bound


def test_energy_is_never_negative_and_its_bound_covers_what_was_read() -> None:
  below = window_energy.Estimate(-0.5, 0.2, 2)
  found = window_energy._not_negative(below)
  assert (found.joules, found.bound) == (0.0, 0.5)
  above = window_energy.Estimate(0.5, 0.2, 2)
  assert window_energy._not_negative(above) == above


def test_readings_in_a_slow_beat_with_the_work_raise_no_alarm():
  """They see other parts of each step, and stray from the counter by much."""
  sensor = replace(SENSOR, energy_period=0.02)
  history, source = sample(Square(100.0, 600.0, 0.1017, 0.4), sensor, 30.0)
  strays = []
  for start in (6.0, 8.3, 10.1, 13.0, 15.2, 18.0, 21.0):
    energy = check(history, source, start, start + 1.5)
    strays.append(abs(energy.disagreement or 0.0))
    assert not [r for r in energy.reasons if "differs" in r]
  assert max(strays) > 2 * window_energy.DISAGREEMENT


def test_a_counter_that_is_always_wrong_is_doubted_although_it_is_usual():
  sensor = replace(SENSOR, energy_period=0.02)
  history, _ = sample(WORK, sensor, 30.0)
  for i in range(len(history.energies)):
    history.energies[i] *= 0.6
  energy = energy_of(history, 1010.0, 1013.0)
  assert any("differs" in reason for reason in energy.reasons)
