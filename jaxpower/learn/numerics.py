"""What is not the same in every framework, said for a trial in JAX."""

from typing import Any

from jaxpower.config import NETWORKS, Trial
from jaxpower.learn.spec import Spec


def numerics_of(trial: Trial, spec: Spec, device: Any) -> dict[str, Any]:
  """Words that both wings use, on a trial, its spec and its first device."""
  gpu = device.platform == "gpu"
  found: dict[str, Any] = {
    "micro_batch": spec.micro_batch,
    "products": trial.precision,
    "tf32": gpu
    and trial.precision == "float32"
    and trial.matmul_precision != "highest"
    and float(getattr(device, "compute_capability", 0)) >= 8,
    "convolution": "cudnn" if gpu else "one matrix product over patches",
    "call": f"one program a {trial.program}",
  }
  if NETWORKS[trial.model.name].batch_norm:
    part = "micro-batch" if spec.accumulation > 1 else "global batch"
    found |= {"batch_norm": part, "running_variance": "biased"}
  if trial.dropout > 0:
    found["dropout_draws"] = "threefry, by seed and step"
  return found
