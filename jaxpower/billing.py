"""Which boards a trial is billed for: those that its framework computes on.

Asked in the worker's process alone, where the framework has CUDA at work: it
tells the UUID of each of its devices (`learn_torch`), or CUDA is asked for it
(JAX tells an index). Where neither answers, the board is worked out from the
environment as CUDA would have; and a device of which that names no board either
is billed as an unknown one, never as all that are visible and never as nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jaxpower.config import Trial
from jaxpower.power.cuda import CudaDevice, cuda_devices
from jaxpower.power.devices import (
  UNKNOWN,
  Board,
  VisibleDevice,
  board_of,
  list_boards,
  visible_devices,
)
from jaxpower.power.nvml import start_nvml, stop_nvml
from jaxpower.power.reading import MeterError, Problem
from jaxpower.wings import wing_of

Asked = Literal["cuda", "environment"]


@dataclass(frozen=True)
class Device:
  """A device of a trial and the board it lies on.

  `facts` are the wing's: platform, kind, index. `uuid` is the board's, None on
  a CPU and where it is not known; `part` is the UUID of a MIG part of it.
  `uuid_by` is who told: CUDA, or the environment as we read it.
  """

  facts: Mapping[str, Any]
  uuid: str | None = None
  part: str | None = None
  uuid_by: Asked | None = None
  caution: Problem | None = None

  @property
  def name(self) -> str | None:
    """What the meter calls it; None on a CPU."""
    if self.facts["platform"] == "cpu":
      return None
    return self.uuid or f"{UNKNOWN}{self.facts['index']}"

  def describe(self) -> dict[str, Any]:
    """Returns what a record says of it."""
    facts = {name: self.facts[name] for name in ("platform", "kind", "index")}
    told = facts | {"uuid": self.uuid}
    if self.facts["platform"] == "cpu":
      return told
    return told | {"mig_uuid": self.part, "uuid_by": self.uuid_by}


def devices_of(trial: Trial) -> tuple[Device, ...]:
  """Finds the devices that a trial is divided over, and their boards."""
  facts = wing_of(trial.framework).devices(trial)
  if all(device["platform"] == "cpu" for device in facts):
    return tuple(Device(device) for device in facts)
  return located(facts, _boards(), _told_by_cuda(facts))


def _boards() -> tuple[Board, ...]:
  """Lists the boards that NVML sees; none without NVML."""
  try:
    start_nvml()
  except MeterError:
    return ()
  try:
    return list_boards()
  finally:
    stop_nvml()


def gpus_of(devices: Sequence[Device]) -> list[str]:
  """Returns the GPUs to bill, by the meter's names; on CPUs none.

  Other GPUs of the node are shown apart.
  """
  return list(dict.fromkeys(d.name for d in devices if d.name is not None))


def cautions_of(devices: Sequence[Device]) -> tuple[Problem, ...]:
  """Lists what one should know of how the boards were found."""
  return tuple(d.caution for d in devices if d.caution is not None)


def located(
  facts: Sequence[Mapping[str, Any]],
  boards: Sequence[Board],
  told: Mapping[int, CudaDevice],
  environ: Mapping[str, str] | None = None,
) -> tuple[Device, ...]:
  """Finds the board of each device of a framework.

  Args:
    facts: Of each device, as a wing tells them.
    boards: All that NVML sees.
    told: What CUDA says of a device, by its index here; empty: nothing.
    environ: The environment, by which the board is guessed and CUDA's answer
      is compared; by default that of this process.
  """
  visible, warnings = visible_devices(boards, environ)
  emulated = {device.index: device for device in visible}
  found = []
  for device in facts:
    guess, answer = emulated.get(device["index"]), told.get(device["index"])
    if device["platform"] == "cpu":
      found.append(Device(device))
    elif answer is not None:
      found.append(_by_cuda(device, answer, boards, guess))
    elif guess is not None:
      found.append(_by_environment(device, guess, warnings))
    else:
      found.append(_unknown(device, "neither CUDA nor NVML names its board"))
  return tuple(found)


def _by_cuda(
  facts: Mapping[str, Any],
  answer: CudaDevice,
  boards: Sequence[Board],
  guess: VisibleDevice | None,
) -> Device:
  """Takes CUDA's word, and says where the environment would say another."""
  board = board_of(answer, boards)
  if board is None:
    name = answer.uuid or answer.pci
    return _unknown(facts, f"it is {name} to CUDA, which NVML does not list")
  part = next((p for p in board.slices if p == f"MIG-{answer.uuid}"), None)
  if guess is not None and guess.board.uuid == board.uuid:
    return Device(facts, board.uuid, part, "cuda")
  other = "no board" if guess is None else guess.board.uuid
  caution = Problem(
    f"device {facts['index']} is {board.uuid}, as CUDA says and as is billed;"
    f" by the environment of now it would be {other}",
    "name GPUs by UUID in CUDA_VISIBLE_DEVICES, before the program starts",
  )
  return Device(facts, board.uuid, part, "cuda", caution)


def _by_environment(
  facts: Mapping[str, Any], guess: VisibleDevice, warnings: Sequence[str]
) -> Device:
  """Takes the board that the environment names, and says that it is no more."""
  doubt = f" ({'; '.join(warnings)})" if warnings else ""
  caution = Problem(
    f"device {facts['index']} is taken for {guess.board.uuid} by the"
    f" environment{doubt}: CUDA does not tell"
  )
  uuid, part = guess.board.uuid, guess.mig_uuid
  return Device(facts, uuid, part, "environment", caution)


def _unknown(facts: Mapping[str, Any], reason: str) -> Device:
  """Makes a device of which no board is known, and says so."""
  caution = Problem(
    f"the energy of device {facts['index']} ({facts['kind']}) is unknown:"
    f" {reason}",
    "nvidia-smi -L has to list it (in a container with"
    " NVIDIA_DRIVER_CAPABILITIES=compute,utility)",
  )
  return Device(facts, caution=caution)


def _told_by_cuda(facts: Sequence[Mapping[str, Any]]) -> dict[int, CudaDevice]:
  """Asks CUDA which devices these are, and lets the framework correct it."""
  try:
    told = {device.index: device for device in cuda_devices()}
  except MeterError:
    told = {}
  for device in facts:
    if uuid := device.get("uuid"):
      index = device["index"]
      pci = told[index].pci if index in told else None
      told[index] = CudaDevice(index, uuid, pci)
  return told
