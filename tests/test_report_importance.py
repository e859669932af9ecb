"""Shares of the variance of log joules, worked out by hand where possible."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxpower.report.compare.importance import (
  Importance,
  Share,
  importance,
  quotient_range,
)
from jaxpower.report.compare.statistics import Cost

PATHS = ("batch_size", "optimizer.learning_rate")
CORNERS = tuple(itertools.product((64, 256), (1e-3, 1e-2)))


def grid(*cells) -> dict:
  """A grid of two by two: the costs of each corner, a number or a list."""
  return {
    key: [c if isinstance(c, Cost) else Cost(c) for c in cell]
    for key, cell in zip(CORNERS, cells, strict=True)
  }


def weigh(*cells) -> Importance:
  found = importance(PATHS, grid(*cells))
  assert found.unknown == ""
  return found


def shares(found: Importance) -> list[float]:
  parts = (*found.fields.values(), found.interaction)
  assert all(part is not None and part.least == part.most for part in parts)
  return [part.least for part in parts if part is not None]


def test_one_field_alone():
  assert shares(weigh([100], [100], [400], [400])) == pytest.approx([1, 0, 0])
  assert shares(weigh([100], [400], [100], [400])) == pytest.approx([0, 1, 0])


def test_two_fields_that_multiply_have_no_interaction():
  # Log 2 steps: 2 along the one field, 1 along the other: 4 to 1.
  found = weigh([100], [200], [400], [800])
  assert shares(found) == pytest.approx([0.8, 0.2, 0])
  assert found.ranked == PATHS


def test_only_together():
  assert shares(weigh([100], [200], [200], [100])) == pytest.approx([0, 0, 1])


def test_one_corner_alone_is_shared_by_three():
  third = [1 / 3] * 3
  assert shares(weigh([100], [100], [100], [200])) == pytest.approx(third)


def test_seeds_stand_apart():
  # Within a corner +-1 in log 2, between corners +-1: half and half.
  found = weigh([50, 200], [50, 200], [200, 800], [200, 800])
  assert shares(found) == pytest.approx([0.5, 0, 0])
  assert found.seeds is not None
  assert found.seeds.least == pytest.approx(0.5)


def test_chance_is_what_noise_would_give():
  # The variance of a mean of two is 1 here; a field of two values has one
  # degree of freedom of four corners: a quarter, of a whole of 2.
  found = weigh([50, 200], [50, 200], [200, 800], [200, 800])
  assert [part.chance for part in found.fields.values()] == pytest.approx(
    [1 / 8, 1 / 8]
  )


def test_with_one_seed_nothing_is_certain():
  found = weigh([100], [200], [400], [800])
  assert found.seeds is None
  assert not found.leads
  assert {(p.low, p.high, p.chance) for p in found.fields.values()} == {
    (None, None, None)
  }


def test_a_clear_effect_leads_and_lies_beyond_chance():
  found = weigh([98, 100, 103], [99, 100, 104], [395, 400], [402, 410, 390])
  first = found.fields["batch_size"]
  assert found.leads
  assert first.low is not None
  assert first.low > 0.98
  assert first.beyond_chance
  assert not found.fields["optimizer.learning_rate"].beyond_chance


def test_equal_effects_do_not_lead():
  found = weigh([98, 103], [199, 204], [200, 203], [395, 410])
  assert not found.leads
  assert all(part.beyond_chance for part in found.fields.values())


def test_a_miss_is_moved_from_its_bound_without_end():
  # At its bound the corner is 8 times dearer than the first; endless, it is
  # the one corner that stands alone: a third each.
  found = weigh([100], [200], [400], [Cost(800, censored=True)])
  first, second = found.fields.values()
  assert (first.least, first.most) == pytest.approx((1 / 3, 0.8))
  # In between: corners 0, 1, 2, 3 + t in log 2. The second field explains
  # (2 + t)^2 / 16 of ((2 + t)^2 + (4 + t)^2 + t^2) / 16.
  line = [
    (2 + t) ** 2 / ((2 + t) ** 2 + (4 + t) ** 2 + t**2)
    for t in np.linspace(0, 60, 60_001)
  ]
  assert second.least == pytest.approx(min(line), abs=1e-6)
  assert second.most == pytest.approx(max(*line, 1 / 3))
  assert (found.missed, found.trials) == (1, 4)


def test_a_miss_widens_the_interval_to_what_it_may_be():
  cells = [98, 103], [199, 204], [405, 410]
  found = weigh(*cells, [790, Cost(800, censored=True)])
  for part in found.fields.values():
    assert part.low is not None
    assert part.high is not None
    assert part.low <= part.least < part.most <= part.high


@pytest.mark.parametrize(
  ("cells", "why"),
  [
    (([1], [2], [3], []), "the energy of only 3 of 4 settings is known"),
    (([1], [2], [3], [0]), "a trial's joules are not above zero"),
    (([1], [1], [1], [1]), "every trial cost the same"),
    (
      ([1], *([[Cost(9, True)]] * 3)),
      "3 of 4 trials missed the target",
    ),
  ],
)
def test_refused_with_the_reason(cells, why):
  found = importance(PATHS, grid(*cells))
  assert (found.unknown, found.fields) == (why, {})


def test_one_field_is_no_grid():
  costs = {(64,): [Cost(1)], (256,): [Cost(2)]}
  assert importance(PATHS[:1], costs).unknown == "fewer than two fields vary"
  flat = {(64, 1): [Cost(1)], (256, 1): [Cost(2)]}
  assert importance(PATHS, flat).unknown == "fewer than two fields vary"


def test_three_fields():
  costs = {
    key: [Cost(100.0 * 2 ** (key[0] + 2 * key[1]))]
    for key in itertools.product((0, 1), (0, 1), ("a", "b"))
  }
  found = importance(("x", "y", "z"), costs)
  assert shares(found) == pytest.approx([0.2, 0.8, 0, 0])
  assert found.ranked[0] == "y"


def test_noise_alone_is_seldom_called_an_effect():
  generator = np.random.default_rng(7)
  called = np.zeros(3)
  for _ in range(40):
    costs = {
      key: [Cost(math.exp(0.1 * x)) for x in generator.normal(size=3)]
      for key in itertools.product(range(3), range(4))
    }
    found = importance(PATHS, costs)
    assert found.interaction is not None
    parts = (*found.fields.values(), found.interaction)
    called += [part.beyond_chance for part in parts]
  assert max(called) <= 5


def test_order_of_seeds_cannot_move_an_interval():
  cells = [100.1, 107.3, 103.9, 101.7, 120.2], [200, 199], [310, 290], [400, 1]
  turned = [cell[::-1] for cell in cells]
  assert weigh(*cells) == weigh(*turned)


def test_range_of_a_quotient_finds_its_turn():
  over, under = np.array([1.0, 0.0, 0.0]), np.array([2.0, -2.0, 1.0])
  assert quotient_range(over, under) == (0.0, 1.0)  # at t = 1, between ends


cost = st.builds(Cost, st.floats(1.0, 1e6), st.just(False))
seen = st.builds(Cost, st.floats(1.0, 1e6), st.booleans())


def cells(cost: st.SearchStrategy) -> st.SearchStrategy:
  cell = st.lists(cost, min_size=1, max_size=3)
  return st.tuples(cell, cell, cell, cell)


def parts(found: Importance) -> list[Share]:
  told = (*found.fields.values(), found.interaction, found.seeds)
  return [part for part in told if part is not None]


@settings(deadline=None, max_examples=25)
@given(cells(seen))
def test_shares_are_shares_and_inside_their_intervals(drawn):
  found = importance(PATHS, grid(*drawn))
  for part in parts(found):
    assert 0 <= part.least <= part.most <= 1
    if part.low is not None and part.high is not None:
      assert 0 <= part.low <= part.least <= part.most <= part.high <= 1
  assert sum(part.least for part in parts(found)) <= 1 + 1e-9


@settings(deadline=None, max_examples=15)
@given(cells(cost))
def test_without_misses_the_shares_make_the_whole(drawn):
  found = importance(PATHS, grid(*drawn))
  if found.unknown or found.seeds is None:
    return
  assert sum(part.least for part in parts(found)) == pytest.approx(1)


@settings(deadline=None, max_examples=15)
@given(cells(seen), st.sampled_from([0.001, 3.0, 3600.0]))
def test_scaled_joules_change_nothing(drawn, factor):
  before = importance(PATHS, grid(*drawn))
  scaled = [[Cost(c.value * factor, c.censored) for c in x] for x in drawn]
  after = importance(PATHS, grid(*scaled))
  assert before.unknown == after.unknown
  for a, b in zip(parts(before), parts(after), strict=True):
    assert (a.least, a.most) == pytest.approx((b.least, b.most), abs=1e-5)


@settings(deadline=None, max_examples=15)
@given(cells(seen), st.randoms(use_true_random=False))
def test_order_is_irrelevant(drawn, random):
  mixed = [random.sample(cell, len(cell)) for cell in drawn]
  assert importance(PATHS, grid(*drawn)) == importance(PATHS, grid(*mixed))
