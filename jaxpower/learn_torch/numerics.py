"""What is not the same in every framework, said for a trial in PyTorch."""

from typing import Any

import torch

from jaxpower.config import NETWORKS, Trial
from jaxpower.learn_torch.spec import Spec


def numerics_of(
  trial: Trial, spec: Spec, device: torch.device
) -> dict[str, Any]:
  """Words that both wings use, on a trial, its spec and its device."""
  gpu = device.type == "cuda"
  compiled = trial.framework == "torch_compile"
  found: dict[str, Any] = {
    "micro_batch": spec.micro_batch,
    "products": trial.precision,
    "tf32": gpu
    and trial.precision == "float32"
    and trial.matmul_precision != "highest"
    and torch.cuda.get_device_capability(device) >= (8, 0),
    "convolution": "cudnn" if gpu else "onednn",
    "call": "loss and gradient compiled, the update one operation"
    if compiled
    else "an operation",
  }
  if NETWORKS[trial.model.name].batch_norm:
    part = "micro-batch" if spec.accumulation > 1 else "global batch"
    part = "per device" if spec.devices > 1 else part
    found |= {"batch_norm": part, "running_variance": "unbiased"}
  if trial.dropout > 0:
    found["dropout_draws"] = "PyTorch's, by seed and segment"
  return found
