"""Is the GPU that is billed the GPU that computes? Writes JSON.

The truth is CUDA's own answer (`power.cuda`), beside what the environment says,
what PyTorch says and the memory statistics of JAX.
"""

import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

told: dict[str, Any] = {}


def attempt(name: str, call: Callable[[], Any]) -> None:
  try:
    told[name] = call()
  except Exception as error:  # noqa: BLE001, the next answer matters too
    told[name] = f"{type(error).__name__}: {error}"


def of_cuda() -> list[Any]:
  from jaxpower.power.cuda import cuda_devices

  return [vars(device) for device in cuda_devices()]


def of_jax() -> list[Any]:
  import jax

  from jaxpower.power import gpu_uuid

  return [
    {
      "id": device.id,
      "local_hardware_id": device.local_hardware_id,
      "kind": device.device_kind,
      "platform": device.platform,
      "compute_capability": getattr(device, "compute_capability", None),
      "by_environment": gpu_uuid(device.local_hardware_id),
      "memory": device.memory_stats(),
    }
    for device in jax.local_devices()
  ]


def billed() -> list[Any]:
  from jaxpower import billing
  from jaxpower.config import Trial

  return [device.describe() for device in billing.devices_of(Trial())]


def of_torch() -> list[str]:
  import torch

  return [
    str(torch.cuda.get_device_properties(index).uuid)
    for index in range(torch.cuda.device_count())
  ]


attempt("cuda", of_cuda)
attempt("jax", of_jax)
attempt("billed", billed)
attempt("torch", of_torch)
text = json.dumps(told, indent=1, default=str)
print(text)
pathlib.Path(sys.argv[1]).write_text(f"{text}\n")
