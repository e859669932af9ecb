"""After how many uses an investment is paid back."""

import math

import pytest

from jaxpower.report.cells import break_even_cell
from jaxpower.report.compare.break_even import (
  BreakEven,
  break_even,
  break_even_by_seed,
)
from jaxpower.report.compare.statistics import Cost


def exact(*values):
  return [Cost(value) for value in values]


def at_least(*values):
  return [Cost(value, censored=True) for value in values]


def test_break_even_is_the_investment_over_the_saving():
  found = break_even(
    exact(900, 1000, 1100), exact(110, 120, 130), exact(10, 20, 30)
  )
  assert found is not None
  assert found.uses == 10.0
  # Each draw of one seed saves 100; only the investment varies.
  assert (found.low, found.high) == (9.0, 11.0)
  assert break_even_cell(found) == "10 (9.0 to 11)"


def test_seeds_are_drawn_together():
  """What one seed costs more before and after costs no certainty."""
  before = exact(110, 210, 310, 410, 510)
  together = break_even(
    exact(*[1000] * 5), before, exact(10, 110, 210, 310, 410)
  )
  assert together == BreakEven(10.0, low=10.0, high=10.0)
  crossed = break_even(
    exact(*[1000] * 5), before, exact(410, 310, 210, 110, 10)
  )
  assert crossed is not None
  assert (crossed.uses, crossed.high) == (10.0, math.inf)
  assert break_even_cell(crossed).endswith("to never)")


def test_never_where_nothing_is_saved():
  found = break_even(exact(100, 100), exact(50, 50), exact(50, 50))
  assert found == BreakEven(math.inf, low=math.inf, high=math.inf)
  assert found is not None and found.never
  assert break_even_cell(found) == "never"


def test_one_seed_has_no_interval():
  assert break_even(exact(100), exact(50), exact(10)) == BreakEven(2.5)
  assert break_even_cell(BreakEven(2.5)) == "2.5"


def test_nothing_invested_is_paid_back_at_once():
  assert break_even(exact(0), exact(50), exact(10)) == BreakEven(0.0)


def test_a_miss_from_scratch_makes_it_an_upper_bound():
  found = break_even(
    exact(100, 100, 100), at_least(50, 50, 50), exact(10, 10, 10)
  )
  assert found == BreakEven(2.5, at_most=True, low=0.0, high=2.5)
  assert break_even_cell(found) == "at most 2.5 (0 to 2.5)"


def test_a_miss_after_makes_it_a_lower_bound_up_to_never():
  found = break_even(
    exact(100, 100, 100), exact(50, 50, 50), at_least(10, 10, 10)
  )
  assert found == BreakEven(2.5, at_least=True, low=2.5, high=math.inf)
  assert break_even_cell(found) == "at least 2.5 (2.5 to never)"


def test_a_miss_after_at_more_than_the_cost_before_is_never():
  found = break_even(exact(100), exact(50), at_least(60))
  assert found == BreakEven(math.inf)


def test_a_cheap_miss_before_says_nothing():
  """Scratch gave up at 5 J: it may have cost 6 or 6000."""
  found = break_even(exact(100), at_least(5), exact(10))
  assert found == BreakEven(None)
  assert break_even_cell(found) == "unknown"


def test_misses_on_both_sides_say_nothing():
  assert break_even(exact(100), at_least(50), at_least(10)) == BreakEven(None)


def test_a_miss_that_cannot_move_the_median_leaves_it_exact():
  before = [*exact(100, 100), *at_least(100)]
  found = break_even(exact(90, 90, 90), before, exact(10, 10, 10))
  assert found is not None
  assert (found.uses, found.at_most, found.high) == (1.0, False, 1.0)
  assert found.low == 0.0  # a draw of the miss alone saves no one knows what


def test_an_investment_only_bounded_makes_it_a_lower_bound():
  assert break_even(at_least(100), exact(50), exact(10)) == BreakEven(
    2.5, at_least=True
  )


def test_no_seeds_and_unequal_seeds():
  assert break_even([], [], []) is None
  assert break_even_cell(None) == "unknown"
  with pytest.raises(ValueError, match="1, 2, 1 seeds"):
    break_even(exact(1), exact(1, 2), exact(1))


def test_seeds_that_all_three_have_are_paired():
  invested = {0: Cost(100.0), 1: Cost(300.0), 7: Cost(1.0)}
  before = {0: Cost(60.0), 1: Cost(60.0)}
  after = {0: Cost(10.0), 1: Cost(10.0), 2: Cost(10.0)}
  assert break_even_by_seed(invested, before, after) == break_even(
    exact(100, 300), exact(60, 60), exact(10, 10)
  )
  assert break_even_by_seed(invested, before, {}) is None
