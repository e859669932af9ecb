"""How the bounds of several sensors, and of several windows, add up."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.meter_accuracy import Clock
from jaxpower.power.correlation import (
  Line,
  add_bounds,
  correlation,
  correlations,
  shared,
)
from jaxpower.power.sampler import Sampler
from jaxpower.power.simulated import SensorModel, SimulatedSource
from jaxpower.power.waveform import Square, Steps
from jaxpower.power.window_energy import measure_window

GPUS = 8
COUNTS = {0.1: 12, 0.5: 12, 2.0: 6, 10.0: 2}  # windows of so many seconds


def rhythm(dice):
  return Square(120.0, 600.0, dice.uniform(0.21, 0.25), 0.6)


def chance(dice):
  levels = [dice.uniform(90, 700) for _ in range(900)]
  return Steps(levels, [dice.uniform(0.005, 0.4) for _ in levels])


def windows_of(waveforms, seed, counts):
  """Windows of GPUs in one sampler: length, error, bound, linear bound."""
  dice, clock = random.Random(seed), Clock()
  sources = [
    SimulatedSource(
      waveform,
      name=f"GPU-{i}",
      sensor=SensorModel(0.1, 0.1, dice.uniform(0, 0.1), 0.025),
      clock=clock,
    )
    for i, waveform in enumerate(waveforms)
  ]
  spans, start = [], clock.now + 4.0
  for length, count in counts.items():
    for _ in range(count):
      start += dice.uniform(0.2, 0.9)
      spans.append((length, start, start + length * dice.uniform(0.93, 1.07)))
      start = spans[-1][2]
  sampler = Sampler(sources, clock=clock)
  edges = sorted((e for _, *span in spans for e in span), reverse=True)
  while clock.now < start + 1.0:
    due = sampler.poll()
    if edges and edges[-1] <= due:
      due = edges.pop()
      clock.now = max(clock.now, due)
      sampler.nudge()
    clock.now = max(clock.now, due) + dice.expovariate(1e4)
  for length, begin, end in spans:
    window = measure_window(sampler, "train", begin, end)
    truth = sum(source.truth(begin, end) for source in sources)
    assert window.joules is not None and window.joules_bound is not None
    linear = add_bounds([e.joules_bound or 0.0 for e in window.energies])
    yield length, abs(window.joules - truth), window.joules_bound, linear


def test_the_sum_of_gpus_in_step_is_covered_at_every_length():
  """Bounds added in squares held in 17 to 56 % of such windows."""
  held = {length: [] for length in COUNTS}
  for seed, kind in enumerate((rhythm, chance) * 2):
    work = [kind(random.Random(seed))] * GPUS
    for length, error, bound, _ in windows_of(work, seed, COUNTS):
      held[length].append(error <= bound)
  for length, row in held.items():
    assert sum(row) >= 0.9 * len(row), (length, row)


def test_the_sum_of_gpus_on_their_own_is_narrower_and_covered():
  dice = random.Random(5)
  work = [chance(dice) for _ in range(GPUS)]
  rows = list(windows_of(work, 5, {0.5: 12, 2.0: 8}))
  assert sum(error <= bound for _, error, bound, _ in rows) >= 0.9 * len(rows)
  narrower = sum(linear / bound for *_, bound, linear in rows) / len(rows)
  assert 1.15 < narrower < math.sqrt(GPUS)


bounds = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8)


@given(bounds, st.floats(0, 1))
def test_a_sum_lies_between_that_in_squares_and_that_of_one_error(parts, rho):
  alike = [
    [1.0 if i == j else rho for j in range(len(parts))]
    for i in range(len(parts))
  ]
  whole = add_bounds(parts, alike)
  assert whole <= add_bounds(parts) * (1 + 1e-9)
  assert whole >= math.hypot(*parts) * (1 - 1e-9)


@pytest.mark.parametrize(
  ("first", "second", "expected"),
  [
    ([1.0, 2.0] * 6, [2.0, 4.0] * 6, 1.0),  # in step
    ([1.0, 2.0] * 6, [4.0, 2.0] * 6, 1.0),  # in step, half a period late
    ([5.0] * 12, [1.0, 2.0] * 6, 1.0),  # stays: says nothing
    ([1.0, 2.0] * 3, [2.0, 1.0, 4.0] * 2, 1.0),  # too few
    ([1.0, None] * 6, [1.0, 2.0] * 6, 1.0),  # unknown in between
  ],
)
def test_powers_that_move_alike_or_say_nothing_err_as_one(
  first, second, expected
):
  assert correlation(first, second) == pytest.approx(expected)


def test_powers_that_move_by_chance_err_on_their_own():
  dice = random.Random(0)
  first, second = ([dice.random() for _ in range(64)] for _ in range(2))
  assert correlation(first, second) < 0.6


def test_one_sensor_needs_no_look_and_one_without_points_is_unknown():
  seconds = [float(i) for i in range(40)]
  line = Line(seconds, [s * s for s in seconds])
  assert correlations([line], 5.0, 8.0) == [[1.0]]
  assert correlations([line, Line([], [])], 5.0, 8.0) == [[1.0, 1.0]] * 2


def missed(tick, jumps):
  """The error of a line between two ticks at an edge, for jumps of a watt."""
  before, after = tick
  part = before / (before + after)  # of the energy, that the line puts before
  return [
    min(max(0.0, -at), before)
    - part * min(max(0.0, after - at), before + after)
    for at in jumps
  ]


@pytest.mark.parametrize(
  ("first", "second"),
  [
    ((0.3, 0.7), (0.3, 0.7)),
    ((0.25, 0.75), (0.75, 0.25)),
    ((0.5, 0.5), (0.1, 0.9)),
    ((0.02, 0.08), (0.5, 0.5)),
  ],
)
def test_ticks_around_an_edge_miss_the_same_as_far_as_they_overlap(
  first, second
):
  jumps = [(i + 0.5) / 5000 - 1 for i in range(10000)]
  a, b = missed(first, jumps), missed(second, jumps)
  product = math.fsum(x * y for x, y in zip(a, b, strict=True))
  norm = math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))
  assert shared(first, second) == pytest.approx(product / norm, abs=2e-3)
  assert shared(second, first) == shared(first, second)


def test_an_edge_at_a_tick_misses_nothing_that_could_be_shared():
  assert shared((0.0, 1.0), (0.5, 0.5)) == 1.0
