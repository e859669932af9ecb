"""Workers that train on the CPU and are billed for simulated GPUs.

Training, meter, billing, UUIDs and NVML's binding are the real ones; NVML's
library is simulated, eight boards of constant and different power, and the
JAX wing takes its CPU for the GPUs that CUDA_VISIBLE_DEVICES names. A board
is lost once the file that LOST_BOARD="UUID FILE" names is there: training on it
fails, and no worker starts there.
"""

import os
import pathlib
import sys
from typing import Any

from jaxpower.config import Trial
from jaxpower.power.simulated_nvml import Gpu, Library, install

COMMAND = "from tests.simulated_gpu_worker import main; main()"
GPUS = tuple(f"GPU-{i:08d}-0000-0000-0000-000000000000" for i in range(8))
WATTS = {uuid: 100.0 + 10.0 * i for i, uuid in enumerate(GPUS)}


def boards() -> tuple[Gpu, ...]:
  return tuple(
    Gpu(power=WATTS[uuid], uuid=uuid, pci=f"0000:0{i}:00.0", name="NVIDIA H100")
    for i, uuid in enumerate(GPUS)
  )


def visible() -> tuple[str, ...]:
  text = os.environ.get("CUDA_VISIBLE_DEVICES")
  return GPUS if text is None else tuple(text.split(","))


def is_lost() -> bool:
  board, _, file = os.environ.get("LOST_BOARD", "").partition(" ")
  alone = len(visible()) < len(GPUS)
  return alone and board in visible() and pathlib.Path(file).exists()


def devices(trial: Trial) -> list[dict[str, Any]]:
  if is_lost():
    raise RuntimeError("CUDA_ERROR_NO_DEVICE")
  return [
    {"platform": "gpu", "kind": "NVIDIA H100", "index": index}
    for index in range(len(visible()))
  ][: trial.devices or None]


def main() -> None:
  """Serves trials."""
  install(Library(boards()))
  from jaxpower.learn import wing
  from jaxpower.workers import serving

  faked: Any = wing
  train = wing.train

  def train_or_fail(*args: Any) -> Any:
    if is_lost():
      raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS")
    return train(*args)

  faked.devices, faked.train = devices, train_or_fail
  serving.main(sys.argv[1:])
