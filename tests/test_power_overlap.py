"""How alike sensors err that look at one power, by their own estimators."""

import math

import pytest

from jaxpower.power.correlation import joules_at
from jaxpower.power.integral import from_power
from jaxpower.power.overlap import SEEN, counters, instants, readings

JUMPS = 600


def alike(first, second):
  """The mean product of two errors over their sizes."""
  product = math.fsum(x * y for x, y in zip(first, second, strict=True))
  squares = [math.fsum(x * x for x in row) for row in (first, second)]
  return product / math.sqrt(squares[0] * squares[1])


def jumps(low, high):
  return [low + (i + 0.5) / JUMPS * (high - low) for i in range(JUMPS)]


def drawn(jump, start, end):
  """The joules of 1 W from a jump on."""
  return max(0.0, end - jump) - max(0.0, start - jump)


def by_ticks(ticks, start, end):
  """Errors of a counter that is interpolated between its ticks."""
  errors = []
  for jump in jumps(start - 1.5, end + 1.5):
    joules = [max(0.0, tick - jump) for tick in ticks]
    found = joules_at(ticks, joules, end) - joules_at(ticks, joules, start)
    errors.append(found - drawn(jump, start, end))
  return errors


def by_readings(updates, start, end):
  """Errors of readings of a part of the time, by the real integral."""
  seen = SEEN * (updates[1] - updates[0])
  errors = []
  for jump in jumps(start - 2.5, end + 1.5):
    watts = [min(1.0, max(0.0, (at - jump) / seen)) for at in updates]
    found = from_power(updates, watts, start, end).joules or 0.0
    errors.append(found - drawn(jump, start, end))
  return errors


def row(phase, period=1.0):
  return [phase - 5.0 + i * period for i in range(round(16 / period))]


SPANS = [(0.3, 0.55), (0.3, 1.15), (0.8, 2.9)]  # in a tick, in two, in more


@pytest.mark.parametrize(("start", "end"), SPANS)
@pytest.mark.parametrize("phase", [0.1, 0.4, 0.75])
@pytest.mark.parametrize(
  ("by", "errors_of"), [(counters, by_ticks), (readings, by_readings)]
)
def test_sensors_miss_the_same_as_far_as_they_overlap(
  by, errors_of, phase, start, end
):
  rows = row(0.0), row(phase)
  expected = alike(*(errors_of(ticks, start, end) for ticks in rows))
  found = by(rows, start, end)
  assert found[0][1] == found[1][0]
  assert found[0][1] == pytest.approx(max(0.0, expected), abs=2e-3)


@pytest.mark.parametrize("by", [counters, readings])
def test_sensors_that_move_at_once_err_as_one(by):
  start, end = 0.3, 2.9
  assert by([row(0.2)] * 2, start, end)[0][1] == pytest.approx(1.0)
  assert by([row(0.2)], start, end) == [[1.0]]
  assert by([], start, end) == []


def test_readings_half_an_update_apart_share_nothing_of_a_long_window():
  found = readings([row(i / 8) for i in range(8)], 0.3, 6.4)
  assert found[0][4] < 0.05 and found[1][5] < 0.05
  assert math.fsum(found[0]) < 4  # of eight


def test_an_edge_at_a_tick_misses_nothing_that_could_be_shared():
  rows = row(0.0), row(0.5)
  assert counters(rows, 0.0, 2.0)[0][1] == 1.0


def test_ticks_count_as_one_only_where_they_fall_together():
  rows, errors = [row(0.0), row(0.02), row(0.3)], [[0.1] * 16] * 3
  found = instants(rows, errors, 0.3, 2.7)
  assert found[0] == pytest.approx([1.0, 0.6, 0.0])
  known = [[0.0] * 16] * 2
  assert instants([row(0.0)] * 2, known, 0.3, 2.7)[0][1] == 1.0
  assert instants([row(0.0), row(0.1)], known, 0.3, 2.7)[0][1] == 0.0
