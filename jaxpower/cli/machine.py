"""What the machine has, against what a job uses of it.

`look` gathers the facts, once; every check is a pure function of them.
"""

import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pynvml

from jaxpower.cli.check import Check
from jaxpower.frameworks import Framework, installed, why_no_gpu
from jaxpower.power import MeterError, Problem
from jaxpower.power.devices import Board, list_boards
from jaxpower.power.nvml import start_nvml, stop_nvml
from jaxpower.power.pci import PCI_DEVICES, nvidia_gpus, same_pci
from jaxpower.provenance import package_versions
from jaxpower.wording import count, memory

RUNS = pathlib.Path("runs")  # where scripts/run.py writes
# Chosen: a trial of the bundled configs writes less than 1 MB, weights of
# ResNet-50 take 0.1 GB, and a full disk ends a sweep.
LOW_DISK_BYTES, NO_DISK_BYTES = 2e9, 1e8


@dataclass(frozen=True)
class Machine:
  """The facts of a machine.

  `boards` are NVML's, lost ones too; `slots` are the PCI addresses of NVIDIA
  GPUs. `driver_cuda` is the newest CUDA that the driver knows, as 13000 for
  13.0. What is not known is None or "".
  """

  boards: tuple[Board, ...] = ()
  slots: tuple[str, ...] = ()
  driver: str = ""
  nvml: str = ""
  driver_cuda: int | None = None
  frameworks: tuple[Framework, ...] = ()
  versions: Mapping[str, str] = field(default_factory=dict)

  @property
  def gpus(self) -> int:
    """How many NVIDIA GPUs could be used: NVML's, without it those in slots."""
    answering = [board for board in self.boards if not board.lost]
    return len(answering) if self.boards else len(self.slots)

  @property
  def cuda_major(self) -> int | None:
    """The major version of the newest CUDA that the driver knows."""
    return None if self.driver_cuda is None else self.driver_cuda // 1000


def look(pci_devices: pathlib.Path = PCI_DEVICES) -> Machine:
  """Looks at the machine; opens no device and loads no framework."""
  facts: dict[str, Any] = {
    "slots": nvidia_gpus(pci_devices),
    "frameworks": installed(),
    "versions": package_versions(),
  }
  try:
    start_nvml()
  except MeterError:
    return Machine(**facts)
  try:
    return Machine(
      boards=list_boards(pci_devices),
      driver=_asked(pynvml.nvmlSystemGetDriverVersion) or "",
      nvml=_asked(pynvml.nvmlSystemGetNVMLVersion) or "",
      driver_cuda=_asked(pynvml.nvmlSystemGetCudaDriverVersion_v2),
      **facts,
    )
  finally:
    stop_nvml()


def _asked(call: Any) -> Any:
  try:
    return call()
  except pynvml.NVMLError:
    return None


def check_slots(machine: Machine) -> list[Check]:
  """Tells of GPUs that are in the machine's slots and not in NVML."""
  known = [board.pci for board in machine.boards]
  unseen = [
    slot
    for slot in machine.slots
    if not any(same_pci(slot, address) for address in known)
  ]
  # A lost board without an address is one of those in the slots.
  unseen = unseen[sum(not address for address in known) :]
  if not unseen:
    return []
  finding = (
    f"{count(len(unseen), 'NVIDIA GPU')} in the slots of this machine that NVML"
    f" does not show (PCI {', '.join(unseen)})"
  )
  fix = "install the NVIDIA driver; in a container start it with --gpus all"
  return [Check("warn", "not usable", finding, fix)]


def check_frameworks(
  machine: Machine, environ: Mapping[str, str]
) -> list[Check]:
  """Says of each framework whether it can use the GPUs that are here."""
  if not machine.gpus:
    return []
  gpus = count(machine.gpus, "NVIDIA GPU")
  checks = []
  for framework in machine.frameworks:
    problem = why_no_gpu(framework, machine.cuda_major, environ)
    if problem is None:
      finding = f"{framework.version} for CUDA {framework.cuda}"
      checks.append(Check("ok", framework.name, finding))
    else:
      finding = f"{gpus} here that it cannot use: {problem.reason}"
      checks.append(Check("warn", framework.name, finding, problem.fix))
  return checks


def versions_of(machine: Machine) -> dict[str, str]:
  """Lists the versions on which numbers depend, by name."""
  versions = dict(machine.versions)
  if machine.driver:
    versions["NVIDIA driver"] = machine.driver
  if machine.nvml:
    versions["NVML"] = machine.nvml
  if machine.driver_cuda is not None:
    major, rest = divmod(machine.driver_cuda, 1000)
    versions["CUDA of the driver"] = f"{major}.{rest // 10}"
  return versions


def check_versions(machine: Machine) -> list[Check]:
  """Shows the versions on one line."""
  versions = versions_of(machine).items()
  finding = ", ".join(f"{name} {text}" for name, text in versions)
  return [Check("ok", "versions", finding)]


def check_disk(folder: pathlib.Path = RUNS) -> list[Check]:
  """Says how much space there is where run folders go, and if it is little."""
  here = folder if folder.exists() else pathlib.Path()
  if not os.access(here, os.W_OK):
    finding = f"{here.absolute()}, where run folders go, cannot be written"
    return [Check("fail", "disk", finding, "give run.py --out=FOLDER")]
  free = shutil.disk_usage(here).free
  finding = f"{memory(free)} free where run folders go"
  if free >= LOW_DISK_BYTES:
    return [Check("ok", "disk", finding)]
  level = "warn" if free >= NO_DISK_BYTES else "fail"
  return [
    Check(level, "disk", finding, "free some, or give run.py --out=FOLDER")
  ]


def check_load(problems: Sequence[Problem], cores: int) -> list[Check]:
  """Says whether others keep the cores busy, by `load_warnings`."""
  if not problems:
    return [Check("ok", "load", f"the {count(cores, 'core')} are free")]
  return [
    Check("warn", "load", problem.reason, problem.fix) for problem in problems
  ]


def unused_gpus(
  platform: str,
  framework: str,
  billed: int,
  machine: Machine,
  environ: Mapping[str, str],
) -> Problem | None:
  """Says that GPUs are here which a sweep does not use, and why; or None.

  Args:
    platform: On which the worker trains, "cpu" or another.
    framework: Of the worker, as records name it.
    billed: How many devices it trains on.
    machine: Of this process.
    environ: The environment of the worker.
  """
  gpus = count(machine.gpus, "NVIDIA GPU")
  if platform != "cpu":
    left = machine.gpus - billed
    if left <= 0:
      return None
    other = count(left, "other GPU")
    return Problem(f"not used: {other} of this machine, kept apart in records")
  if not machine.gpus:
    return None
  name = "JAX" if framework == "jax" else "PyTorch"
  for found in machine.frameworks:
    problem = why_no_gpu(found, machine.cuda_major, environ)
    if found.name == name and problem is not None:
      return Problem(f"{gpus} here not used: {problem.reason}", problem.fix)
  visible = environ.get("CUDA_VISIBLE_DEVICES")
  if visible is not None:
    return Problem(
      f"{gpus} here not used: CUDA_VISIBLE_DEVICES={visible!r}",
      "unset CUDA_VISIBLE_DEVICES",
    )
  return Problem(f"{gpus} here not used", "python -m jaxpower doctor says more")
