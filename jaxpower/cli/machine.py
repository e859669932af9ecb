"""The doctor's checks of a machine: what it has against what a job can use."""

import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence

from jaxpower.cli.check import Check
from jaxpower.frameworks import why_no_gpu
from jaxpower.machine import Machine, versions_of
from jaxpower.power import Problem
from jaxpower.power.pci import same_pci
from jaxpower.wording import count, memory

RUNS = pathlib.Path("runs")  # where scripts/run.py writes
# Chosen: a trial of the bundled configs writes less than 1 MB, weights of
# ResNet-50 take 0.1 GB, and a full disk ends a sweep.
LOW_DISK_BYTES, NO_DISK_BYTES = 2e9, 1e8


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
