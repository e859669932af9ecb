"""Shares of the variance of log joules, by textbook and by simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jaxpower.report.compare.importance import (
  Importance,
  Share,
  _beyond_chance,
  _Drawn,
  _noncentrality,
  _shares,
  _Squares,
  importance,
)
from jaxpower.report.compare.model import completed
from jaxpower.report.compare.statistics import Cost, Observation

PATHS = ("batch_size", "optimizer.learning_rate")
CORNERS = tuple(itertools.product((64, 256), (1e-3, 1e-2)))


def observations(cell) -> list[Observation]:
  """A seed a cost, a number or a Cost."""
  costs = [c if isinstance(c, Cost) else Cost(c) for c in cell]
  return [Observation(cost, seed) for seed, cost in enumerate(costs)]


def grid(*cells) -> dict:
  """A grid of two by two: what the seeds of each corner cost."""
  return {k: observations(c) for k, c in zip(CORNERS, cells, strict=True)}


def weigh(*cells) -> Importance:
  found = importance(PATHS, grid(*cells))
  assert found.unknown == ""
  return found


def of_logs(logs: np.ndarray) -> Importance:
  """Weighs a grid of logs, (values, values, seeds)."""
  costs = {
    key: observations(math.exp(x) for x in logs[key])
    for key in np.ndindex(logs.shape[:-1])
  }
  return importance([f"field {axis}" for axis in range(logs.ndim - 1)], costs)


def parts(found: Importance) -> list[Share]:
  told = (*found.fields.values(), found.interaction, found.seeds)
  return [part for part in told if part is not None]


def values(found: Importance) -> list[float]:
  return [part.value for part in parts(found)]


def drawn(number: int, *shape: int) -> np.ndarray:
  return np.random.default_rng(number).standard_normal(shape)


def test_one_field_alone():
  cheap, dear = [100, 101], [400, 404]
  first = weigh(cheap, cheap, dear, dear)
  assert values(first) == pytest.approx([1, 0, 0, 0], abs=1e-3)
  second = weigh(cheap, dear, cheap, dear)
  assert values(second) == pytest.approx([0, 1, 0, 0], abs=1e-3)


def test_two_fields_that_multiply_have_no_interaction():
  # Log 2 steps: 2 along the one field, 1 along the other: 4 to 1.
  found = weigh([100, 100], [200, 200], [400, 400], [800, 800])
  assert values(found) == pytest.approx([0.8, 0.2, 0, 0])
  assert found.ranked == PATHS


def test_only_together():
  found = weigh([100, 100], [200, 200], [200, 200], [100, 100])
  assert values(found) == pytest.approx([0, 0, 1, 0], abs=1e-9)


def test_three_fields():
  logs = (
    np.zeros((2, 2, 2, 2)) + math.log(2) * np.arange(2)[:, None, None, None]
  )
  logs = logs + 2 * math.log(2) * np.arange(2)[:, None, None]
  found = of_logs(logs)
  assert values(found) == pytest.approx([0.2, 0.8, 0, 0, 0])
  assert found.ranked[0] == "field 1"


def test_values_are_unbiased_components():
  # By the mean squares of the two-way analysis of variance, by hand.
  logs = drawn(3, 2, 3, 4) + np.array([0.0, 3.0])[:, None, None]
  noise = logs - logs.mean(-1, keepdims=True) - logs.mean((0, 1)) + logs.mean()
  noise = (noise**2).sum() / (5 * 3)
  first = logs.mean((1, 2)).var(ddof=1) - noise / 12
  second = logs.mean((0, 2)).var(ddof=1) - noise / 8
  seeds = logs.mean((0, 1)).var(ddof=1) - noise / 6 + noise
  means = logs.mean(-1)
  left = means - means.mean(0) - means.mean(1, keepdims=True) + means.mean()
  both = (left**2).sum() / 6 - noise * 2 / 24
  exact = np.maximum([first / 2, second * 2 / 3, both, seeds], 0)
  assert values(of_logs(logs)) == pytest.approx(list(exact / exact.sum()))


def test_noise_gives_no_share():
  # Of a flat grid the sums of squares themselves give fields a third.
  found = np.mean(
    [values(of_logs(0.1 * drawn(n, 3, 4, 3))) for n in range(40)], axis=0
  )
  assert found[-1] > 0.87
  assert max(found[:-1]) < 0.07


def test_a_share_is_nothing_as_often_as_the_f_test_says():
  logs = drawn(5, 4, 3, 3)
  off = logs - logs.mean((0, 1))
  means = off.mean(-1)
  noise = ((off - means[..., None]) ** 2).sum() / (11 * 2)
  f = 9 * (means.mean(1) ** 2).sum() / 3 / noise
  squares = 9 * (means.mean(1) ** 2).sum()
  generator = np.random.default_rng(0)
  scale = 22 * noise / generator.chisquare(22, 40_000)
  off = _noncentrality(squares / scale, 3, generator)
  assert (off == 0).mean() == pytest.approx(stats.f.sf(f, 3, 22), abs=0.01)


@pytest.mark.parametrize(("value", "freedom"), [(2.0, 1), (9.0, 4), (60.0, 7)])
def test_noncentralities_have_the_distribution_of_scipy(value, freedom):
  generator = np.random.default_rng(1)
  off = _noncentrality(np.full(40_000, value), freedom, generator)
  for above in (0.5, 5.0, 40.0):
    expected = stats.ncx2.sf(value, freedom, above)
    assert (off <= above).mean() == pytest.approx(expected, abs=0.01)
  assert (off == 0).mean() == pytest.approx(
    stats.chi2.sf(value, freedom), abs=0.01
  )


def test_each_part_has_to_be_surer_the_more_there_are():
  assert list(_beyond_chance(np.array([0.04, 0.01, 0.02]))) == [True] * 3
  assert list(_beyond_chance(np.array([0.04, 0.02, 0.9]))) == [False] * 3
  assert list(_beyond_chance(np.array([0.04, 0.01, 0.9]))) == [
    False,
    True,
    False,
  ]


def test_an_interval_that_chance_may_reach_begins_at_zero():
  zeros = np.zeros((3, 1_000))
  of_parts = np.concatenate([np.ones((1, 1_000)), zeros[1:]])
  of_parts[0, :20] = 0  # 2 %: enough for one part alone, not for one of three
  draws = _Drawn(of_parts, zeros, of_parts[0], np.ones(1_000))
  (first, *_), _ = _shares(_Squares.of(drawn(1, 1, 2, 2, 3)), draws)
  assert (first.low, first.high) == (0, 0.5)
  of_parts[0, :10] = 1
  (first, *_), _ = _shares(_Squares.of(drawn(1, 1, 2, 2, 3)), draws)
  assert (first.low, first.high) == (0.5, 0.5)


def test_noise_alone_is_seldom_called_an_effect():
  found = [of_logs(0.1 * drawn(n, 3, 4, 3)) for n in range(60)]
  called = [any(part.beyond_chance for part in parts(f)[:-1]) for f in found]
  assert sum(called) <= 6  # of 3 expected
  assert sum(f.leads for f in found) <= 2
  seeds = [f.seeds.high for f in found if f.seeds]
  assert seeds.count(1.0) >= 54


def test_intervals_hold_known_shares():
  effect = np.sqrt(1.5) * np.array([-1.0, 1, 1, -1])[:, None, None]
  held = np.zeros(4)
  for number in range(60):
    found = parts(of_logs(effect + drawn(number, 4, 3, 3)))
    held += [
      share.low <= truth <= share.high
      for share, truth in zip(found, (0.6, 0, 0, 0.4), strict=True)
    ]
  assert min(held) >= 53  # of 57 expected


def test_a_clear_effect_leads_and_lies_beyond_chance():
  found = weigh(
    [98, 100, 103], [99, 100, 104], [395, 400, 405], [402, 410, 390]
  )
  first = found.fields["batch_size"]
  assert found.leads
  assert first.low > 0.97
  assert first.beyond_chance
  assert not found.fields["optimizer.learning_rate"].beyond_chance


def test_equal_effects_do_not_lead():
  found = weigh([98, 103], [199, 204], [200, 203], [395, 410])
  assert not found.leads
  assert all(part.beyond_chance for part in found.fields.values())


def test_what_a_seed_does_everywhere_is_that_of_seeds_and_hides_nothing():
  cells = (
    [100.0, 101, 99],
    [100.0, 99, 101],
    [200.0, 201, 199],
    [201.0, 199, 200],
  )
  shifted = [[c * f for c, f in zip(x, (1, 3, 9), strict=True)] for x in cells]
  found = weigh(*shifted)
  assert found.fields["batch_size"].beyond_chance
  assert found.seeds is not None
  assert found.seeds.value > 0.8


def test_a_seed_that_a_setting_lacks_is_left_out():
  cells = [98, 103, 1e6], [199, 204], [405, 410], [790, 800]
  found = weigh(*cells)
  assert (found.left_out, found.trials) == (1, 8)
  assert values(found) == values(weigh([98, 103], *cells[1:]))


def test_misses_alone_are_completed_and_above_what_they_spent():
  cells = [98, 103, 99], [199, Cost(204, censored=True), 201]
  complete = completed([observations(cell) for cell in cells])
  assert complete is not None
  logs, boards = complete
  assert (logs.shape[1:], boards) == ((6,), None)
  exact = np.log([98, 103, 99, 199, 201])
  assert np.allclose(np.delete(logs, 4, axis=1), exact)
  assert math.log(204) < logs[:, 4].min() < logs[:, 4].max()


def test_a_miss_is_no_number():
  # What was spent says that the cost is above it, which it is anyhow.
  cells = [98, 103, 99], [199, 204, 201], [405, 410, 402]
  exact = weigh(*cells, [790, 800, 810])
  found = weigh(*cells, [790, Cost(300, censored=True), 810])
  assert (found.missed, found.trials) == (1, 12)
  assert values(found) == pytest.approx(values(exact), abs=0.01)
  assert values(weigh(*cells, [790, 300, 810])) != pytest.approx(
    values(exact), abs=0.1
  )


def test_what_a_board_adds_is_no_effect():
  # Each value of the one field ran on a board of its own, 6 % apart.
  noise = 0.005 * drawn(0, 2, 2, 4)

  def weighed(*boards: str) -> Share:
    costs = {
      key: [
        Observation(Cost(math.exp(log + 0.06 * (key[0] == 64))), seed, board)
        for seed, log in enumerate(logs)
      ]
      for key, board, logs in zip(
        CORNERS, boards, noise.reshape(4, 4), strict=True
      )
    }
    return importance(PATHS, costs).fields["batch_size"]

  assert weighed("a", "a", "a", "a").beyond_chance
  assert weighed("a", "b", "b", "a").beyond_chance
  apart = weighed("a", "a", "b", "b")
  assert apart.low == 0
  assert apart.high > 0.9


def test_a_seed_on_two_boards_is_one():
  costs = grid([98, 103], [199, 204], [405, 410], [790, 800])
  again = {
    key: [
      Observation(each.cost, each.seed, board)
      for each in of_key
      for board in ("a", "b")
    ]
    for key, of_key in costs.items()
  }
  one, two = importance(PATHS, costs), importance(PATHS, again)
  assert values(two) == pytest.approx(values(one), abs=0.01)
  assert (two.trials, two.left_out) == (16, 0)


@pytest.mark.parametrize(
  ("cells", "why"),
  [
    (([1], [2], [3], []), "the energy of only 3 of 4 settings is known"),
    (([1], [2], [3], [0]), "a trial's joules are not above zero"),
    (([1, 1], [1, 1], [1, 1], [1, 1]), "every trial cost the same"),
    (([1], [2], [3], [4]), "fewer than two seeds ran in every setting"),
    (
      ([1, 2], [1, 2], [1, 2], [Cost(9, True)] * 2),
      "in 1 of 4 settings no trial reached the target",
    ),
    (([1, Cost(9, True)],) * 4, "4 of 8 trials missed the target"),
  ],
)
def test_refused_with_the_reason(cells, why):
  found = importance(PATHS, grid(*cells))
  assert (found.unknown, found.fields) == (why, {})


def test_one_field_is_no_grid():
  costs = {(64,): observations([1]), (256,): observations([2])}
  assert importance(PATHS[:1], costs).unknown == "fewer than two fields vary"
  flat = {(64, 1): observations([1]), (256, 1): observations([2])}
  assert importance(PATHS, flat).unknown == "fewer than two fields vary"


seen = st.builds(Cost, st.floats(1.0, 1e6), st.booleans())
cell = st.lists(seen, min_size=2, max_size=3)
corners = st.tuples(cell, cell, cell, cell)


@settings(deadline=None, max_examples=15)
@given(corners)
def test_shares_are_shares_and_inside_their_intervals(drawn):
  found = importance(PATHS, grid(*drawn))
  assert bool(found.unknown) == (not parts(found))
  for part in parts(found):
    assert 0 <= part.low <= part.value <= part.high <= 1


@settings(deadline=None, max_examples=10)
@given(corners, st.sampled_from([0.001, 3.0, 3600.0]))
def test_scaled_joules_change_nothing(drawn, factor):
  before = importance(PATHS, grid(*drawn))
  scaled = [[Cost(c.value * factor, c.censored) for c in x] for x in drawn]
  after = importance(PATHS, grid(*scaled))
  assert before.unknown == after.unknown
  assert values(before) == pytest.approx(values(after), abs=0.02)


@settings(deadline=None, max_examples=10)
@given(corners, st.randoms(use_true_random=False))
def test_order_is_irrelevant(drawn, random):
  costs = grid(*drawn)
  mixed = {key: random.sample(cell, len(cell)) for key, cell in costs.items()}
  assert importance(PATHS, costs) == importance(PATHS, mixed)
