"""How much power moves inside a tick, told by what can be seen."""

import math
import random
from itertools import accumulate, pairwise

import pytest

from jaxpower.power.swing import Ticks, whiteness


def ticks(watts, span=0.1, errors=None):
  seconds = [span * i for i in range(len(watts) + 1)]
  joules = [0.0, *accumulate(w * span for w in watts)]
  errors = errors or [0.0] * len(seconds)
  middle = len(watts) // 2
  return Ticks(seconds, errors, joules, {}, middle, middle, ((), ()))


def pairs(values):
  changes = [b - a for a, b in pairwise(values)]
  return list(pairwise(changes))


def test_chance_is_white_and_a_slow_wave_is_not():
  dice = random.Random(3)
  assert whiteness(pairs([dice.gauss(0, 1) for _ in range(400)])) > 0.85
  slow = [math.sin(i / 8) for i in range(400)]
  assert whiteness(pairs(slow)) == 0.0


def test_white_power_strays_inside_as_it_does_from_tick_to_tick():
  dice = random.Random(3)
  seen = []
  for _ in range(50):
    row = ticks([dice.gauss(300, 50) for _ in range(40)])
    seen.append(row.swing(20) ** 2)
  # The bridge of white power has the variance of a tick's mean power.
  assert math.sqrt(sum(seen) / 50) == pytest.approx(50.0, rel=0.25)


def test_a_ramp_strays_by_a_part_of_its_changes():
  row = ticks([100.0 + 10 * i for i in range(40)])
  assert 1.0 < row.swing(20) < 4.0


def test_instants_known_badly_are_not_taken_for_moving_power():
  dice = random.Random(5)
  errors = [0.01] * 41
  strays = [dice.uniform(-0.01, 0.01) for _ in errors]
  seconds = [0.1 * i + stray for i, stray in enumerate(strays)]
  joules = [30.0 * i for i in range(41)]
  sure = Ticks(seconds, [0.0] * 41, joules, {}, 20, 20, ((), ()))
  unsure = Ticks(seconds, errors, joules, {}, 20, 20, ((), ()))
  assert unsure.swing(20) < 0.6 * sure.swing(20)


def test_readings_show_what_hides_in_a_tick():
  power = [200.0 if i % 2 else 400.0 for i in range(60)]
  instants = [0.067 * i for i in range(60)]
  seconds = [0.1 * i for i in range(41)]
  joules = [30.0 * i for i in range(41)]
  still = Ticks(seconds, [0.0] * 41, joules, {}, 20, 20, ((), ()))
  shown = Ticks(seconds, [0.0] * 41, joules, {}, 20, 20, (instants, power))
  assert still.swing(20) == pytest.approx(0.0, abs=1e-9)
  assert shown.swing(20) > 10.0
