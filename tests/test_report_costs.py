"""What a trial cost, by every way to count."""

import dataclasses
import statistics
from dataclasses import replace

import pytest
from report_records import record, seeds

from jaxpower.report.compare.costs import (
  COUNTINGS,
  EXAMPLES,
  JOULES_PER_EXAMPLE,
  SECONDS,
  TRAIN_COMPILE_EVAL,
  all_known,
  by_seed,
  costs,
  exact_by_seed,
  missed_within,
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


def test_warm_up_counts_with_compiling():
  phases = {"warmup": 7.0, "train": 200.0, "eval": 10.0}
  trials = [record(64, 0, 200.0), record(64, 0, -200.0)]
  for trial in trials:
    warmed = dataclasses.replace(trial, joules_by_phase=phases)
    unknown = dataclasses.replace(
      trial, joules_by_phase=phases | {"warmup": None}
    )
    for counting, spent in (
      (COUNTINGS["compile"], 237.0),
      (TRAIN_COMPILE_EVAL, 247.0),
    ):
      missed = trial.status == "missed"
      assert costs([warmed], counting) == (Cost(spent, missed),)
      assert costs([unknown], counting) is None


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
  mean = Cost(statistics.geometric_mean([210.0, 250.0]))
  assert costs(trials) == (Cost(200.0), mean)


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


def test_one_unknown_cost_leaves_all_costs_unknown():
  trials = [*seeds(64, 200.0), record(64, 1, None)]
  assert costs(trials) is None
  assert costs([]) == ()


@pytest.mark.parametrize(
  ("seconds", "examples"),
  # A look every 0.4 s and 2,048 examples; the last crossed between two.
  [(4.0, 20_480), (1.2, 6_144), (1.3, 6_656)],
)
def test_examples_to_the_target_are_those_of_its_crossing(
  seconds: float, examples: int
):
  trial = record(64, 0, 200.0, seconds_to_accuracy=seconds)
  cost = trial_cost(trial, EXAMPLES)
  assert cost is not None and not cost.censored
  assert cost.value == pytest.approx(examples)


def test_examples_of_a_miss_are_a_bound_and_joules_per_example_are_not():
  missed = record(64, 0, -204.8)
  assert costs([missed], EXAMPLES) == (Cost(20_480, censored=True),)
  assert costs([missed], JOULES_PER_EXAMPLE) == (Cost(204.8 / 20_480),)
  blind = dataclasses.replace(record(64, 0, 200.0), curve=())
  assert costs([blind], EXAMPLES) is None


def test_within_the_least_that_a_miss_spent_none_of_them_got_there():
  missed, failed = seeds(64, -300.0, -200.0), record(64, 5, status="failed")
  assert missed_within([*missed, failed, record(64, 3, 100.0)]) == 200
  assert missed_within([record(64, 3, 100.0)]) is None
  unknown = dataclasses.replace(missed[0], train_joules=None)
  assert missed_within([unknown, missed[1]]) is None
