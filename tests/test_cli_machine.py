"""What the machine has, against what a job uses of it."""

import os
import pathlib
import shutil
from collections import namedtuple

import pytest

from jaxpower.cli import machine
from jaxpower.cli.machine import Machine, unused_gpus
from jaxpower.frameworks import Framework
from jaxpower.power import Problem
from jaxpower.power.devices import Board
from jaxpower.power.simulated_nvml import UUIDS, Gpu, installed

PCI = ("00000000:17:00.0", "00000000:65:00.0")
BOARDS = tuple(Board(i, UUIDS[i], "NVIDIA H200", PCI[i]) for i in range(2))
SLOTS = ("0000:17:00.0", "0000:65:00.0")
CPU_JAX = Framework("JAX", "0.10.2")
CUDA_JAX = Framework("JAX", "0.10.2", 13, "0.10.2", "0.10.2")


def slots(folder, addresses=SLOTS):
  for address in addresses:
    card = folder / address
    card.mkdir()
    (card / "vendor").write_text("0x10de\n")
    (card / "class").write_text("0x030200\n")
  return folder


def test_a_look_finds_boards_slots_and_versions(tmp_path):
  second = Gpu(uuid=UUIDS[1], pci=PCI[1])
  with installed(Gpu(pci=PCI[0]), second, cuda=12080):
    found = machine.look(slots(tmp_path))
  assert found.gpus == 2 and found.slots == SLOTS
  assert machine.check_slots(found) == []
  versions = machine.versions_of(found)
  assert versions["NVIDIA driver"] == "580.95.05"
  assert versions["CUDA of the driver"] == "12.8" and found.cuda_major == 12
  assert {"python", "jax", "jaxpower", "NVML"} <= versions.keys()


def test_a_driver_that_does_not_know_its_cuda(tmp_path):
  missing = frozenset({"nvmlSystemGetCudaDriverVersion_v2"})
  with installed(Gpu(), missing=missing):
    found = machine.look(tmp_path)
  assert found.driver_cuda is None
  assert "CUDA of the driver" not in machine.versions_of(found)


def test_gpus_in_slots_without_a_driver_are_told(tmp_path):
  found = machine.look(slots(tmp_path))  # no NVML here
  if found.boards:
    pytest.skip("this machine has a GPU")
  (check,) = machine.check_slots(found)
  assert check.level == "warn" and "2 NVIDIA GPUs in the slots" in check.finding
  assert "0000:65:00.0" in check.finding and "--gpus all" in check.fix


def test_a_lost_board_is_not_told_twice():
  lost = (Board(0, "", "GPU", "", lost="GPU is lost"), BOARDS[1])
  assert machine.check_slots(Machine(boards=lost, slots=SLOTS)) == []


def test_each_framework_is_checked_where_there_are_gpus():
  assert machine.check_frameworks(Machine(frameworks=(CPU_JAX,)), {}) == []
  here = Machine(
    boards=BOARDS, driver_cuda=13000, frameworks=(CPU_JAX, CUDA_JAX)
  )
  bad, good = machine.check_frameworks(here, {})
  assert bad.level == "warn" and "2 NVIDIA GPUs here" in bad.finding
  assert bad.fix == "pip install 'jax[cuda13]==0.10.2'"
  assert (good.level, good.finding) == ("ok", "0.10.2 for CUDA 13")


Usage = namedtuple("Usage", "free")


@pytest.mark.parametrize(
  ("free", "level"), [(5e9, "ok"), (1e9, "warn"), (1e7, "fail")]
)
def test_a_disk_that_fills_is_told(tmp_path, monkeypatch, free, level):
  monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free))
  (check,) = machine.check_disk(tmp_path)
  assert check.level == level
  assert bool(check.fix) == (level != "ok")


def test_a_folder_that_cannot_be_written_fails(tmp_path, monkeypatch):
  monkeypatch.setattr(os, "access", lambda *_: False)
  (check,) = machine.check_disk(tmp_path / "runs")
  assert check.level == "fail" and "cannot be written" in check.finding
  assert str(pathlib.Path().absolute()) in check.finding


def test_load_is_told():
  assert machine.check_load((), 4)[0].level == "ok"
  (check,) = machine.check_load((Problem("busy", "wait"),), 4)
  assert (check.level, check.finding, check.fix) == ("warn", "busy", "wait")


@pytest.mark.parametrize(
  ("platform", "billed", "here", "environ", "told"),
  [
    ("cpu", 1, Machine(), {}, None),
    (
      "cpu",
      1,
      Machine(boards=BOARDS, frameworks=(CPU_JAX,), driver_cuda=12040),
      {},
      "2 NVIDIA GPUs here not used: this JAX 0.10.2 was built without CUDA;"
      " fix: pip install 'jax[cuda12]==0.10.2'",
    ),
    (
      "cpu",
      1,
      Machine(boards=BOARDS, frameworks=(CUDA_JAX,)),
      {"CUDA_VISIBLE_DEVICES": ""},
      "2 NVIDIA GPUs here not used: CUDA_VISIBLE_DEVICES='';"
      " fix: unset CUDA_VISIBLE_DEVICES",
    ),
    ("gpu", 2, Machine(boards=BOARDS), {}, None),
    (
      "gpu",
      1,
      Machine(boards=BOARDS),
      {},
      "not used: 1 other GPU of this machine, kept apart in records",
    ),
  ],
)
def test_gpus_that_a_sweep_does_not_use(platform, billed, here, environ, told):
  problem = unused_gpus(platform, "jax", billed, here, environ)
  assert (None if problem is None else str(problem)) == told
