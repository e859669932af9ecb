"""Costs and estimates as values, and the intervals of a plain mean."""

import math
import statistics

import numpy as np
import pytest
import scipy.stats

from jaxpower.report.compare.statistics import (
  Cost,
  Estimate,
  converted,
  mean,
  typical,
  typical_draws,
)


def test_a_censored_cost_has_no_ceiling():
  assert Cost(3.0).ceiling == 3.0
  assert Cost(3.0, censored=True).ceiling == math.inf


def test_converting_takes_the_interval_along():
  joules = Estimate(2e3, low=1e3, high=4e3)
  assert converted(joules, lambda x: x / 1e3) == Estimate(
    2.0, low=1.0, high=4.0
  )
  assert converted(Estimate(2e3), lambda x: x / 1e3) == Estimate(2.0)


def test_a_mean_has_the_t_interval_of_its_values():
  values = [-4.0, -5.0, -6.5, -5.5]
  found = mean(values)
  expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
  assert found is not None
  assert found.value == statistics.fmean(values)
  assert (found.low, found.high) == pytest.approx(tuple(expected))
  assert mean([]) is None
  assert mean([3.0]) == Estimate(3.0)


def test_a_typical_value_is_the_geometric_mean_with_t_on_logs():
  values = [100.0, 120.0, 90.0, 200.0]
  found, of_logs = typical(values), mean([math.log(value) for value in values])
  assert found and of_logs and of_logs.low and of_logs.high
  assert found.value == pytest.approx(statistics.geometric_mean(values))
  assert found.low == pytest.approx(math.exp(of_logs.low))
  assert found.high == pytest.approx(math.exp(of_logs.high))
  assert typical([]) is None
  one = typical([3.0])
  assert one is not None and one.low is None
  assert one.value == pytest.approx(3.0)


def test_draws_of_a_typical_value_spread_as_its_interval_does():
  values = [100.0, 120.0, 90.0, 200.0]
  found = typical(values)
  draws = typical_draws(values, 100_000, stream=5)
  assert found and found.low and found.high
  low, high = np.quantile(draws, (0.025, 0.975))
  assert low == pytest.approx(found.low, rel=0.02)
  assert high == pytest.approx(found.high, rel=0.02)
  assert (typical_draws(values, 9, 5) == typical_draws(values, 9, 5)).all()
  assert (typical_draws(values, 9, 5) != typical_draws(values, 9, 6)).all()
