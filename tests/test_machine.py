"""The facts of a machine, and what of it a sweep does not use."""

import pytest

from jaxpower import machine
from jaxpower.frameworks import Framework
from jaxpower.machine import Machine, unused_gpus
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
  versions = machine.versions_of(found)
  assert versions["NVIDIA driver"] == "580.95.05"
  assert versions["CUDA of the driver"] == "12.8" and found.cuda_major == 12
  assert {"python", "jax", "NVML"} <= versions.keys()


def test_a_driver_that_does_not_know_its_cuda(tmp_path):
  missing = frozenset({"nvmlSystemGetCudaDriverVersion_v2"})
  with installed(Gpu(), missing=missing):
    found = machine.look(tmp_path)
  assert found.driver_cuda is None
  assert "CUDA of the driver" not in machine.versions_of(found)


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


@pytest.mark.parametrize(
  ("here", "environ", "framework", "trains"),
  [
    (Machine(), {}, "jax", False),
    (Machine(boards=BOARDS, frameworks=(CPU_JAX,)), {}, "jax", False),
    (Machine(boards=BOARDS, frameworks=(CUDA_JAX,)), {}, "jax", True),
    (Machine(boards=BOARDS, frameworks=(CUDA_JAX,)), {}, "torch", False),
    (
      Machine(boards=BOARDS, frameworks=(CUDA_JAX,), driver_cuda=12080),
      {},
      "jax",
      False,
    ),
    (
      Machine(boards=BOARDS, frameworks=(CUDA_JAX,)),
      {"CUDA_VISIBLE_DEVICES": ""},
      "jax",
      False,
    ),
    (
      Machine(boards=BOARDS, frameworks=(CUDA_JAX,)),
      {"JAX_PLATFORMS": "cpu"},
      "jax",
      False,
    ),
  ],
)
def test_whether_a_framework_would_train_on_a_gpu(
  here, environ, framework, trains
):
  assert machine.trains_on_gpu(framework, here, environ) is trains
