"""The GPUs, drivers and frameworks of a machine, and what of them is unused.

`look` gathers the facts, once, and opens no device; the rest are pure functions
of them.
"""

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pynvml

from jaxpower.frameworks import Framework, installed, why_no_gpu
from jaxpower.power import MeterError, Problem
from jaxpower.power.devices import Board, list_boards, visible_devices
from jaxpower.power.nvml import start_nvml, stop_nvml
from jaxpower.power.pci import PCI_DEVICES, nvidia_gpus
from jaxpower.provenance import package_versions
from jaxpower.wording import count


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


def trains_on_gpu(
  framework: str, machine: Machine, environ: Mapping[str, str]
) -> bool:
  """Whether a framework would train on an NVIDIA GPU of this machine.

  Arguments are as of `unused_gpus`.
  """
  visible, _ = visible_devices(machine.boards, environ)
  if all(device.board.lost for device in visible):
    return False
  name = "JAX" if framework == "jax" else "PyTorch"
  return any(
    found.name == name
    and why_no_gpu(found, machine.cuda_major, environ) is None
    for found in machine.frameworks
  )


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
