"""On what kind of machine a trial ran, and which versions computed it."""

import pytest
from report_records import GPU, devices, record

from jaxpower.report.compare.system import (
  blocks,
  board_of,
  by_software,
  hardware,
  machine,
  software,
  system_of,
)

BOARDS = [f"GPU-{letter}" for letter in "abcd"]
CPU = [{"platform": "cpu", "kind": "cpu", "index": 0, "uuid": None}]


def on(*uuids, **changes):
  return record(provenance=devices(*uuids), **changes)


def test_machine_is_empty_where_it_is_not_recorded():
  assert machine(record()) == "gpu-node-07, AMD EPYC 9654"
  assert machine(record(provenance={})) == ""


def test_hardware_of_a_record():
  devices = [{"platform": "gpu", "kind": "NVIDIA H200"}] * 2
  several = record(provenance={"devices": devices})
  assert hardware(several) == "2 x NVIDIA H200"
  cpu = {"devices": [{"platform": "cpu", "kind": "cpu"}], "cpu": "AMD EPYC"}
  on_cpu = record(provenance=cpu, joules_by_domain={"package-0": 1.0})
  assert hardware(on_cpu) == "AMD EPYC"
  assert hardware(record(provenance={"cpu": "AMD EPYC"})) == ""


def test_the_system_of_a_trial_on_two_boards():
  facts = {"platform": "gpu", "kind": "NVIDIA H200"}
  states = [
    {"uuid": uuid, "power_limit_watts": watts, "driver": "570.86.15"}
    for uuid, watts in zip(BOARDS, (700, 700.2, 400, 400), strict=True)
  ]
  domains = [
    {"domain": uuid, "kind": "gpu", "method": "counter"} for uuid in BOARDS
  ]
  system = system_of(
    record(
      provenance={"devices": [facts | {"uuid": u} for u in BOARDS[:2]]},
      joules_by_domain=dict.fromkeys(BOARDS[:2], 1.0),
      meter={"domains": domains, "gpus": {"start": states}},
    )
  )
  assert (system.hardware, system.devices) == (("NVIDIA H200",), 2)
  assert (system.power_limits, system.drivers) == ((700,), ("570",))
  assert (system.meter, system.processor) == (("gpu by counter",), "")


def test_a_meter_that_bills_idle_boards_is_another_meter():
  billed = dict.fromkeys(BOARDS, 1.0)
  system = system_of(on(BOARDS[0], joules_by_domain=billed))
  assert system.meter == ("4 x gpu by unknown method",)


def test_watts_that_a_model_assumes_are_part_of_its_method():
  domain = {"domain": "cpu-estimate", "kind": "cpu", "method": "model"}
  watts = {"busy_watts_per_core": 4.0, "idle_watts_per_core": 1, "cores": 2}
  trial = record(
    joules_by_domain={"cpu-estimate": 1.0},
    meter={"domains": [domain | {"assumptions": watts | {"reason": "x"}}]},
    provenance={"devices": CPU, "cpu": "AMD EPYC", "cpus_usable": 2},
  )
  system = system_of(trial)
  assert system.meter == (
    "cpu by model (4 busy watts per core, 1 idle watts per core)",
  )
  assert (system.hardware, system.cores) == (("AMD EPYC",), 2)


@pytest.mark.parametrize(
  ("provenance", "board"),
  [
    (devices("GPU-b", "GPU-a"), "GPU-a + GPU-b"),
    (devices(None), ""),
    (devices() | {"devices": CPU}, "gpu-node-07, AMD EPYC 9654"),
    ({}, GPU),  # what the meter billed
  ],
)
def test_the_board_of_a_trial(provenance, board):
  assert board_of(record(provenance=provenance)) == board


def test_an_unknown_board_is_nobodys():
  assert board_of(record(provenance={}, joules_by_domain={"x": 1.0})) == ""


def test_boards_that_trained_together_are_one_block():
  a, b, c, d = BOARDS
  assert blocks([on(a), on(b), on(a)]) == (a, b, a)
  assert blocks([on(b), on(c, d), on(a, b), on(c)]) == (a, c, a, c)
  # However they are told in: 1, 2 and 4 boards of a node.
  assert blocks([on(d), on(b, c), on(a), on(a, b, c, d)]) == (a, a, a, a)
  assert blocks([on(None), on(a), on(None)]) == ("", a, "")


VERSIONS = {"jax": "0.10.2", "jaxlib": "0.10.1", "torch": "2.11.0+cu128"}


def run_by(framework, seed=0, cpu=False, env=(), **versions):
  provenance = {
    "versions": VERSIONS | versions,
    "environment": dict(env),
    "devices": CPU if cpu else devices(GPU)["devices"],
  }
  return record(framework=framework, seed=seed, provenance=provenance)


def test_software_is_that_of_the_framework():
  trial = run_by("jax", env={"XLA_FLAGS": "--b --a", "PYTORCH_X": "1"})
  assert software(trial, "jax") == (
    "jax 0.10",
    "jaxlib 0.10",
    "XLA_FLAGS=--a --b",
  )
  assert software(trial, "torch_compile") == ("torch 2.11+cu128", "PYTORCH_X=1")


def test_software_of_a_gpu_does_not_count_on_a_cpu():
  env = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "OMP_NUM_THREADS": "2"}
  trial = run_by("torch", cpu=True, env=env, cudnn="9.19.0")
  assert software(trial, "torch") == ("torch 2.11", "OMP_NUM_THREADS=2")
  there = run_by("torch", env=env, cudnn="9.19.0")
  assert "cudnn 9.19" in software(there, "torch")


def test_frameworks_are_no_versions_of_each_other():
  trials = [run_by("jax"), run_by("torch"), run_by("torch_compile")]
  assert by_software(trials) == {(): trials}


def test_versions_of_a_framework_that_was_not_used_part_nothing():
  trials = [run_by("jax"), run_by("jax", 1, torch="2.12.0")]
  assert by_software(trials) == {(): trials}


def test_versions_of_a_framework_that_was_used_part_the_others_too():
  old = [run_by("jax"), run_by("torch")]
  new = [run_by(f, torch="2.12.1+cu128") for f in ("jax", "torch")]
  assert by_software(old + new) == {
    ("torch 2.11+cu128",): old,
    ("torch 2.12+cu128",): new,
  }


def test_power_limits_that_are_varied_are_compared_and_not_kept_apart():
  def under(watts, **changes):
    states = [{"uuid": BOARDS[0], "power_limit_watts": watts}]
    return on(BOARDS[0], meter={"gpus": {"start": states}}, **changes)

  varied = [
    system_of(under(watts, varied={"power_limit_watts": watts}))
    for watts in (300.0, 700.0)
  ]
  assert varied[0] == varied[1]
  assert system_of(under(300.0)) != system_of(under(700.0))
