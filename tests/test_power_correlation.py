"""How the bounds of several sensors, and of several windows, add up."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.meter_accuracy import Clock
from jaxpower.power.correlation import (
  OWN,
  Line,
  add_bounds,
  correlation,
  correlations,
)
from jaxpower.power.overlap import counters, readings
from jaxpower.power.sampler import Sampler
from jaxpower.power.shares import COMMON, Shares
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


def in_step(phase, shares):
  """A counter that ticks every second, of power that goes up and down."""
  seconds = [phase + i for i in range(40)]
  joules = [s * 300 + 100 * math.sin(s) for s in seconds]
  return Line(seconds, joules, [0.05] * 40, shares, updates=seconds)


@pytest.mark.parametrize(
  ("shares", "expected"),
  [
    (COMMON, 1.0),
    (Shares(own=1.0), 0.0),
    (Shares(own=0.5), 0.5),
    (Shares(late=1.0), 1.0),
    (Shares(late=-0.8, own=0.36), 0.64),
  ],
)
def test_lines_share_what_their_errors_are_of(shares, expected):
  lines = [in_step(phase, shares) for phase in (0.1, 0.35)]
  found = correlations(lines, 18.3, 21.2)
  assert found[0][1] == found[1][0] == pytest.approx(expected)


@pytest.mark.parametrize(
  ("shares", "overlap"),
  [(Shares(edges=1.0), counters), (Shares(unseen=1.0), readings)],
)
def test_lines_share_what_overlaps(shares, overlap):
  lines = [in_step(phase, shares) for phase in (0.1, 0.35)]
  expected = overlap([line.seconds for line in lines], 18.3, 21.2)[0][1]
  assert 0.1 < expected < 0.9
  assert correlations(lines, 18.3, 21.2)[0][1] == pytest.approx(expected)


def test_one_power_that_rises_and_one_that_falls_are_late_by_no_one_error():
  lines = [in_step(0.1, Shares(late=late)) for late in (0.9, -0.9)]
  assert correlations(lines, 18.3, 21.2)[0][1] == pytest.approx(0.19)


def test_ticks_that_fall_together_are_misplaced_together():
  """By the same reads, as far as the instants are off."""
  lines = [in_step(phase, Shares(own=1.0)) for phase in (0.1, 0.1, 0.11)]
  found = correlations(lines, 18.3, 21.2)
  assert found[0][1] == pytest.approx(OWN)
  assert found[0][2] == pytest.approx(0.6 * OWN)  # 10 of 25 ms apart


def test_a_line_without_what_tells_its_ticks_shares_all():
  """As of a CPU package beside a GPU, or of integrated power."""
  parts = Shares(edges=0.5, unseen=0.5)
  lines = [in_step(0.1, parts), in_step(0.5, parts), in_step(0.5, parts)]
  lines[2] = replace(lines[2], errors=(), updates=())
  found = correlations(lines, 18.3, 21.2)
  assert found[2][:2] == [1.0, 1.0] and found[0][1] < 0.9
