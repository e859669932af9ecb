"""Describes what differs by nature between frameworks, for a trial in PyTorch.

The record of a trial has these facts as `numerics`, under the same names in
both wings (`docs/frameworks.md`), so that a difference of two frameworks can be
traced to them.
"""

from typing import Any

import torch

from jaxpower.architectures import network_of
from jaxpower.config import Trial
from jaxpower.learn_torch.spec import Spec

TF32_SINCE = (8, 0)  # compute capability: Ampere (NVIDIA's Ampere tuning guide)


def numerics_of(
  trial: Trial, spec: Spec, device: torch.device
) -> dict[str, Any]:
  """Describes the numerics of a trial on its device."""
  gpu = device.type == "cuda"
  compiled = trial.framework == "torch_compile"
  numerics: dict[str, Any] = {
    "micro_batch": spec.micro_batch,
    "products": trial.precision,
    "tf32": gpu
    and trial.precision == "float32"
    and trial.matmul_precision != "highest"
    and torch.cuda.get_device_capability(device) >= TF32_SINCE,
    "convolution": "cudnn" if gpu else "onednn",
    "call": "loss and gradient compiled, the update one operation"
    if compiled
    else "an operation",
  }
  if network_of(trial.model.name).batch_norm:
    part = "micro-batch" if spec.accumulation > 1 else "global batch"
    if spec.devices > 1 and spec.batch_norm == "device":
      part = "per device"
    numerics |= {"batch_norm": part, "running_variance": "unbiased"}
  if spec.devices > 1:
    numerics |= {"sharding": spec.sharding}
  if trial.dropout > 0:
    numerics["dropout_draws"] = "PyTorch's, by seed and segment"
  return numerics
