"""What the joules of a trial were spent in and read by, equal boards alike.

Joules of two trials can be compared where the kind and number of devices, their
power limit and the method of the meter are the same, and the software that
computes. On which of several equal boards, in which of several equal hosts, a
trial ran is no such wall but a block: it moves the joules of all its trials
together, by a few per cent.

Unknown is never equal: a board whose kind is not on record is a kind of its
own, and so is an unnamed CPU of each host.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.provenance import arithmetic_environment
from jaxpower.records import TrialRecord

# By how much the sensors of two boards may differ: as the meter has it
# (`power.window.BOARD_GAIN`, with its source).
BOARD_GAIN = 0.05

CPU = "CPU"
GPU = "GPU-"  # the beginning of the UUID of one, and of its domain
NO_UUID = "of unknown UUID"
DEVICES = "devices"  # the field of a config that varies their number
POWER_LIMIT = "power_limit_watts"  # of a config

# The packages in which a framework's arithmetic lies.
PACKAGES = {
  "jax": ("jax", "jaxlib"),
  "torch": ("torch",),
  "command": ("jax", "jaxlib", "torch"),  # as its script tells
}
# The libraries below both, as provenance may name them.
LIBRARIES = ("cuda", "cudnn", "jax-cuda", "nvidia-cu")
# Variables that only the other framework reads, or only what runs on a GPU.
FOREIGN = {"jax": ("TORCH", "PYTORCH_", "ATEN_"), "torch": ("JAX_", "XLA_")}
ON_GPU = ("CUDA_", "CUBLAS", "CUDNN_", "NCCL_", "NVIDIA_")


@dataclass(frozen=True)
class System:
  """The kind of machine and of meter behind a trial's joules.

  Attributes:
    hardware: Kinds of its GPUs, or its CPU's model.
    devices: How many it trained on; None where unknown or where a sweep varies
      it, since then it is a setting.
    cores: How many it might use, where it trained on a CPU; else None.
    processor: The CPU's model, where a meter saw the CPU too; else empty.
    power_limits: Of its boards, in whole watts, each once.
    drivers: Branches of the NVIDIA driver ("570"), since the meter's readings
      and the board's clocks are the driver's.
    meter: What each domain covers and how it was read ("gpu by counter").
    estimated: Whether joules were modelled.
  """

  hardware: tuple[str, ...]
  devices: int | None
  cores: int | None
  processor: str
  power_limits: tuple[int, ...]
  drivers: tuple[str, ...]
  meter: tuple[str, ...]
  estimated: bool


def system_of(record: TrialRecord) -> System:
  """Returns the system of a trial."""
  trained_on = _trained_on(record)
  on_cpu = trained_on == (CPU,)
  counted = not (on_cpu or DEVICES in record.varied) and bool(trained_on)
  number = len(trained_on) if counted else None
  meter = _meter(record, number)
  cpu = str(record.provenance.get("cpu") or machine(record))
  boards = _board_states(record, trained_on)
  return System(
    hardware=(cpu,) if on_cpu else _gpu_kinds(record, trained_on),
    devices=number,
    cores=record.provenance.get("cpus_usable") if on_cpu else None,
    processor=cpu if on_cpu or any("gpu by" not in m for m in meter) else "",
    # Where a sweep varies it, it is what is compared.
    power_limits=()
    if POWER_LIMIT in record.varied
    else _distinct(
      round(watts)
      for board in boards
      if (watts := board.get("power_limit_watts")) is not None
    ),
    drivers=_distinct(
      str(driver).partition(".")[0]
      for board in boards
      if (driver := board.get("driver"))
    ),
    meter=meter,
    estimated=record.estimated,
  )


def _distinct(items: Iterable[Any]) -> tuple[Any, ...]:
  return tuple(sorted(set(items)))


def _trained_on(record: TrialRecord) -> tuple[str, ...]:
  """Names a trial's devices; where not recorded, the boards billed."""
  billed = (name for name in record.joules_by_domain if name.startswith(GPU))
  return devices(record) or tuple(sorted(billed))


def _gpu_kinds(record: TrialRecord, uuids: Sequence[str]) -> tuple[str, ...]:
  """Names the kinds of some GPUs; one of unknown kind is a kind of its own."""
  kinds = {state.get("uuid"): state.get("name") for state in _states(record)}
  kinds |= {
    _device(facts): facts.get("kind") or f"a GPU of {machine(record)}"
    for facts in _described(record)
  }
  return _distinct(str(kinds.get(uuid) or uuid) for uuid in uuids)


def _described(record: TrialRecord) -> list[dict[str, Any]]:
  described = record.provenance.get("devices") or ()
  return [facts for facts in described if isinstance(facts, dict)]


def _states(record: TrialRecord) -> list[dict[str, Any]]:
  """Returns the states of the job's boards when the meter started."""
  gpus = record.meter.get("gpus")
  states = gpus.get("start") if isinstance(gpus, dict) else None
  listed = states if isinstance(states, list) else ()
  return [state for state in listed if isinstance(state, dict)]


def _board_states(
  record: TrialRecord, trained_on: Sequence[str]
) -> list[dict[str, Any]]:
  """Returns the states of the boards that a trial trained on."""
  return [s for s in _states(record) if s.get("uuid") in trained_on]


def _meter(record: TrialRecord, trained_on: int | None) -> tuple[str, ...]:
  """Names kind and method of each domain, and how many there are of it.

  Boards are counted only where the meter saw others than were `trained_on`:
  how many were is a matter of its own.
  """
  facts = {
    str(domain.get("domain")): domain
    for domain in record.meter.get("domains") or ()
    if isinstance(domain, dict)
  }
  counts = Counter(
    _domain(name, facts.get(name, {})) for name in record.joules_by_domain
  )
  return tuple(
    name
    if count == 1 or (name.startswith("gpu ") and trained_on in (None, count))
    else f"{count} x {name}"
    for name, count in sorted(counts.items())
  )


def _domain(name: str, facts: Mapping[str, Any]) -> str:
  kind = str(facts.get("kind") or _kind_of_domain(name))
  method = str(facts.get("method") or "unknown method")
  assumed = facts.get("assumptions") or {}
  watts = [
    f"{number:g} {key.replace('_', ' ')}"
    for key, number in sorted(assumed.items())
    if "watts" in key and isinstance(number, int | float)
  ]
  text = f"{kind} by {method}"
  return f"{text} ({', '.join(watts)})" if watts else text


def _kind_of_domain(name: str) -> str:
  """Tells the kind of a domain by its name, where no meter described it."""
  if name.startswith(GPU):
    return "gpu"
  if re.match(r"(cpu|package)-", name):
    return "cpu"
  return "dram" if name.startswith("dram") else name


# One trial's place


def machine(record: TrialRecord) -> str:
  """Names host and processor of a trial; empty where not recorded."""
  names = (record.provenance.get(key) for key in ("host", "cpu"))
  return ", ".join(str(name) for name in names if name)


def hardware(record: TrialRecord) -> str:
  """Names what a trial trained on: "2 x NVIDIA H200", or the CPU."""
  kinds = [
    str(device.get("kind", ""))
    for device in _described(record)
    if device.get("platform") != "cpu"
  ]
  if kinds:
    return f"{len(kinds)} x {kinds[0]}" if len(kinds) > 1 else kinds[0]
  on_gpu = any(name.startswith(GPU) for name in record.joules_by_domain)
  return "" if on_gpu else str(record.provenance.get("cpu", ""))


def devices(record: TrialRecord) -> tuple[str, ...]:
  """Returns UUIDs of the GPUs of a trial, or "CPU"; empty where unrecorded."""
  names = list(map(_device, _described(record)))
  gpus = [name for name in names if name != CPU]
  return tuple(sorted(gpus)) or tuple(names[:1])


def _device(facts: dict[str, Any]) -> str:
  if facts.get("platform") == "cpu":
    return CPU
  return str(facts.get("uuid") or f"{facts.get('kind', 'a GPU')} {NO_UUID}")


def board_of(record: TrialRecord) -> str:
  """Names the block of a trial: its GPUs' UUIDs, or host and CPU.

  Empty where it is unknown: then nothing says which trials shared a board.
  """
  names = _trained_on(record)
  if names == (CPU,):
    return machine(record)
  if any(name.endswith(NO_UUID) for name in names):
    return ""
  return " + ".join(names)


def blocks(records: Sequence[TrialRecord]) -> tuple[str, ...]:
  """Names the block of each trial where trials may share some of their boards.

  Trials on 1, 2 and 4 boards of one node are one block: were each set of boards
  a block of its own, nothing could be said of how many boards are best. A
  block is named by the first board in it.
  """
  boards = [board_of(record).split(" + ") for record in records]
  first_of = {board: board for trial in boards for board in trial}

  def block(board: str) -> str:
    while first_of[board] != board:
      board = first_of[board]
    return board

  for trial in boards:
    ours = sorted(set(map(block, trial)))
    for board in ours[1:]:
      first_of[board] = ours[0]
  return tuple(block(trial[0]) for trial in boards)


# Software


def family(framework: str) -> str:
  """Returns "torch" for PyTorch in either form, "jax" for JAX."""
  return "torch" if framework.startswith("torch") else framework


def software(record: TrialRecord, framework: str) -> tuple[str, ...]:
  """Lists versions and variables by which a framework would compute here.

  Versions to the second number ("jax 0.10"): releases behind it fix faults.
  PyTorch's build names its CUDA ("torch 2.13+cu128"), which counts on a GPU.
  """
  own = family(framework)
  on_gpu = _trained_on(record) != (CPU,)
  versions = record.provenance.get("versions") or {}
  packages = PACKAGES.get(own, ())
  named = {
    name: _release(str(version), on_gpu and own == "torch")
    for name, version in sorted(versions.items())
    if name in packages or (on_gpu and name.startswith(LIBRARIES))
  }
  variables = arithmetic_environment(record.provenance)
  return (
    *(f"{name} {version}" for name, version in named.items()),
    *(
      f"{name}={value}"
      for name, value in variables.items()
      if not name.startswith(FOREIGN.get(own, ()))
      and (on_gpu or not name.startswith(ON_GPU))
    ),
  )


def _release(version: str, with_build: bool) -> str:
  number, _, build = version.partition("+")
  release = ".".join(number.split(".")[:2])
  is_gpu_build = with_build and build.startswith(("cu", "rocm"))
  return f"{release}+{build}" if is_gpu_build else release


def by_software(
  records: Sequence[TrialRecord],
) -> dict[tuple[str, ...], list[TrialRecord]]:
  """Parts trials whose framework ran in several versions or environments.

  A framework is never parted from another one for being another: only
  where trials of the same one differ do its versions decide, and the trials
  of others follow by what they would have used of it.
  """
  used: dict[str, set[tuple[str, ...]]] = {}
  for record in records:
    own = family(record.framework)
    used.setdefault(own, set()).add(software(record, own))
  unlike = sorted(name for name, several in used.items() if len(several) > 1)
  parts: dict[tuple[str, ...], list[TrialRecord]] = {}
  for record in records:
    key = dict.fromkeys(s for name in unlike for s in software(record, name))
    parts.setdefault(tuple(key), []).append(record)
  return parts
