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
# Where tensorflow-datasets puts prepared sets, and says with this variable.
DATA, DATA_VARIABLE = "~/tensorflow_datasets", "TFDS_DATA_DIR"
MOST_SETS = 5  # named; of more, their number; chosen
# By which a user holds the linear algebra of PyTorch and numpy to fewer cores.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
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


def check_data(environ: Mapping[str, str]) -> list[Check]:
  """Says which data sets are prepared, beside those that come along."""
  place = environ.get(DATA_VARIABLE) or DATA
  folder = pathlib.Path(place).expanduser()
  bundled = "small sets come along (docs/data.md)"
  try:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
  except OSError:
    names = []
  names = [name for name in names if name != "downloads"]
  if not names:
    return [Check("ok", "data", f"{bundled}; none prepared in {place}")]
  shown = ", ".join(names[:MOST_SETS])
  if more := len(names) - MOST_SETS:
    shown += f" and {more} more" if more > 0 else ""
  return [Check("ok", "data", f"{bundled}; prepared in {place}: {shown}")]


def check_threads(environ: Mapping[str, str], cores: int) -> list[Check]:
  """Warns where variables hold linear algebra to fewer threads than cores."""
  given = {name: environ[name] for name in THREADS if environ.get(name)}
  fewer = {
    name: text
    for name, text in given.items()
    if text.isdecimal() and int(text) < cores
  }
  if fewer:
    told = ", ".join(f"{name}={text}" for name, text in fewer.items())
    finding = f"{told}, and this process may use {count(cores, 'core')}"
    fix = f"unset {' '.join(fewer)}, unless that is what is to be measured"
    return [Check("warn", "threads", finding, fix)]
  told = ", ".join(f"{name}={text}" for name, text in given.items())
  finding = f"linear algebra may use the {count(cores, 'core')}"
  return [Check("ok", "threads", finding + (f" ({told})" if told else ""))]
