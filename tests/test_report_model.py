"""The model against textbook formulas, and how often its intervals hold."""

import math

import numpy as np
import pytest
from scipy import stats

from jaxpower.report.compare import model, posterior
from jaxpower.report.compare.model import fit
from jaxpower.report.compare.posterior import DRAWS
from jaxpower.report.compare.statistics import Cost, Estimate, Observation

CLOSE = 0.015  # of a width: quantiles of so many draws


def cells(logs, censored=None, boards=None):
  """Observations of logs, (settings, seeds)."""
  logs = np.asarray(logs, float)
  return [
    [
      Observation(
        Cost(math.exp(log), bool(censored is not None and censored[k][r])),
        seed=r,
        board="" if boards is None else boards[k][r],
      )
      for r, log in enumerate(row)
    ]
    for k, row in enumerate(logs)
  ]


def width(estimate: Estimate) -> float:
  assert estimate.low is not None and estimate.high is not None
  return math.log(estimate.high / estimate.low)


def drawn(number, settings=4, seeds=3, share=0.5, sd=0.25):
  generator = np.random.default_rng(number)
  common = math.sqrt(share) * generator.standard_normal(seeds)
  own = math.sqrt(1 - share) * generator.standard_normal((settings, seeds))
  return sd * (common + own)


def test_one_setting_is_students_t_on_logs():
  logs = np.array([5.1, 5.4, 5.2, 5.9])
  cost = fit(cells([logs])).cost(0)
  assert cost is not None
  assert cost.value == pytest.approx(math.exp(logs.mean()))
  off = stats.t.ppf(0.975, 3) * stats.sem(logs)
  assert width(cost) == pytest.approx(2 * off, rel=2 * CLOSE)
  assert cost.low and cost.high
  assert cost.low * cost.high == pytest.approx(cost.value**2, rel=0.01)


def test_costs_and_ratios_of_complete_blocks_are_geometric_means():
  logs = drawn(1) + np.array([5.0, 5.5, 6.0, 7.0])[:, None]
  fitted = fit(cells(logs))
  means = np.exp(logs.mean(axis=1))
  assert [fitted.value(k) for k in range(4)] == pytest.approx(list(means))
  ratio = fitted.ratio(3, 0)
  assert ratio is not None
  assert ratio.value == pytest.approx(means[3] / means[0])


def test_a_planned_ratio_is_paired_by_seed():
  # The two-way analysis of variance: what a seed does to all cancels.
  logs = drawn(2, settings=6, seeds=5)
  ratio = fit(cells(logs)).ratio(1, 0)
  left = logs - logs.mean(axis=1, keepdims=True) - logs.mean(axis=0)
  left += logs.mean()
  sd = math.sqrt((left**2).sum() / 20)
  assert ratio is not None
  expected = 2 * stats.t.ppf(0.975, 20) * sd * math.sqrt(2 / 5)
  assert width(ratio) == pytest.approx(expected, rel=2 * CLOSE)


def test_all_pairs_at_once_are_tukeys():
  logs = drawn(3, settings=6, seeds=5)
  fitted = fit(cells(logs))
  pairs = [(a, b) for a in range(6) for b in range(a)]
  left = logs - logs.mean(axis=1, keepdims=True) - logs.mean(axis=0)
  left += logs.mean()
  sd = math.sqrt((left**2).sum() / 20)
  expected = 2 * stats.studentized_range.ppf(0.95, 6, 20) * sd / math.sqrt(5)
  widths = [width(ratio) for ratio in fitted.ratios(pairs) if ratio]
  assert np.mean(widths) == pytest.approx(expected, rel=2 * CLOSE)
  to_first = fitted.ratios_to(0)
  assert to_first[0] == Estimate(1.0)
  assert to_first[3] is not None
  assert width(to_first[3]) == pytest.approx(expected, rel=3 * CLOSE)


def test_two_settings_of_two_seeds_do_not_lose_their_last_degree():
  # Blocks would leave one degree of freedom and intervals four times as wide.
  logs = np.array([[0.0, 0.2], [0.1, 0.25]])
  ratio = fit(cells(logs)).ratio(1, 0)
  sd = math.sqrt((0.1**2 * 2 + 0.075**2 * 2) / 2)
  assert ratio is not None
  assert width(ratio) == pytest.approx(
    2 * stats.t.ppf(0.975, 2) * sd, rel=3 * CLOSE
  )


def test_one_seed_of_each_setting_has_no_interval():
  fitted = fit(cells([[1.0], [2.0]]))
  assert fitted.draws is None and not fitted.differs()
  assert fitted.cost(0) == Estimate(math.exp(1.0))
  ratio = fitted.ratio(1, 0)
  assert ratio is not None and ratio.low is None
  assert ratio.value == pytest.approx(math.e)


def test_one_seed_borrows_the_scatter_of_other_settings():
  observations = cells(drawn(4))
  observations.append([Observation(Cost(2.0), seed=0)])
  cost = fit(observations).cost(4)
  assert cost is not None and cost.low is not None and cost.low < 2.0


def test_the_order_of_records_moves_nothing():
  observations = cells(drawn(5), censored=np.eye(4, 3, dtype=bool))
  turned = [cell[::-1] for cell in observations]
  assert fit(turned).cost(2) == fit(observations).cost(2)


def test_equal_costs_have_intervals_of_no_width():
  cost = fit(cells(np.full((3, 3), 4.0))).cost(1)
  assert cost is not None
  assert cost.low == pytest.approx(cost.value) == cost.high


def test_a_miss_makes_a_setting_costlier_and_less_sure():
  logs = drawn(6)
  plain = fit(cells(logs)).cost(0)
  censored = np.zeros((4, 3), bool)
  censored[0, 0] = True
  missed = fit(cells(logs, censored)).cost(0)
  assert plain and missed
  assert missed.value > plain.value and width(missed) > width(plain)


def test_a_setting_that_mostly_missed_has_no_estimate():
  censored = np.zeros((4, 3), bool)
  censored[2, :2] = True
  fitted = fit(cells(drawn(7), censored))
  assert fitted.known == (0, 1, 3)
  assert fitted.cost(2) is None and fitted.ratio(2, 0) is None
  assert fitted.ratios_to(0)[2] is None
  half = cells(drawn(7, seeds=4), np.array([[True, True, False, False]] * 4))
  assert fit(half).known == (0, 1, 2, 3)


def test_few_exact_costs_may_leave_no_upper_end():
  censored = [[False, True], [False, False]]
  cost = fit(cells([[0.0, 0.1], [0.3, 0.35]], censored)).cost(0)
  assert cost is not None and cost.high is not None
  assert cost.high > 10 * cost.value


def test_no_observations_are_no_fit():
  assert fit([[], []]).known == ()
  assert fit([[], []]).ratios_to(0) == ()


def test_a_setting_on_a_board_of_its_own_may_owe_its_cost_to_the_board():
  logs = drawn(8, sd=0.02)
  mixed = [["a", "b", "a"], ["b", "a", "b"], ["a", "b", "a"], ["b", "a", "b"]]
  apart = [["a"] * 3, ["b"] * 3, ["a"] * 3, ["b"] * 3]
  one = fit(cells(logs)).ratio(1, 0)
  on_both = fit(cells(logs, boards=mixed)).ratio(1, 0)
  confounded = fit(cells(logs, boards=apart)).ratio(1, 0)
  assert one and on_both and confounded
  assert width(on_both) < 2 * width(one)
  assert width(confounded) > 2 * width(on_both)


def test_draws_are_so_many():
  fitted = fit(cells(drawn(9)))
  assert fitted.draws is not None and fitted.draws.shape == (DRAWS, 4)
  costs = fitted.costs(0)
  assert costs is not None
  assert np.median(costs) == pytest.approx(fitted.value(0), rel=0.02)


@pytest.mark.parametrize(
  ("settings", "seeds", "share", "sweeps"),
  [(2, 2, 0.0, 200), (2, 2, 0.5, 200), (4, 3, 0.0, 200), (4, 3, 0.5, 200)],
)
def test_flat_grids_seldom_tell_a_difference(settings, seeds, share, sweeps):
  false = held = 0
  for number in range(sweeps):
    fitted = fit(cells(drawn((number, 17), settings, seeds, share)))
    false += fitted.differs()
    cost = fitted.cost(0)
    assert cost and cost.low and cost.high
    held += cost.low <= 1 <= cost.high
  # Three standard errors of 5 % in so many sweeps.
  assert false / sweeps <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / sweeps)
  assert held / sweeps >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / sweeps)


def test_costs_with_misses_are_held():
  # Two of ten trials miss a budget; the truth is 1.
  sd, sweeps = 0.25, 40
  budget = sd * stats.norm.ppf(0.8)
  held = told = 0
  for number in range(sweeps):
    logs = drawn((number, 18), seeds=5, share=0.0, sd=sd)
    cost = fit(cells(np.minimum(logs, budget), logs > budget)).cost(0)
    if cost and cost.low and cost.high:
      told += 1
      held += cost.low <= 1 <= cost.high
  assert told > 0.8 * sweeps
  assert held / told >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / told)


def exactly(call, monkeypatch):
  """What the methods for few settings say, of many too."""
  with monkeypatch.context() as patch:
    patch.setattr(model, "MANY_SETTINGS", 1_000)
    patch.setattr(posterior, "MANY_SETTINGS", 1_000)
    return call()


def some_missing(logs):
  """Observations of some of the seeds, on two boards."""
  shape = len(logs), len(logs[0])
  boards = np.where(np.indices(shape).sum(axis=0) % 3, "a", "b")
  kept = np.random.default_rng(0).random(shape) < 0.8
  kept[:, 0] = True
  every = cells(logs, boards=boards)
  return [
    [each for each, keep in zip(cell, row, strict=True) if keep]
    for cell, row in zip(every, kept, strict=True)
  ]


@pytest.mark.parametrize("observe", [cells, some_missing])
def test_many_settings_have_the_intervals_of_few(observe, monkeypatch):
  observations = observe(drawn(11, settings=40))
  many = fit(observations)
  few = exactly(lambda: fit(observations), monkeypatch)
  assert many.draws is not None and few.draws is not None
  np.testing.assert_allclose(many.estimates, few.estimates)
  np.testing.assert_allclose(
    np.std(many.draws, axis=0), np.std(few.draws, axis=0), rtol=0.01
  )
  ratios = many.ratios_to(0)[1:]
  exact = exactly(lambda: few.ratios_to(0), monkeypatch)[1:]
  widths = [
    width(a) / width(b) for a, b in zip(ratios, exact, strict=True) if a and b
  ]
  assert len(widths) == 39
  assert np.mean(widths) == pytest.approx(1, rel=0.02)
  assert min(widths) > 0.95 and max(widths) < 1.05


def test_fewer_draws_are_of_the_whole_posterior():
  # Every eighth of Sobol points has its first two numbers in a part of (0, 1).
  fewer = model._fewer(posterior._even(43)[0])
  assert fewer.min(axis=0).max() < 0.01 and fewer.max(axis=0).min() > 0.99


def test_flat_grids_of_many_settings_rarely_differ():
  # 5 % of 40 sweeps are two; six or more are one in seventy.
  flat = (fit(cells(drawn(100 + n, settings=40))) for n in range(40))
  assert 0 < sum(each.differs() for each in flat) < 6
