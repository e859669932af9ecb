"""Which records are pooled, and what a group of them costs."""

import math
import random

import pytest
from report_records import GPU, record, seeds

from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.statistics import Estimate

OTHER_GPU = "GPU-91bc77e2-40d3-4d0c-b5a6-7f3e8c2a1b0d"


def one(records):
  (comparison,) = compare(records)
  return comparison


def test_groups_stand_in_the_order_of_their_values():
  found = one(seeds(1024, 9.0) + seeds(64, 9.0) + seeds(256, 9.0))
  assert [g.varied["batch_size"] for g in found.groups] == [64, 256, 1024]


def test_a_group_counts_all_its_trials():
  found = one(
    [
      record(seed=0, joules=212.0),
      record(seed=1, joules=655.0, status="missed"),
      record(seed=2, joules=40.0, status="diverged"),
      record(seed=3, status="failed"),
      record(seed=4, joules=220.0, partial=True, reasons=("DRAM lost",)),
    ]
  )
  (group,) = found.groups
  counted = {s: group.count(s) for s in ("reached", "missed", "diverged")}
  assert counted == {"reached": 2, "missed": 1, "diverged": 1}
  assert (group.count("failed"), group.partial) == (1, 2)


def test_a_failed_trial_carries_no_number():
  trials = [*seeds(64, 204, 212, 221), record(64, 3, status="failed")]
  (group,) = one(trials).groups
  assert group.joules == Estimate(212, False, 204, 221)
  assert len(group.records) == 4


def test_a_group_of_failed_trials_is_unknown_and_says_why():
  found = one([*seeds(64, 212), record(128, status="failed")])
  group = found.groups[1]
  assert group.joules is None
  assert group.ratio is None
  assert group.unknown == "every trial failed: worker died (signal 9)"


@pytest.mark.parametrize("status", ["reached", "missed", "diverged"])
def test_one_trial_of_unknown_joules_makes_its_group_unknown(status):
  lost = record(
    64, 2, None, status, partial=True, reasons=("GPU lost at 4.1 s",)
  )
  found = one([*seeds(64, 204, 212), lost, *seeds(128, 300)])
  group = found.groups[0]
  assert group.joules is None
  assert group.joules_per_1000_examples is None
  assert group.unknown == "GPU lost at 4.1 s"
  assert group.seconds is not None
  assert found.best is found.groups[1]


def test_zero_joules_are_a_number_and_not_unknown():
  (group,) = one(seeds(64, 0.0)).groups
  assert group.joules == Estimate(0.0)


def test_best_is_the_lowest_median_that_is_known():
  early = record(16, 0, 5.0, "diverged")  # at least 5 J: may be any number
  found = one([early, *seeds(64, 212), *seeds(128, 300)])
  assert found.best is found.groups[1]
  assert found.groups[1].ratio == Estimate(1.0)
  assert found.groups[0].ratio == Estimate(5 / 212, at_least=True)


def test_energy_ratio_is_worst_over_best():
  found = one(seeds(64, 195, 200, 210) + seeds(1024, 390, 400, 420))
  assert found.energy_ratio == Estimate(2, False, 390 / 210, 420 / 195)
  assert found.worst is found.groups[1]


def test_energy_ratio_is_a_lower_bound_when_any_group_is_bounded():
  low = record(16, 0, 250.0, "missed")
  found = one([low, *seeds(64, 200), *seeds(128, 400)])
  assert found.energy_ratio == Estimate(2, at_least=True)


def test_a_bounded_group_leaves_the_energy_ratio_without_an_upper_end():
  missed = [record(16, s, 250.0, "missed") for s in (0, 1)]
  found = one([*missed, *seeds(64, 190, 210), *seeds(128, 380, 420)])
  assert found.energy_ratio == Estimate(2, True, 380 / 210, math.inf)


def test_no_best_where_nobody_reached():
  found = one([record(64, 0, 10.0, "missed"), record(128, 0, 20.0, "missed")])
  assert found.best is None
  assert found.energy_ratio is None
  assert all(group.ratio is None for group in found.groups)


def test_another_way_to_count_may_rank_otherwise():
  quick = record(64, 0, 200.0, joules_to_accuracy_with_compile=900.0)
  steady = record(128, 0, 300.0, joules_to_accuracy_with_compile=330.0)
  found = one([quick, steady])
  assert found.rankings["train"].order == (0, 1)
  assert found.rankings["compile"].order == (1, 0)
  assert found.rankings["compile"].energy_ratio == Estimate(900 / 330)
  assert found.rankings["eval"].order == (0, 1)


def test_a_way_to_count_that_knows_less_is_left_out():
  blind = record(64, 0, 200.0, active_joules_to_accuracy=None)
  found = one([blind, *seeds(128, 300)])
  assert set(found.rankings) == {"train", "compile", "eval"}


def test_joules_per_1000_examples_carry_the_widest_bound_of_the_meter():
  (group,) = one(seeds(64, 204.8, 409.6, 614.4)).groups
  assert group.joules_per_1000_examples == pytest.approx(20)
  assert group.joules_per_1000_examples_bound == pytest.approx(0.3)


def test_no_bound_where_the_meter_gave_none():
  trials = [*seeds(64, 200), record(64, 1, 210, train_joules_bound=None)]
  (group,) = one(trials).groups
  assert group.joules_per_1000_examples is not None
  assert group.joules_per_1000_examples_bound is None


def test_order_of_records_is_irrelevant():
  trials = [
    *seeds(16, 204, 212, 221),
    *seeds(64, 230, 205, 240),
    record(1024, 0, 600),
    record(1024, 1, 655, "missed"),
    record(1024, 2, status="failed"),
  ]
  mixed = random.Random(7).sample(trials, len(trials))
  assert compare(mixed) == compare(trials)


def test_no_records_make_no_comparison():
  assert compare([]) == ()
  assert record().joules_by_domain == {GPU: 212.0}
