"""Describes what differs by nature between frameworks, for a trial in JAX.

The record of a trial has these facts as `numerics`, under the same names in
both wings (`docs/frameworks.md`), so that a difference of two frameworks can be
traced to them.
"""

from typing import Any

from jaxpower.architectures import TransformerSizes, network_of, sizes_of
from jaxpower.config import Trial
from jaxpower.learn.compiler import options
from jaxpower.learn.devices import capability_of
from jaxpower.learn.spec import (
  Spec,
  attention_of,
  convolution_of,
  why_not_cudnn,
)

TF32_SINCE = 8.0  # compute capability: Ampere (NVIDIA's Ampere tuning guide)


def numerics_of(trial: Trial, spec: Spec, device: Any) -> dict[str, Any]:
  """Describes the numerics of a trial on its first device."""
  gpu = device.platform == "gpu"
  numerics: dict[str, Any] = {
    "micro_batch": spec.micro_batch,
    "products": trial.precision,
    "tf32": gpu
    and trial.precision == "float32"
    and trial.matmul_precision != "highest"
    and capability_of(device) >= TF32_SINCE,
    "convolution": "cudnn"
    if gpu
    else "xla"
    if convolution_of(spec) == "xla"
    else "a matrix product over patches, short sums one by one",
    "call": f"one program a {spec.program}",
  }
  network = network_of(trial.model.name)
  if network.own:  # PyTorch's twin may draw its own
    numerics["first_weights"] = "JAX's"
  if network.batch_norm:
    part = "micro-batch" if spec.accumulation > 1 else "global batch"
    if spec.batch_norms > 1:
      part = "per device"
    numerics |= {"batch_norm": part, "running_variance": "biased"}
  if spec.cores > 1:
    numerics["batch_divided_over_cores"] = spec.cores
  elif spec.batch_size // spec.accumulation > spec.micro_batch:
    numerics |= {
      "sharding": spec.sharding,
      "data": "streamed"
      if spec.chunk
      else "divided over the devices"
      if spec.data_divided
      else "whole on each device",
    }
  if trial.dropout > 0:
    numerics["dropout_draws"] = f"{trial.execution.draws}, by seed and step"
  if not network.own and isinstance(sizes_of(trial.model), TransformerSizes):
    numerics["attention"] = who = attention_of(spec)
    if gpu and who != "cudnn" and trial.execution.attention != "plain":
      numerics["attention_not_by_cudnn"] = why_not_cudnn(spec)
  if given := options(trial.execution, device):
    numerics["xla_options"] = given
  return numerics
