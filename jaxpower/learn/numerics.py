"""What is not the same in every framework, said for a trial in JAX."""

from typing import Any

from jaxpower.config import Trial


def numerics_of(trial: Trial, device: Any) -> dict[str, Any]:
  """Words that both wings use, on a trial and its first `jax.Device`."""
  gpu = device.platform == "gpu"
  found: dict[str, Any] = {
    "products": trial.precision,
    "tf32": gpu
    and trial.precision == "float32"
    and trial.matmul_precision != "highest"
    and float(getattr(device, "compute_capability", 0)) >= 8,
    "convolution": "cudnn" if gpu else "one matrix product over patches",
    "call": f"one program a {trial.program}",
  }
  if trial.model.name.startswith("resnet"):
    part = "micro-batch" if trial.accumulation > 1 else "global batch"
    found |= {"batch_norm": part, "running_variance": "biased"}
  if trial.dropout > 0:
    found["dropout_draws"] = "threefry, by seed and step"
  return found
