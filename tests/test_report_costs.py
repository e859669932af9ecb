"""What a trial cost, by every way to count."""

import statistics
from dataclasses import replace

from report_records import record, seeds

from jaxpower.report.compare.costs import (
  COUNTINGS,
  SECONDS,
  all_known,
  by_seed,
  costs,
  costs_by_seed,
  exact_by_seed,
  trial_cost,
)
from jaxpower.report.compare.statistics import Cost


def test_a_missed_trial_is_bounded_in_every_way_to_count():
  trial = record(64, 0, 655.0, "missed")
  bounds = {
    name: costs([trial], counting) for name, counting in COUNTINGS.items()
  }
  assert bounds == {
    "train": (Cost(655.0, True),),
    "compile": (Cost(685.0, True),),
    "eval": (Cost(665.0, True),),
    "active": (Cost(655.0 - 88 * 4, True),),
  }
  assert costs([trial], SECONDS) == (Cost(4.0, True),)


def test_a_diverged_trial_is_bounded_by_its_whole_budget():
  """What diverged after a fortieth would not have reached it at the end."""
  budget = record().config | {"budget_examples": 20_480}
  early = record(64, 0, 10.0, "diverged", examples=512, config=budget)
  assert trial_cost(early) == Cost(400.0, True)
  assert trial_cost(early, SECONDS) == Cost(160.0, True)
  late = replace(early, examples=40_960)  # never less than it spent
  assert trial_cost(late) == Cost(10.0, True)
  old = replace(early, config=record().config)  # of a budget not on record
  assert trial_cost(old) == Cost(10.0, True)
  missed = replace(early, status="missed")
  assert trial_cost(missed) == Cost(10.0, True)


def test_one_unknown_makes_all_unknown():
  assert all_known([1.0, 0.0]) == (1.0, 0.0)
  assert all_known([1.0, None]) is None
  assert all_known([]) == ()


def test_costs_are_keyed_by_seed_and_a_seed_run_twice_has_one():
  first, again = seeds(64, 200.0, 210.0), record(64, 1, 250.0)
  trials = [*first, record(64, 2, status="failed"), again]
  assert by_seed(trials) == {0: (first[0],), 1: (first[1], again)}
  assert costs_by_seed(trials) == {
    0: Cost(200.0),
    1: Cost(statistics.geometric_mean([210.0, 250.0])),
  }


def test_a_number_of_each_seed_is_averaged_over_its_repeats():
  trials = seeds(64, 100.0, 300.0) + seeds(64, 400.0)
  assert exact_by_seed(trials, lambda trial: trial.train_joules) == {
    0: Cost(statistics.geometric_mean([100.0, 400.0])),
    1: Cost(300.0),
  }
  assert (
    exact_by_seed([*trials, record(64, 2, None)], lambda t: t.train_joules)
    == {}
  )


def test_one_unknown_cost_leaves_no_costs_by_seed():
  trials = [*seeds(64, 200.0), record(64, 1, None)]
  assert costs_by_seed(trials) == {}
  assert costs_by_seed([]) == {}
