"""Which records may be compared, and what differs between them."""

from dataclasses import replace
from itertools import chain

import pytest
from report_records import GPU, devices, record, seeds

from jaxpower.report.compare.comparable import (
  Start,
  comparable,
  conditions,
  measured_alike,
  model_name,
  pool,
  start_of,
)
from jaxpower.wording import start_name

OTHER_GPU = "GPU-91bc77e2-40d3-4d0c-b5a6-7f3e8c2a1b0d"
DATA = {"data": "digits_28", "optimizer": {"name": "adam"}}


def on(*uuids, host="gpu-node-07", **changes):
  """Changes that put a trial on some H200s of a host."""
  joules = dict.fromkeys(uuids, 200.0)
  provenance = devices(*uuids) | {"host": host} | changes.pop("provenance", {})
  return {"provenance": provenance, "joules_by_domain": joules, **changes}


def board(uuid, **facts):
  """A meter's description of one board, its state at the start among it."""
  state = {"uuid": uuid, "name": "NVIDIA H200", **facts}
  domain = {"domain": uuid, "kind": "gpu", "method": "counter"}
  return {"domains": [domain], "gpus": {"start": [state]}}


def parts(*records):
  return [len(part) for part in comparable(chain(*records)).values()]


@pytest.mark.parametrize(
  "changes",
  [
    on(GPU, target_accuracy=0.85),
    on(GPU, estimated=True),
    on(GPU, config={"data": "cifar10"}),
    on(GPU, config={"data": "fashion_mnist_6k", "crossing": "confirmed"}),
    on(GPU, OTHER_GPU),
    on(GPU) | {"joules_by_domain": {GPU: 1.0, OTHER_GPU: 1.0}},
    on(GPU) | {"joules_by_domain": {GPU: 1.0, "cpu-0": 1.0}},
    on(GPU, meter=board(GPU)),
    on(GPU, provenance={"devices": [{"platform": "gpu", "kind": "H100"}]}),
    on(GPU, provenance={"devices": [{"platform": "cpu", "kind": "cpu"}]}),
    on(GPU, provenance={"versions": {"jax": "0.11.0"}}),
    on(GPU, provenance={"environment": {"JAX_ENABLE_X64": "1"}}),
  ],
)
def test_never_pooled(changes):
  assert parts(seeds(64, 2, 2, **on(GPU)), seeds(64, 1, 1, **changes)) == [2, 2]


@pytest.mark.parametrize(
  "changes",
  [
    on(OTHER_GPU),
    on(GPU, host="gpu-node-08"),
    on(GPU, provenance={"cpu": "Intel Xeon"}),  # no meter saw it
    on(GPU, provenance={"versions": {"torch": "2.14.0"}}),  # trained in JAX
    on(GPU, provenance={"environment": {"JAX_PLATFORMS": "cuda"}}),
    on(GPU, provenance={"environment": {"TORCHINDUCTOR_MAX_AUTOTUNE": "1"}}),
  ],
)
def test_equal_boards_and_hosts_are_pooled(changes):
  assert parts(seeds(64, 2, 2, **on(GPU)), seeds(64, 1, 1, **changes)) == [4]


def test_equal_boards_are_kept_apart_on_request():
  trials = seeds(64, 2, 2, **on(GPU)) + seeds(64, 1, 1, **on(OTHER_GPU))
  assert len(comparable(trials, "board")) == 2
  moved = seeds(64, 2, 2, **on(GPU, host="gpu-node-08"))
  assert len(comparable(trials + moved, "board")) == 3


def test_boards_under_another_power_limit_or_driver_are_not_pooled():
  usual = board(GPU, power_limit_watts=700.0, driver="570.86.15")
  limited = board(GPU, power_limit_watts=400.0, driver="570.86.15")
  drifted = board(GPU, power_limit_watts=700.3, driver="570.133.20")
  newer = board(GPU, power_limit_watts=700.0, driver="580.65.06")
  ours = seeds(64, 2, 2, **on(GPU, meter=usual))
  for meter, found in ((limited, [2, 2]), (newer, [2, 2]), (drifted, [4])):
    assert parts(ours, seeds(64, 1, 1, **on(GPU, meter=meter))) == found


def test_boards_of_unknown_kind_are_not_taken_for_equal():
  theirs = seeds(64, 1, 1, joules_by_domain={OTHER_GPU: 1.0})
  assert parts(seeds(64, 2, 2), theirs) == [2, 2]


def test_how_many_devices_is_a_setting_where_it_is_varied():
  both = [{"varied": {"devices": count}} for count in (1, 2)]
  ours = seeds(64, 2, 2, **on(GPU), **both[0])
  theirs = seeds(64, 1, 1, **on(GPU, OTHER_GPU), **both[1])
  assert parts(ours, theirs) == [4]


def test_cpus_are_equal_with_as_many_cores():
  cpu = [{"platform": "cpu", "kind": "cpu"}]
  trials = [
    seeds(
      64,
      2.0,
      joules_by_domain={"cpu-estimate": 2.0},
      provenance={"devices": cpu, "host": host, "cpu": name, "cpus_usable": n},
    )
    for host, name, n in (
      ("a", "AMD EPYC", 2),
      ("b", "AMD EPYC", 2),
      ("a", "AMD EPYC", 64),
      ("a", "Intel Xeon", 2),
    )
  ]
  assert sorted(parts(*trials)) == [1, 1, 2]


def test_joules_of_other_numbers_of_boards_may_be_added():
  first, second = record(**on(GPU)), record(**on(GPU, OTHER_GPU))
  assert measured_alike(first, second)
  assert not measured_alike(first, record(**on(GPU, meter=board(GPU))))


def test_old_records_were_decided_by_the_first_look_at_the_test_set():
  of_old = conditions(record())
  assert (of_old.decided_by, of_old.crossing) == ("test", "first")


def test_a_trial_that_died_before_its_meter_opened_stays_with_the_others():
  dead = record(64, 2, status="failed", provenance={})
  (part,) = comparable([*seeds(64, 200, 210), dead]).values()
  assert len(part) == 3


def test_a_failed_trial_of_another_machine_stays_apart():
  dead = record(64, 2, status="failed", provenance={"host": "gpu-node-08"})
  assert len(comparable([*seeds(64, 200, 210), dead])) == 2


def test_a_trial_that_failed_on_an_equal_board_stays_with_the_others():
  there = {"provenance": on(OTHER_GPU, host="gpu-node-08")["provenance"]}
  dead = [record(64, 2, status="failed", **there)]
  assert parts(seeds(64, 200, 210, **on(GPU)), dead) == [3]


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


def test_a_model_is_named_with_the_sizes_that_are_not_its_own():
  model = {"name": "resnet18", "width": 0.5, "depth": 1.0}
  assert model_name(record(config={"model": model})) == "resnet18 width 0.5"
  assert model_name(record(config={"model": {"name": "cnn"}})) == "cnn"
