"""Which records are pooled, and what a group of them costs."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from report_records import GPU, record, seeds

from jaxpower.records import Compilation
from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.compiling import with_compiling
from jaxpower.report.compare.fitted_settings import fit_settings
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.questions.cheapest.table import cost_table

OTHER_GPU = "GPU-91bc77e2-40d3-4d0c-b5a6-7f3e8c2a1b0d"


def one(records):
  (comparison,) = compare(records)
  return comparison


def test_groups_stand_in_the_order_of_their_values():
  found = one(seeds(1024, 9.0) + seeds(64, 9.0) + seeds(256, 9.0))
  assert [g.varied["batch_size"] for g in found.groups] == [64, 256, 1024]


def test_every_group_says_what_any_of_them_varies():
  """As where a record lost a field, or another version named more of them."""
  rate = "optimizer.learning_rate"
  found = one(
    [
      *seeds(64, 9.0, 9.5),
      record(64, 2, varied={}),
      record(64, 3, varied={"batch_size": 64, rate: 0.1}),
    ]
  )
  assert found.paths == ("batch_size", rate)
  assert [list(group.varied) for group in found.groups] == [[*found.paths]] * 3
  table = cost_table(found)
  assert {row[:2] for row in table.rows} == {
    ("64", "-"),
    ("-", "-"),
    ("64", "0.1"),
  }


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
  """Of one setting the model is Student's t on the logs."""
  trials = [*seeds(64, 204, 212, 221), record(64, 3, status="failed")]
  (group,) = one(trials).groups
  logs = np.log([204, 212, 221])
  off = t_quantile(2) * logs.std(ddof=1) / math.sqrt(3)
  assert group.joules is not None
  assert group.joules.value == pytest.approx((204 * 212 * 221) ** (1 / 3))
  holds(group.joules, off)
  assert len(group.records) == 4


def t_quantile(freedom: int) -> float:
  return float(scipy.stats.t.ppf(0.975, freedom))


def holds(found: Estimate | None, off: float) -> None:
  """Checks an interval against its half width in logs; 4000 draws give 4 %."""
  assert found is not None
  assert found.low is not None
  assert found.high is not None
  ends = math.log(found.value / found.low), math.log(found.high / found.value)
  assert ends == pytest.approx((off, off), rel=0.05)


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


@pytest.mark.parametrize(
  ("lost", "reason"),
  [
    # Of one that reached its target nothing is known, so neither are the misses
    # the reason that nothing is.
    (record(64, 2, None, "reached", reasons=("GPU lost",)), "GPU lost"),
    (record(64, 2, None, "reached"), "no energy was measured"),
    (record(64, 2, 0.0), "a trial's joules are not above zero"),
  ],
)
def test_misses_are_no_reason_where_there_is_another(lost, reason):
  partial = record(64, 0, 655.0, "missed", reasons=("DRAM lost",))
  (group,) = one([partial, record(64, 1, 650.0, "missed"), lost]).groups
  assert (group.joules, group.joules_missed) == (None, None)
  assert group.unknown == reason


def test_zero_joules_are_not_above_zero():
  """They have no logarithm: the model says nothing of them, and so do we."""
  found = one([*seeds(64, 0.0, 200.0), *seeds(128, 300.0, 310.0)])
  assert found.groups[0].joules is None
  assert found.groups[0].unknown == "a trial's joules are not above zero"
  assert found.best is found.groups[1]


@pytest.mark.parametrize(
  ("joules", "known"),
  [((204, 212, -655), True), ((204, -650), True), ((204, -650, -660), False)],
)
def test_no_estimate_where_more_than_half_of_the_seeds_missed(joules, known):
  found = one(seeds(64, *joules) + seeds(128, 300, 310, 320))
  group = found.groups[0]
  if known:
    assert group.joules is not None
    assert group.joules.value > 204
    assert (group.joules_missed, group.unknown) == (None, "")
  else:
    assert (group.joules, group.seconds, group.ratio) == (None, None, None)
    assert group.joules_missed == 655  # the median of what the misses spent
    assert group.unknown == "1 of 3 trials reached the target"
    assert found.best is found.groups[1]


def test_a_miss_raises_what_a_setting_costs():
  """Above the mean of the bounds: what it spent is the least it cost."""
  (group,) = one(seeds(64, 204, 212, -221)).groups
  assert group.joules is not None
  assert group.joules.value > (204 * 212 * 221) ** (1 / 3)
  (all_reached,) = one(seeds(64, 204, 212, 221)).groups
  assert group.joules.high is not None
  assert all_reached.joules is not None
  assert all_reached.joules.high is not None
  assert group.joules.high > all_reached.joules.high


def test_a_diverged_trial_counts_as_its_whole_budget():
  """It spent 10 J on 512 of 20,480 examples, so at least 400 J."""
  budget = record().config | {"budget_examples": 20_480}
  early = record(64, 2, 10.0, "diverged", examples=512, config=budget)
  (group,) = one([*seeds(64, 204, 212), early]).groups
  missed = record(64, 2, 400.0, "missed")
  (same,) = one([*seeds(64, 204, 212), missed]).groups
  assert group.joules == same.joules
  mostly = [replace(early, seed=seed, trial_id=f"{seed}") for seed in (3, 4)]
  (group,) = one([*seeds(64, 204, 212), early, *mostly]).groups
  assert group.joules is None
  assert group.joules_missed == 10  # what they spent, and no bound of anything


def test_best_is_the_lowest_estimate():
  early = record(16, 0, 5.0, "diverged")  # may have cost anything
  found = one([early, *seeds(64, 212), *seeds(128, 300)])
  assert found.best is found.groups[1]
  assert found.groups[1].ratio == Estimate(1.0)
  assert found.groups[0].ratio is None
  # A median is 205, but the geometric mean higher than that of the other.
  found = one(seeds(64, 200, 205, 400) + seeds(128, 210, 215, 220))
  assert found.best is found.groups[1]


def test_a_ratio_of_two_settings_is_one_of_geometric_means():
  """With two degrees of freedom blocks would say less: seeds are pooled."""
  ours, base = np.log([390, 400, 420]), np.log([195, 200, 210])
  found = one(seeds(64, 195, 200, 210) + seeds(1024, 390, 400, 420))
  ratio = found.groups[1].ratio
  assert ratio is not None
  assert ratio.value == pytest.approx(math.exp(ours.mean() - base.mean()))
  squares = ours.var(ddof=1) + base.var(ddof=1)
  error = math.sqrt(squares / 3)
  holds(ratio, t_quantile(4) * error)
  assert found.worst is found.groups[1]
  assert found.groups[0].ratio == Estimate(1.0)


# Three settings of four seeds. The second seed is twice as dear, whatever the
# setting: a block, which goes out of every ratio.
BLOCKS = {
  64: (200.0, 420.0, 212.0, 190.0),
  256: (305.0, 590.0, 300.0, 310.0),
  1024: (390.0, 840.0, 410.0, 425.0),
}


def test_intervals_of_ratios_hold_for_all_pairs_and_without_the_seeds():
  """Tukey's method on the two-way analysis of variance."""
  logs = np.log(list(BLOCKS.values()))
  settings, blocks = logs.mean(axis=1, keepdims=True), logs.mean(axis=0)
  residual = logs - settings - blocks + logs.mean()
  degrees = 2 * 3
  variance = (residual**2).sum() / degrees
  range_ = scipy.stats.studentized_range.ppf(0.95, 3, degrees)
  off = float(range_) * math.sqrt(variance / 4)
  found = one([t for b, joules in BLOCKS.items() for t in seeds(b, *joules)])
  first, *others = found.groups
  assert first.ratio == Estimate(1.0)
  for group, mean in zip(others, settings[1:, 0], strict=True):
    assert group.ratio is not None
    ratio = math.exp(mean - settings[0, 0])
    assert group.ratio.value == pytest.approx(ratio)
    holds(group.ratio, off)


def test_a_setting_of_one_seed_has_the_scatter_of_the_others():
  """Of another seed too: what it does is in the scatter, not added to it."""
  found = one([*seeds(64, 204, 212, 221), record(1024, 7, 400)])
  error = np.log([204, 212, 221]).std(ddof=1) * math.sqrt(1 + 1 / 3)
  holds(found.groups[1].ratio, t_quantile(2) * error)


def test_seeds_that_no_settings_share_count_once():
  trials = seeds(64, 195, 200, 210)
  others = [record(1024, s, j) for s, j in ((7, 390), (8, 400), (9, 420))]
  shared = one([*trials, *seeds(1024, 390, 400, 420)]).groups[1].ratio
  apart = one([*trials, *others]).groups[1].ratio
  assert shared is not None
  assert shared.high is not None
  holds(apart, math.log(shared.high / shared.value))


def test_with_one_seed_each_there_is_no_interval():
  found = one(seeds(64, 204) + seeds(1024, 408))
  ratio = found.groups[1].ratio
  assert ratio is not None
  assert (ratio.low, ratio.high) == (None, None)
  assert ratio.value == pytest.approx(2.0)
  assert found.energy_ratio == ratio


def test_worst_over_best_is_shrunk_for_having_been_chosen():
  """Of two settings their distance is a folded t; inverted by hand."""
  ours, base = np.log([205, 230, 240]), np.log([200, 212, 221])
  seen = ours.mean() - base.mean()
  error = math.sqrt((ours.var(ddof=1) + base.var(ddof=1)) / 3)

  trues = np.linspace(0, 1, 10_001)
  above = scipy.stats.t.sf((seen - trues) / error, 4)  # this far or farther
  below = scipy.stats.t.cdf((-seen - trues) / error, 4)

  def inverted(probability: float) -> float:
    return float(np.interp(probability, above + below, trues))

  found = one(seeds(64, 200, 212, 221) + seeds(128, 205, 230, 240))
  extremes = found.rankings["train"].extremes
  assert extremes is not None
  assert extremes.raw == pytest.approx(math.exp(seen))
  assert extremes.ratio is not None
  assert math.log(extremes.ratio.value) == pytest.approx(inverted(0.5), rel=0.1)
  assert extremes.ratio.value < extremes.raw
  assert extremes.ratio.low == 1.0  # nothing says that they differ
  assert extremes.ratio.high is not None
  high = math.log(extremes.ratio.high)
  assert high == pytest.approx(inverted(0.975), rel=0.03)
  assert found.energy_ratio == extremes.ratio
  # The cheaper one is likelier to be the lucky one.
  assert found.groups[0].joules is not None
  assert extremes.cheapest_cost.value > found.groups[0].joules.value


def test_settings_that_scatter_alike_have_intervals_alike():
  """And those of seeds that share all are nearly as wide as of one setting."""
  joules = (195, 200, 210)
  found = one(seeds(64, *joules) + seeds(1024, *(2 * j for j in joules)))
  first, second = (group.joules for group in found.groups)
  assert first is not None
  assert second is not None
  assert first.low is not None
  assert second.low is not None
  off = math.log(first.value / first.low)
  holds(second, off)
  (alone,) = one(seeds(64, *joules)).groups
  assert alone.joules is not None
  assert alone.joules.low is not None
  # Of t with four degrees of freedom over t with two.
  assert off > 0.6 * math.log(alone.joules.value / alone.joules.low)


def test_far_apart_nothing_is_shrunk():
  found = one(seeds(64, 195, 200, 210) + seeds(1024, 390, 400, 420))
  extremes = found.rankings["train"].extremes
  assert extremes is not None
  assert extremes.ratio is not None
  assert extremes.ratio.value == pytest.approx(extremes.raw, rel=2e-3)
  best = found.groups[0].joules
  assert best is not None
  assert extremes.cheapest_cost.value == pytest.approx(best.value, rel=1e-3)


def test_no_best_where_nobody_reached():
  found = one([record(64, 0, 10.0, "missed"), record(128, 0, 20.0, "missed")])
  assert found.best is None
  assert found.energy_ratio is None
  assert all(group.ratio is None for group in found.groups)


def test_another_way_to_count_may_rank_otherwise():
  spent = Compilation(seconds=9.0, joules=700.0, cache_hit=False)
  quick = record(64, 0, 200.0, compile=spent)
  steady = record(128, 0, 300.0)  # and 30 J
  found = one([quick, steady])
  assert found.rankings["train"].order == (0, 1)
  assert found.rankings["compile"].order == (1, 0)
  ratio = found.rankings["compile"].energy_ratio
  assert ratio is not None
  assert ratio.value == pytest.approx(900 / 330)
  assert found.rankings["eval"].order == (0, 1)


def test_compiling_is_added_once_with_an_error_that_seeds_do_not_lessen():
  """One measurement of 600 J, off by 10.8 %, stands for all three seeds."""
  phases = {"train": 200.0, "eval": 10.0, "warmup": 5.0}
  cached = Compilation(seconds=0.1, joules=1.0, cache_hit=True)
  trials = [
    replace(trial, compile=cached, joules_by_phase=phases)
    for trial in seeds(64, 200.0, 200.0001, 200.0)
  ]
  fresh = replace(cached, joules=600.0, cache_hit=False)
  trials[0] = replace(trials[0], compile=fresh)
  fitted = with_compiling(fit_settings([trials]), [trials])
  assert fitted is not None
  cost = fitted.cost(0)
  assert cost is not None
  assert cost.value == pytest.approx(200 + 600 + 5)
  off = math.exp(1.96 * 2.7 / 25)
  assert cost.low == pytest.approx(205 + 600 / off, rel=0.01)
  assert cost.high == pytest.approx(205 + 600 * off, rel=0.01)
  thrice = [replace(trial, compile=fresh) for trial in trials]
  fitted = with_compiling(fit_settings([thrice]), [thrice])
  assert fitted is not None
  cost = fitted.cost(0)
  off = math.exp(1.96 * 2.7 / 25 / math.sqrt(3))
  assert cost is not None
  assert cost.high == pytest.approx(205 + 600 * off, rel=0.01)


def test_nothing_compiled_adds_nothing():
  free = Compilation(seconds=0.0, joules=0.0, cache_hit=True)
  trials = [replace(t, compile=free) for t in seeds(64, 204, 212, 221)]
  plain = fit_settings([trials])
  fitted = with_compiling(plain, [trials])
  assert fitted is not None
  cost, expected = fitted.cost(0), plain.cost(0)
  assert expected is not None
  assert cost is not None
  assert (cost.value, cost.low, cost.high) == pytest.approx(
    (expected.value, expected.low, expected.high)
  )


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
