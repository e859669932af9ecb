"""The spread of a setting's trials, and where names of lines stand."""

import math

import pytest

from jaxpower.report.compare import curves
from jaxpower.report.compare.curves import spread


def test_the_spread_is_from_the_least_to_the_most_accurate():
  found = spread([[(1, 0.2), (3, 0.6)], [(2, 0.3), (4, 0.9)]])
  assert found is not None
  assert found.joules == (2, 3, 4)
  assert found.low == pytest.approx((0.3, 0.6, 0.6))
  # A trial that ended keeps its last accuracy.
  assert found.high == pytest.approx((0.4, 0.6, 0.9))


def test_in_logs_accuracies_lie_on_lines_over_the_logarithm():
  found = spread([[(0, 0.0), (1, 0.2), (100, 0.6)], [(10, 0.0)]], log=True)
  assert found is not None
  assert found.joules == (10, 100)
  assert found.high == pytest.approx((0.4, 0.6))


@pytest.mark.parametrize(
  "given", [[], [[(1, 0.5), (2, 0.6)]], [[], [(1, 0.5)]]]
)
def test_fewer_than_two_trials_have_no_spread(given):
  assert spread(given) is None


def test_of_very_many_evaluations_some_are_looked_at(monkeypatch):
  monkeypatch.setattr(curves, "MOST_LOOKS", 10)
  long = [(float(x), math.sqrt(x)) for x in range(1, 1001)]
  found = spread([long, [(x, 2 * y) for x, y in long]])
  assert found is not None
  assert len(found.joules) <= 12
  assert (min(found.joules), max(found.joules)) == (1, 1000)
