"""Which records may be compared, and what differs between them."""

from dataclasses import replace

import pytest
from report_records import record, seeds

from jaxpower.report.compare.comparable import (
  Start,
  comparable,
  hardware,
  machine,
  model_name,
  pool,
  start_of,
)
from jaxpower.wording import start_name

OTHER_GPU = "GPU-91bc77e2-40d3-4d0c-b5a6-7f3e8c2a1b0d"
DATA = {"data": "digits_28", "optimizer": {"name": "adam"}}


@pytest.mark.parametrize(
  "changes",
  [
    {"target_accuracy": 0.85},
    {"provenance": {"host": "gpu-node-08", "cpu": "AMD EPYC 9654"}},
    {"joules_by_domain": {OTHER_GPU: 1.0}},
    {"estimated": True},
    {"config": {"data": "cifar10"}},
  ],
)
def test_never_pooled(changes):
  ours, theirs = seeds(64, 200, 210), seeds(64, 100, 110, **changes)
  assert [len(part) for part in comparable(ours + theirs)] == [2, 2]


def test_a_trial_that_died_before_its_meter_opened_stays_with_the_others():
  dead = record(64, 2, status="failed", provenance={})
  (part,) = comparable([*seeds(64, 200, 210), dead])
  assert len(part) == 3


def test_a_failed_trial_of_another_machine_stays_apart():
  dead = record(64, 2, status="failed", provenance={"host": "gpu-node-08"})
  assert len(comparable([*seeds(64, 200, 210), dead])) == 2


def test_machine_is_empty_where_it_is_not_recorded():
  assert machine(record()) == "gpu-node-07, AMD EPYC 9654"
  assert machine(record(provenance={})) == ""


def test_across_sweeps_varied_is_what_differs():
  first = seeds(64, 200, 210)
  second = [
    replace(
      r,
      varied={"optimizer.learning_rate": 0.01},
      config=r.config
      | {"optimizer": r.config["optimizer"] | {"learning_rate": 0.01}},
    )
    for r in seeds(64, 100, 110)
  ]
  found = pool(first + second)
  assert [r.varied for r in found] == [
    {"optimizer.learning_rate": 0.001},
    {"optimizer.learning_rate": 0.001},
    {"optimizer.learning_rate": 0.01},
    {"optimizer.learning_rate": 0.01},
  ]


def test_across_leaves_out_the_target_that_parts_records_anyway():
  strict = replace(
    record(64, 0, 400.0, target_accuracy=0.85), trial_id="0a1b2c3d4e5f"
  )
  found = pool([*seeds(64, 200), strict])
  assert [r.varied for r in found] == [{}, {}]
  assert len(comparable(found)) == 2


def test_across_takes_a_copied_record_once():
  assert len(pool(seeds(64, 200, 210) + seeds(64, 200, 210))) == 2


@pytest.mark.parametrize(
  ("transfer", "word"),
  [
    ({"init_from": None, "weights": "", "freeze": True}, "scratch"),
    ({"weights": "vit_b16"}, "fine-tuned"),
    ({"weights": "vit_b16", "backbone_rate": 0.1}, "fine-tuned at 0.1"),
    ({"init_from": {"data": "mnist_5k"}, "freeze": True}, "frozen"),
  ],
)
def test_a_start_is_told_from_the_config(transfer, word):
  start = start_of(record(config=DATA | {"transfer": transfer}))
  assert start_name(start.kind, start.backbone_rate) == word


def begun(seed, name, **transfer):
  """A trial whose sweep calls its start by a name."""
  return record(
    seed=seed,
    trial_id=f"{name[:6]}{seed}",
    varied={"transfer": name},
    config=DATA | {"transfer": {"weights": "vit_b16"} | transfer},
  )


def test_a_start_is_the_same_whatever_a_sweep_calls_it():
  ours, theirs = begun(0, "fine-tuned"), begun(0, "fine-tuned from vit_b16")
  assert start_of(ours) == Start("fine-tuned", name="fine-tuned")
  assert [r.varied for r in pool([ours, theirs])] == [{}, {}]


def test_pooled_starts_are_told_apart_by_what_they_are():
  """Two sweeps may each have called their only start the same."""
  slow = begun(0, "ours", backbone_rate=0.1)
  frozen = begun(1, "ours", freeze=True)
  pooled = pool([begun(2, "ours"), slow, frozen])
  assert [r.varied for r in pooled] == [
    {"transfer": "fine-tuned"},
    {"transfer": "fine-tuned at 0.1"},
    {"transfer": "frozen"},
  ]


def test_no_rate_trains_a_frozen_backbone():
  frozen = begun(0, "frozen", freeze=True, backbone_rate=0.1)
  assert start_of(frozen) == Start("frozen", name="frozen")
  assert not start_of(frozen).from_scratch
  assert start_of(record()) == Start("scratch")
  assert start_of(record()).from_scratch


def test_hardware_of_a_record():
  devices = [{"platform": "gpu", "kind": "NVIDIA H200"}] * 2
  several = record(provenance={"devices": devices})
  assert hardware(several) == "2 x NVIDIA H200"
  cpu = {"devices": [{"platform": "cpu", "kind": "cpu"}], "cpu": "AMD EPYC"}
  on_cpu = record(provenance=cpu, joules_by_domain={"package-0": 1.0})
  assert hardware(on_cpu) == "AMD EPYC"
  assert hardware(record(provenance={"cpu": "AMD EPYC"})) == ""


def test_a_model_is_named_with_the_sizes_that_are_not_its_own():
  model = {"name": "resnet18", "width": 0.5, "depth": 1.0}
  assert model_name(record(config={"model": model})) == "resnet18 width 0.5"
  assert model_name(record(config={"model": {"name": "cnn"}})) == "cnn"
