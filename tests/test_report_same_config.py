"""Trials of one config by framework: what they cost, and over what."""

import dataclasses

import pytest
from report_records import PHASES, side

from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.same_config import ratios_to_others, same_configs
from jaxpower.report.compare.statistics import Estimate


def test_the_numbers_of_each_framework():
  jax = side("jax", 200, 210, 220, peak_memory_bytes=3 * 2**29)
  failed = dataclasses.replace(jax[0], status="failed", seed=3)
  torch = side("torch", 300, 310, 320, seconds_to_accuracy=8.0)
  (comparison,) = compare([*jax, failed, *torch])
  (config,) = same_configs(comparison)
  assert config.settings == {"model.name": "resnet18", "batch_size": 64}
  assert config.device_known
  ours, theirs = config.by_framework["jax"], config.by_framework["torch"]
  assert (ours.reached, ours.ran, len(ours.records)) == (3, 3, 4)
  assert ours.joules == Estimate(210, low=200, high=220)
  assert ours.seconds == Estimate(4, low=4, high=4)
  assert ours.joules_per_1000_examples == pytest.approx(210 / 20.48)
  assert ours.joules_to_prepare == 32
  assert ours.joules_by_phase == PHASES | {"compile": 30, "train": 210}
  assert (ours.peak_memory_bytes, theirs.peak_memory_bytes) == (
    3 * 2**29,
    None,
  )
  (ratio,) = ratios_to_others(config, "jax")
  assert (ratio.over, ratio.under, ratio.seed_pairs) == ("jax", "torch", 3)
  assert ratio.under_is_cheapest
  assert ratio.joules is not None and ratio.seconds is not None
  assert ratio.joules.value == pytest.approx(210 / 310)
  assert ratio.seconds.value == 0.5


def test_a_config_that_one_framework_ran_has_no_ratio():
  (comparison,) = compare(side("jax", 200, 210))
  (config,) = same_configs(comparison)
  assert [*ratios_to_others(config, "jax")] == []
  assert [*ratios_to_others(config, "torch")] == []


def test_joules_per_example_that_one_trial_lacks_give_no_ratio():
  jax, torch = side("jax", 200, 210), side("torch", 300, 310)
  torch[1] = dataclasses.replace(torch[1], examples=None)
  (comparison,) = compare(jax + torch)
  (config,) = same_configs(comparison)
  (ratio,) = ratios_to_others(config, "jax")
  assert ratio.joules_per_example is None
  assert ratio.joules is not None


def test_a_start_in_its_own_framework_is_the_same_config():
  jax, torch = side("jax", 90)[0], side("torch", 95)[0]
  for trial in (jax, torch):
    start = {"framework": trial.framework, "seed": 3, "data": "cifar10"}
    trial.config["transfer"] = {"init_from": start}
  (comparison,) = compare([jax, torch])
  assert len(same_configs(comparison)) == 1
