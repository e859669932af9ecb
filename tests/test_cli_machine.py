"""What the machine has, against what a job uses of it."""

import os
import pathlib
import shutil
from collections import namedtuple

import pytest

from jaxpower.cli import machine
from jaxpower.frameworks import Framework
from jaxpower.machine import Machine
from jaxpower.power import Problem
from jaxpower.power.devices import Board
from jaxpower.power.simulated_nvml import UUIDS

PCI = ("00000000:17:00.0", "00000000:65:00.0")
BOARDS = tuple(Board(i, UUIDS[i], "NVIDIA H200", PCI[i]) for i in range(2))
SLOTS = ("0000:17:00.0", "0000:65:00.0")
CPU_JAX = Framework("JAX", "0.10.2")
CUDA_JAX = Framework("JAX", "0.10.2", 13, "0.10.2", "0.10.2")


def test_gpus_in_slots_without_a_driver_are_told():
  assert machine.check_slots(Machine(boards=BOARDS, slots=SLOTS)) == []
  (check,) = machine.check_slots(Machine(slots=SLOTS))
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


def test_prepared_data_sets_are_named(tmp_path):
  (none,) = machine.check_data({"TFDS_DATA_DIR": str(tmp_path / "gone")})
  assert none.finding.endswith(f"none prepared in {tmp_path / 'gone'}")
  for name in ("downloads", "mnist", *(f"set{n}" for n in range(6))):
    (tmp_path / name).mkdir()
  (tmp_path / "notes.txt").write_text("no set")
  (check,) = machine.check_data({"TFDS_DATA_DIR": str(tmp_path)})
  assert check.level == "ok"
  assert check.finding.endswith(": mnist, set0, set1, set2, set3 and 2 more")


def test_fewer_threads_than_cores_are_told():
  (free,) = machine.check_threads({"OMP_NUM_THREADS": "4"}, 4)
  assert free.level == "ok" and free.finding.endswith("(OMP_NUM_THREADS=4)")
  few = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "8"}
  (check,) = machine.check_threads(few, 4)
  assert check.level == "warn" and check.fix.startswith(
    "unset OMP_NUM_THREADS,"
  )
  assert "OMP_NUM_THREADS=1, and this process may use 4 cores" in check.finding
