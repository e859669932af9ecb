"""Trials of one config by framework: what they cost, and over what."""

import dataclasses
from typing import Any

import pytest
from report_records import GPU, PHASES, devices, side

from benchmarks.statements_ratios import frameworks_coverage
from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.fitted_settings import fit_settings
from jaxpower.report.compare.same_config import (
  Ratio,
  SameConfigs,
  same_configs,
)
from jaxpower.report.compare.statistics import Estimate


def find(records: list[TrialRecord]) -> SameConfigs:
  (comparison,) = compare(records)
  return same_configs(comparison, over="jax")


def only_ratio(records: list[TrialRecord]) -> Ratio:
  (ratio,) = find(records).ratios
  return ratio


def within(found: Estimate | None, low: float, value: float, high: float):
  """Checks that an interval lies around a value, inside these ends."""
  assert found is not None and found.low is not None and found.high is not None
  assert low < found.low < value < found.high < high
  assert found.value == pytest.approx(value, rel=0.01)


def test_the_numbers_of_each_framework():
  jax = side("jax", 200, 210, 220, peak_memory_bytes=3 * 2**29)
  failed = dataclasses.replace(jax[0], status="failed", seed=3)
  torch = side("torch", 300, 310, 320, seconds_to_accuracy=8.0)
  found = find([*jax, failed, *torch])
  (config,) = found.configs
  assert config.settings == {"model.name": "resnet18", "batch_size": 64}
  assert config.device_known
  ours, theirs = config.by_framework["jax"], config.by_framework["torch"]
  assert (ours.seeds, ours.ran, ours.reached, ours.missed) == (4, 3, 3, 0)
  assert (len(ours.records), ours.missed_within) == (4, None)
  within(ours.joules, 190, 210, 230)
  assert ours.seconds and ours.seconds.value == pytest.approx(4)
  assert ours.examples and ours.examples.value == pytest.approx(20_480)
  within(ours.joules_per_1000_examples, 9.3, 210 / 20.48, 11.2)
  assert ours.joules_to_prepare == 32
  assert ours.joules_by_phase == PHASES | {"compile": 30, "train": 210}
  assert ours.examples_per_second == 5120
  assert (ours.peak_memory_bytes, theirs.peak_memory_bytes) == (
    3 * 2**29,
    None,
  )
  (ratio,) = found.ratios
  assert (ratio.over, ratio.under, ratio.seed_pairs) == ("jax", "torch", 3)
  assert ratio.cheapest_other == "torch"
  within(ratio.joules, 0.6, 210 / 310, 0.76)
  assert ratio.seconds and ratio.seconds.value == pytest.approx(0.5)
  assert ratio.examples and ratio.examples.value == pytest.approx(1)


def test_what_a_seed_does_to_both_cancels():
  jax, torch = (50, 500, 100, 200), (100, 1000, 200, 400)
  ratio = only_ratio(side("jax", *jax) + side("torch", *torch))
  within(ratio.joules, 0.49, 0.5, 0.51)


def test_a_board_that_is_dearer_cancels():
  jax = side("jax", 100, 101, 99, 100)
  torch = side("torch", 200, 201, 199, 200)
  other = "GPU-91bc77e2-0d4f-4a3b-8c61-7e5f2a9b0c1d"

  def doubled(trials: list[TrialRecord]) -> list[TrialRecord]:
    """The third and fourth seed on a board that takes twice as much."""
    return [
      dataclasses.replace(
        r,
        joules_to_accuracy=2 * r.joules_to_accuracy,
        provenance=devices(other),
      )
      if r.seed > 1 and r.joules_to_accuracy
      else r
      for r in trials
    ]

  assert jax[0].provenance == devices(GPU)
  within(only_ratio(doubled(jax) + doubled(torch)).joules, 0.48, 0.5, 0.52)


def test_batch_norms_over_other_examples_make_no_ratio():
  two = devices(GPU, "GPU-91bc77e2-0d4f-4a3b-8c61-7e5f2a9b0c1d")

  def ratios(over: str, provenance: dict[str, Any]) -> int:
    norms = [{"batch_norm": "per device"}, {"batch_norm": over}]
    jax, torch = (
      side(name, *joules, provenance=provenance, numerics=norm)
      for name, joules, norm in zip(
        ("jax", "torch"), ((200, 210), (300, 310)), norms, strict=True
      )
    )
    return len(find([*jax, *torch]).ratios)

  assert ratios("per device", two) == 1
  assert ratios("global batch", two) == 0
  # One device has the whole batch, by whatever name.
  assert ratios("global batch", devices(GPU)) == 1


def test_a_seed_that_only_one_side_ran_counts_for_the_noise():
  jax, torch = side("jax", 90, 110, 100, 140), side("torch", 190, 210, 200)
  with_four, with_three = only_ratio(jax + torch), only_ratio(jax[:3] + torch)
  assert (with_four.seed_pairs, with_three.seed_pairs) == (3, 3)
  four, three = with_four.joules, with_three.joules
  assert four and three and three.value < four.value


def test_costs_to_the_target_are_examples_times_costs_of_one():
  """Seed by seed, one side needs half the examples, each twice as dear."""

  def trained(framework: str, share: float) -> list[TrialRecord]:
    trials = side(framework, 100, 120, 90, 110)
    return [
      dataclasses.replace(
        r,
        examples=int(20_480 * share),
        curve=tuple(
          dataclasses.replace(look, examples=int((look.examples or 0) * share))
          for look in r.curve
        ),
      )
      for r in trials
    ]

  ratio = only_ratio(trained("jax", 0.5) + trained("torch", 1))
  within(ratio.joules, 0.99, 1, 1.01)
  within(ratio.examples, 0.49, 0.5, 0.51)
  within(ratio.joules_per_example, 1.99, 2, 2.01)


def test_a_miss_counts_as_more_than_it_spent():
  torch = side("torch", 100, 105, 95, 102)
  jax = side("jax", 200, 210, 190, -220)
  as_if_reached = side("jax", 200, 210, 190, 220)
  missed, reached = only_ratio(jax + torch), only_ratio(as_if_reached + torch)
  assert missed.joules and reached.joules
  assert missed.joules.high and reached.joules.high
  assert missed.joules.value > reached.joules.value
  assert missed.joules.high > reached.joules.high
  # What an example costs is known of a trial that missed.
  assert missed.joules_per_example == reached.joules_per_example


def test_a_cell_that_missed_in_most_of_its_seeds_has_no_estimate():
  found = find(side("jax", -400, -410, 390) + side("torch", 100, 101, 100))
  (config,), (ratio,) = found.configs, found.ratios
  ours = config.by_framework["jax"]
  assert (ours.missed, ours.ran, ours.missed_within) == (2, 3, 400)
  assert (ours.joules, ours.seconds, ours.examples) == (None, None, None)
  assert ours.joules_per_1000_examples is not None
  assert (ratio.joules, ratio.seconds, ratio.examples) == (None, None, None)
  assert ratio.joules_per_example is not None


def test_intervals_hold_for_all_ratios_at_once():
  batches = (64, 128, 256)
  cells = [
    side(name, *joules, batch=batch)
    for batch in batches
    for name, joules in (("jax", (90, 110, 101)), ("torch", (97, 99, 120)))
  ]
  found = find([trial for cell in cells for trial in cell])
  fit = fit_settings(cells)
  pairs = [(0, 1), (2, 3), (4, 5)]
  assert tuple(r.joules for r in found.ratios) == fit.ratios(pairs)
  alone, among = fit.ratio(*pairs[0]), found.ratios[0].joules
  assert alone and among and alone.high and among.high
  assert among.high > 1.02 * alone.high


def test_intervals_of_ratios_hold_the_truth():
  """A short form of benchmarks/statements_ratios.py, with room for chance."""
  found = frameworks_coverage(
    configs=1, seeds=3, seed_share=0.5, draws=20, start=1
  )
  assert (found.draws, found.told) == (20, 20)
  assert found.covered >= 16  # of 20 at 95 %: 1 in 400 has fewer


def test_a_config_that_one_framework_ran_has_no_ratio():
  (comparison,) = compare(side("jax", 200, 210))
  assert same_configs(comparison, over="jax").ratios == ()
  assert same_configs(comparison, over="torch").ratios == ()


def test_joules_per_example_that_one_trial_lacks_give_no_ratio():
  jax, torch = side("jax", 200, 210), side("torch", 300, 310)
  torch[1] = dataclasses.replace(torch[1], examples=None)
  ratio = only_ratio(jax + torch)
  assert ratio.joules_per_example is None
  assert ratio.joules is not None


def test_a_cost_of_zero_is_unknown():
  assert only_ratio(side("jax", 0, 210) + side("torch", 90, 95)).joules is None


def test_a_start_in_its_own_framework_is_the_same_config():
  jax, torch = side("jax", 90)[0], side("torch", 95)[0]
  for trial in (jax, torch):
    start = {"framework": trial.framework, "seed": 3, "data": "cifar10"}
    trial.config["transfer"] = {"init_from": start}
  assert len(find([jax, torch]).configs) == 1
