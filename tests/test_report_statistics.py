"""Medians where some values are lower bounds: exact cases and invariants."""

import math
import statistics

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxpower.report.compare.statistics import (
  Cost,
  Estimate,
  Span,
  mean_with_interval,
  median,
  median_ratio,
  range_coverage,
  ratio,
)


def reached(*values: float) -> list[Cost]:
  return [Cost(value) for value in values]


def missed(*values: float) -> list[Cost]:
  return [Cost(value, censored=True) for value in values]


def test_median_of_reached_trials_is_the_plain_median():
  assert median(reached(204, 221, 212)) == Estimate(212, False, 204, 221)


@pytest.mark.parametrize(
  ("costs", "value", "at_least"),
  [
    # A miss above all others leaves the median where it is.
    (reached(10, 20) + missed(30), 20, False),
    # The median falls on a miss: it is at least that miss.
    (reached(10) + missed(30, 40), 30, True),
    # A miss that stopped early may lie on either side of 25.
    (reached(10, 25) + missed(20), 20, True),
    # With an even count the mean of the middle two, one of them a miss.
    (reached(10, 20) + missed(30, 40), 25, True),
    (reached(10, 20, 21) + missed(40), 20.5, False),
    (missed(600, 655, 660), 655, True),
    (missed(7), 7, True),
  ],
)
def test_censored_costs_take_part(costs, value, at_least):
  found = median(costs)
  assert found is not None
  assert (found.value, found.at_least) == (value, at_least)


def test_upper_end_is_endless_where_misses_could_be_anything():
  assert median(reached(10, 20) + missed(30)) == Estimate(
    20, False, 10, math.inf
  )


def test_no_costs_have_no_median_and_one_has_no_interval():
  assert median([]) is None
  assert median(reached(212)) == Estimate(212, False, None, None)


def test_interval_is_the_quantile_of_the_bootstrap_distribution():
  # The bootstrap median of 1..7 is at most k when at least 4 of 7 draws are.
  at_most = [scipy.stats.binom.sf(3, 7, k / 7) for k in range(8)]
  low = next(k for k in range(8) if at_most[k] > 0.025)
  high = next(k for k in range(8) if at_most[k] > 0.975)
  found = median(reached(*range(1, 8)))
  assert found == Estimate(4, False, low, high)
  assert (low, high) == (2, 6)


def test_ratio_of_exact_medians():
  found = ratio(reached(390, 400, 420), reached(195, 200, 210))
  assert found == Estimate(2, False, 390 / 210, 420 / 195)


def test_ratio_to_a_group_that_mostly_missed_is_a_lower_bound():
  found = ratio(reached(600) + missed(655, 660), reached(204, 212, 221))
  assert found is not None
  assert found.value == 655 / 212
  assert found.at_least
  assert (found.low, found.high) == (600 / 221, math.inf)


def test_misses_in_the_base_open_the_ratio_downward():
  found = ratio(reached(100, 110, 120), reached(10, 20) + missed(30))
  assert found == Estimate(5.5, False, 0, 12)


@pytest.mark.parametrize(
  "base", [[], missed(10, 20), reached(0), reached(-3, -4)]
)
def test_no_ratio_to_what_is_not_known_or_not_above_zero(base):
  assert ratio(reached(10, 20), base) is None


def test_no_ratio_of_nothing_and_no_interval_with_one_seed():
  assert ratio([], reached(1, 2)) is None
  assert ratio(reached(10, 20, 30), reached(10)) == Estimate(2, False)
  assert ratio(reached(20), reached(5, 10, 15)) == Estimate(2, False)


def test_range_of_three_holds_the_median_in_three_of_four_cases():
  assert range_coverage(3) == 0.75
  assert range_coverage(6) > 0.95 > range_coverage(5)


def test_order_is_irrelevant_where_ends_lie_inside_the_range():
  costs, base = reached(*(1.1**k for k in range(12))), reached(*range(3, 16))
  forward, backward = ratio(costs, base), ratio(costs[::-1], base[::-1])
  assert forward == backward


joules = st.floats(1.0, 1e6)
trials = st.lists(
  st.tuples(joules, st.none() | st.floats(0.01, 1.0)), min_size=1, max_size=9
)


def watched(cases: list[tuple[float, float | None]]) -> list[Cost]:
  """Costs as they are seen: in full, or up to a share of the truth."""
  return [
    Cost(truth) if share is None else Cost(truth * share, censored=True)
    for truth, share in cases
  ]


@settings(deadline=None, max_examples=30)
@given(trials)
def test_a_lower_bound_is_never_above_the_truth(cases):
  found, truth = median(watched(cases)), statistics.median(t for t, _ in cases)
  assert found is not None
  if found.at_least:
    assert found.value <= truth
  else:
    assert found.value == pytest.approx(truth, rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(trials)
def test_the_interval_holds_its_median(cases):
  found = median(watched(cases))
  assert found is not None
  if len(cases) == 1:
    assert found.low is None
    assert found.high is None
  else:
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high


@settings(deadline=None, max_examples=25)
@given(trials, st.integers(-8, 8))
def test_scaled_joules_scale_the_median(cases, power):
  costs, factor = watched(cases), 2.0**power  # exact in floating point
  scaled = median([Cost(c.value * factor, c.censored) for c in costs])
  plain = median(costs)
  assert plain is not None
  assert scaled == Estimate(
    plain.value * factor,
    plain.at_least,
    None if plain.low is None else plain.low * factor,
    None if plain.high is None else plain.high * factor,
  )


@settings(deadline=None, max_examples=25)
@given(trials, trials, st.randoms(use_true_random=False))
def test_order_is_irrelevant(ours, theirs, random):
  costs, base = watched(ours), watched(theirs)
  mixed = random.sample(costs, len(costs))
  assert median(mixed) == median(costs)
  assert ratio(mixed, base[::-1]) == ratio(costs, base)


def test_pairs_are_compared_seed_by_seed():
  pairs = list(zip(reached(6, 60, 600), reached(10, 100, 1000), strict=True))
  assert median_ratio(pairs) == Span(0.6, 0.6, 0.6, 0.6)
  assert median_ratio(pairs[:1]) == Span(0.6, 0.6)
  assert median_ratio([]) is None
  assert median_ratio([(Cost(1.0), Cost(0.0))]) is None


def test_a_bounded_cost_leaves_its_ratio_open_on_its_side():
  known = (Cost(5.0), Cost(10.0))
  above = (Cost(20.0, censored=True), Cost(10.0))
  below = (Cost(5.0), Cost(10.0, censored=True))
  assert median_ratio([known, known, above]) == Span(0.5, 0.5, 0.5, math.inf)
  assert median_ratio([above]) == Span(2.0, math.inf)
  assert median_ratio([below]) == Span(0.0, 0.5)
  assert median_ratio([known, known, below]) == Span(0.5, 0.5, 0.0, 0.5)


@given(
  st.lists(
    st.tuples(
      st.floats(1, 100), st.booleans(), st.floats(1, 100), st.booleans()
    ),
    min_size=2,
    max_size=8,
  )
)
@settings(max_examples=25, deadline=None)
def test_an_interval_of_pairs_holds_their_median(drawn):
  pairs = [(Cost(a, b), Cost(c, d)) for a, b, c, d in drawn]
  found = median_ratio(pairs)
  assert found is not None
  assert found.low is not None
  assert found.high is not None
  assert found.low <= found.least <= found.most <= found.high
  assert median_ratio(pairs[::-1]) == found


def test_a_mean_has_the_t_interval_of_its_values():
  values = [-4.0, -5.0, -6.5, -5.5]
  found = mean_with_interval(values)
  expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
  assert found is not None
  assert found.value == statistics.fmean(values)
  assert (found.low, found.high) == pytest.approx(tuple(expected))
  assert mean_with_interval([]) is None
  assert mean_with_interval([3.0]) == Estimate(3.0)
