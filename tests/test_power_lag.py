"""How late a counter is, told by readings of power that moves."""

import random
from bisect import bisect_right
from itertools import accumulate

import pytest

from jaxpower.power.lag import fresh, lag_behind, late_joules

STEP = 0.01


def power(seconds, seed=1):
  """Watts every STEP that change by chance, every 50 to 400 ms."""
  dice, watts = random.Random(seed), []
  while len(watts) < seconds / STEP:
    watts += [dice.uniform(100, 600)] * dice.randint(5, 40)
  return watts[: round(seconds / STEP)]


def counter(watts, tick, lag):
  """The ticks of a counter that shows what was used `lag` seconds before."""
  joules = [0.0, *accumulate(w * STEP for w in watts)]
  count = round(len(watts) * STEP / tick)
  seconds = [i * tick for i in range(1, count)]
  shown = [joules[max(0, round((s - lag) / STEP))] for s in seconds]
  return seconds, shown


def readings(watts, every=0.1):
  """When power was updated, and what it then was."""
  places = range(0, len(watts), round(every / STEP))
  return [i * STEP for i in places], [watts[i] for i in places]


@pytest.mark.parametrize("tick", [0.02, 0.1])
@pytest.mark.parametrize("lag", [0.2, 0.5])
def test_a_late_counter_is_found_out(tick, lag):
  watts = power(5.0)
  found = lag_behind(*counter(watts, tick, lag), *readings(watts))
  assert found == pytest.approx(lag, abs=0.05)


def test_a_counter_in_time_is_none_late():
  watts = power(5.0)
  assert lag_behind(*counter(watts, 0.02, 0.0), *readings(watts)) == 0.0
  assert lag_behind(*counter(watts, 0.02, 0.015), *readings(watts)) == 0.0


def test_nothing_is_said_of_even_or_unlike_power():
  even = [300.0] * 500
  assert lag_behind(*counter(even, 0.02, 0.5), *readings(even)) is None
  other = power(5.0, seed=2)
  found = lag_behind(*counter(power(5.0), 0.02, 0.0), *readings(other))
  assert found is None
  assert lag_behind([], [], [], []) is None


def test_a_reading_counts_when_it_changed_and_now_and_then_where_it_stays():
  seconds = [i * 0.01 for i in range(60)]
  watts = [100.0 if s < 0.2 else 300.0 for s in seconds]
  instants, values = fresh(seconds, watts)
  assert instants[0] == pytest.approx(0.195) and values[0] == 300.0
  assert 3 <= len(instants) <= 5
  assert bisect_right(instants, 0.35) == 2


def test_what_is_late_is_what_differs_between_the_edges():
  seconds = [i * 0.1 for i in range(101)]
  joules = list(
    accumulate(100.0 * 0.1 if s <= 5 else 400 * 0.1 for s in seconds)
  )
  assert late_joules(seconds, joules, 1.0, 4.0, 0.5) == pytest.approx(0.0)
  late = late_joules(seconds, joules, 2.0, 8.0, 0.5)
  assert late == pytest.approx(300 * 0.5, rel=0.05)
