"""Power readings that cannot be, counters and sources that die."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.meter_accuracy import Clock
from jaxpower.power import Fault, SensorModel, SimulatedSource
from jaxpower.power.doubts import implausible, quantum, unseen_joules
from jaxpower.power.sampler import Sampler
from jaxpower.power.waveform import Steps
from jaxpower.power.window_energy import measure_window

POWER = Steps(
  [300.0, 420.0, 180.0, 510.0, 240.0], [0.13, 0.21, 0.17, 0.3, 0.11]
)
SENSOR = SensorModel(0.1, 0.1, power_window=0.025, quantum=1e-3)
KINDS = {
  "counter of 100 ms": SENSOR,
  "counter of 20 ms": replace(SENSOR, energy_period=0.02),
  "counter of 100 ms alone": replace(SENSOR, has_power=False),
  "fresh counter": replace(SENSOR, energy_period=0.0),
  "fresh counter alone": SensorModel(has_power=False),  # as RAPL
  "power alone": replace(SENSOR, has_counter=False),
}
DEATHS = {
  "dead at the start": ([Fault("stuck", 0.0), Fault("stuck_power", 0.0)], []),
  "stops midway": ([Fault("stuck", 4.31), Fault("stuck_power", 4.31)], []),
  "counter stops midway": ([Fault("stuck", 4.31)], []),
  "one of two dead": (
    [],
    [Fault("stuck", 0.0), Fault("stuck_power", 0.0)],
  ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("death", DEATHS)
def test_a_source_that_dies_is_within_its_bound_or_unknown(kind, death):
  clock, dice = Clock(), random.Random(kind)
  sources = [
    SimulatedSource(
      POWER, name=name, sensor=KINDS[kind], faults=faults, clock=clock
    )
    for name, faults in zip(("first", "second"), DEATHS[death], strict=True)
  ]
  if death != "one of two dead":
    del sources[1]
  sampler = Sampler(sources, clock=clock)
  while clock.now < 1016.0:
    clock.now = max(clock.now, sampler.poll()) + dice.expovariate(1e4)
  for start, end in ((2.0, 4.2), (3.1, 6.4), (2.2, 14.9), (6.0, 8.5)):
    window = measure_window(sampler, "train", 1000.0 + start, 1000.0 + end)
    truth = sum(s.truth(1000.0 + start, 1000.0 + end) for s in sources)
    if window.joules is None:
      assert window.partial and window.reasons
      continue
    assert window.joules_bound is not None
    error = abs(window.joules - truth)
    # A power that never moved at all can be told from a steady one by nothing
    # but how long it stays.
    silent = death in ("dead at the start", "one of two dead")
    if kind == "power alone" and silent and end - start < 10:
      continue
    assert error <= 1.5 * window.joules_bound + 0.01 * truth, (window, truth)


@pytest.mark.parametrize(
  ("watts", "idle", "said"),
  [
    (0.0, None, "was 0 W"),
    (-3.0, None, "was -3 W"),
    (5.0, 70.0, "below a tenth of the idle 70 W"),
    (8.0, 70.0, ""),
    (0.5, None, ""),
  ],
)
def test_what_no_board_draws(watts, idle, said):
  reason = implausible(watts, idle)
  assert said in reason and bool(reason) == bool(said)


@pytest.mark.parametrize(
  ("watts", "step"),
  [(70.0, 10.0), (71.0, 1.0), (70.1, 0.1), (70.123, 1e-3), (0.0, 1e-3)],
)
def test_the_step_of_a_reading_that_stays(watts, step):
  assert quantum(watts) == pytest.approx(step)


def lively(count):
  return [300.0 + 10 * (i % 7) for i in range(count)]


def test_a_reading_that_stands_still_may_hide_what_power_did_before():
  watts = lively(40) + [330.0] * 30 + lively(20)
  seconds = [0.1 * i for i in range(len(watts))]
  still, unseen = unseen_joules(seconds, watts, 0.0, 9.0)
  assert still == pytest.approx(3.0, abs=0.11)
  assert unseen == pytest.approx(3.0 * 30.0, rel=0.05)
  outside = unseen_joules(seconds, watts, 0.0, 3.9)
  assert outside[1] == 0.0


@given(st.lists(st.floats(1.0, 700.0), min_size=1, max_size=40))
def test_what_stays_may_hide_nothing_where_nothing_is_known(watts):
  seconds = [0.1 * i for i in range(len(watts))]
  joules = unseen_joules(seconds, watts, 0.0, 4.0)[1]
  assert joules >= 0.0
  assert unseen_joules(seconds, [watts[0]] * len(watts), 0.0, 4.0)[1] == 0.0


def test_two_levels_by_chance_stand_still_for_long_now_and_then():
  """Readings in between, as averages give them, make most runs short."""
  dice, watts = random.Random(4), []
  for i in range(40):
    dwell = max(1, round(dice.expovariate(1 / 8)))  # tenths of a second
    watts += [150.0 if i % 2 else 500.0] * dwell + [dice.uniform(200, 450)]
  watts[100:100] = [watts[99]] * 16
  seconds = [0.1 * i for i in range(len(watts))]
  assert unseen_joules(seconds, watts, 10.0, 11.0) == (0.0, 0.0)
  stuck = watts[:100] + [watts[99]] * 90 + watts[100:]
  seconds = [0.1 * i for i in range(len(stuck))]
  still, unseen = unseen_joules(seconds, stuck, 10.0, 11.0)
  assert still > 8 and unseen > 50
