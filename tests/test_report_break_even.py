"""After how many uses an investment is paid back."""

import math

import numpy as np
import pytest

from jaxpower.report.cells import break_even_cell
from jaxpower.report.compare.break_even import (
  UNKNOWN,
  BreakEven,
  Invested,
  break_even,
)
from jaxpower.report.compare.model import fit
from jaxpower.report.compare.statistics import Cost, Estimate, Observation


def cell(*joules):
  """A setting of one seed per joules; negative ones are of a miss."""
  return [
    Observation(Cost(abs(spent), censored=spent < 0), seed)
    for seed, spent in enumerate(joules)
  ]


def paid_back(invested, before, after, *others):
  """Breaks even over cells of one fit; `invested` is exact."""
  costs = fit([cell(*before), cell(*after), *(cell(*o) for o in others)])
  return break_even(Invested(Estimate(invested)), costs, 0, 1)


def typically(*joules):
  invested = Invested.typically(joules)
  assert invested is not None
  return invested


def test_break_even_is_the_investment_over_the_saving():
  found = paid_back(900.0, (90, 100, 110), (9, 10, 11))
  # Of typical costs: 900 over geometric means, 99.67 - 9.97.
  assert found.uses == pytest.approx(900 / (990000 ** (1 / 3) * 0.9), rel=0.01)
  assert found.uses is not None
  assert found.low is not None and found.high is not None
  assert found.uses is not None
  assert 7 < found.low < found.uses < found.high < 15


def test_what_a_seed_does_to_both_costs_no_certainty():
  """Seeds differ by 4 times, before and after alike."""
  before = [50.0, 100.0, 150.0, 200.0]
  together = paid_back(1000.0, before, [0.9 * joules for joules in before])
  assert together.high is not None and together.high < math.inf
  crossed = paid_back(1000.0, before, [0.9 * j for j in reversed(before)])
  assert crossed.high == math.inf
  assert crossed.uses == pytest.approx(together.uses)
  assert break_even_cell(crossed).endswith(" to never)")


def test_other_settings_say_how_costs_scatter():
  def width(*others):
    found = paid_back(900.0, (95.0, 105.0), (47.5, 51.5), *others)
    assert found.low is not None and found.high is not None
    return found.high - found.low

  others = [(v, 1.1 * v) for v in (30.0, 70.0, 200.0, 300.0)]
  assert width(*others) < width()


def test_never_where_nothing_is_saved():
  found = paid_back(100.0, (50.0, 52.0, 51.0), (90.0, 95.0, 93.0))
  assert found == BreakEven(math.inf, low=math.inf, high=math.inf)
  assert found.never and not found.perhaps_never
  assert break_even_cell(found) == "never"


def test_an_interval_may_end_with_never():
  found = paid_back(100.0, (50.0, 70.0), (45.0, 60.0))
  assert found.high == math.inf and not found.never
  assert found.perhaps_never
  unlike = paid_back(100.0, (45.0, 60.0), (50.0, 70.0))
  assert unlike.uses == math.inf
  assert unlike.low is not None and unlike.low < math.inf
  assert unlike.perhaps_never and not unlike.never
  assert break_even_cell(unlike).startswith("never (")


def test_one_seed_has_no_interval():
  found = paid_back(100.0, (50.0,), (10.0,))
  assert found.uses == pytest.approx(2.5)
  assert (found.low, found.high) == (None, None)
  assert break_even_cell(found) == "2.5"
  nothing = paid_back(100.0, (10.0,), (50.0,))
  assert nothing.perhaps_never and not nothing.never


def test_nothing_invested_is_paid_back_at_once():
  found = paid_back(0.0, (50.0, 51.0, 52.0), (10.0, 11.0, 12.0))
  assert found == BreakEven(0.0, low=0.0, high=0.0)
  assert typically(0.0).joules == Estimate(0.0)


def test_a_miss_is_more_than_it_spent_and_no_bound_of_uses():
  """Scratch's third seed gave up at 120 J: the saving is larger for it."""
  missed = paid_back(1000.0, (110.0, 115.0, -120.0), (20.0, 21.0, 22.0))
  taken_as_cost = paid_back(1000.0, (110.0, 115.0, 120.0), (20.0, 21.0, 22.0))
  assert None not in (missed.uses, taken_as_cost.uses)
  assert (missed.uses or 0) < (taken_as_cost.uses or 0)
  assert not missed.at_least
  assert missed.high is not None and math.isfinite(missed.high)


def test_a_setting_that_mostly_missed_says_nothing():
  for before, after in (
    ((-50.0, -50.0, 60.0), (10.0, 11.0, 12.0)),
    ((50.0, 51.0, 52.0), (-10.0, -11.0, -12.0)),
  ):
    found = paid_back(100.0, before, after)
    assert found == BreakEven(None, unknown=UNKNOWN)
    assert break_even_cell(found) == "unknown"


def test_an_investment_seen_in_part_makes_it_a_lower_bound():
  costs = fit([cell(50.0, 51.0, 52.0), cell(10.0, 11.0, 10.5)])
  exact = break_even(Invested(Estimate(100.0)), costs, 0, 1)
  part = break_even(Invested(Estimate(100.0, at_least=True)), costs, 0, 1)
  assert part == BreakEven(exact.uses, at_least=True, low=exact.low)
  assert break_even_cell(part) == "at least 2.5"
  unsure = fit([cell(50.0, 70.0), cell(45.0, 60.0)])
  part = break_even(Invested(Estimate(100.0, at_least=True)), unsure, 0, 1)
  assert part.high == math.inf  # more invested makes it no less so


def test_never_is_no_lower_bound():
  costs = fit([cell(50.0, 51.0), cell(90.0, 91.0)])
  found = break_even(Invested(Estimate(100.0, at_least=True)), costs, 0, 1)
  assert (found.uses, found.at_least) == (math.inf, False)


def test_what_was_invested_has_an_uncertainty_of_its_own():
  costs = fit([cell(100.0, 100.1, 99.9), cell(50.0, 50.1, 49.9)])
  repeats = (900.0, 1000.0, 1100.0)
  found = break_even(typically(*repeats), costs, 0, 1)
  estimate = typically(*repeats).joules
  assert estimate.low is not None and estimate.high is not None
  # Costs are known to 0.1 %, so the interval is that of what was invested.
  assert found.low == pytest.approx(estimate.low / 50, rel=0.03)
  assert found.high == pytest.approx(estimate.high / 50, rel=0.03)
  once = break_even(typically(1000.0), costs, 0, 1)
  assert once.low == pytest.approx(20, rel=0.02)


def test_draws_of_what_was_invested_are_no_draws_of_the_costs():
  """Drawn by the same numbers they would cancel, or add up."""
  costs = fit([cell(90.0, 100.0, 110.0)])
  drawn = costs.costs(0)
  assert drawn is not None
  invested = typically(90.0, 100.0, 110.0).draws(len(drawn))
  first, second = (np.argsort(np.argsort(each)) for each in (drawn, invested))
  assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_investments_without_a_log():
  assert Invested.typically(()) is None
  assert Invested.typically((0.0, 100.0)) is None


def test_a_saving_too_small_for_a_number_never_pays_back():
  """As draws are of two seeds that differ by far: warnings are errors."""
  found = paid_back(1e300, (1e-5, 1e-5 + 1e-14), (1e-5, 1e-5 - 1e-14))
  assert found.high == math.inf
  few = Invested.typically((1e-10, 1e10))
  assert few is not None
  costs = fit([cell(50.0, 51.0), cell(10.0, 11.0)])
  found = break_even(few, costs, 0, 1)
  assert found.low is not None and found.high is not None
  assert found.low < 1e-10 and found.high > 1e10
