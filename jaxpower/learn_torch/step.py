"""One update's loss: from a micro-batch to the number to go back from.

This is what `torch_compile` compiles; the update itself is the fused operation
of the rule (`optimizer`). Everything is a function of tensors, without a
question to the device, so that one graph holds all of it.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from jaxpower.learn_torch import augment, heads, tasks
from jaxpower.learn_torch.devices import device_of
from jaxpower.learn_torch.spec import Spec, dtype_of


def loss_of(
  spec: Spec,
  network: nn.Module,
  mean: Tensor,
  std: Tensor,
  inputs: Tensor,
  labels: Tensor,
  draws: Tensor | None = None,
  shares: Tensor | None = None,
) -> Tensor:
  """Returns the mean loss of some examples, summed over tasks.

  Args:
    spec: What the network was made for.
    network: In training mode.
    mean: Of the data set, [channels].
    std: Of the data set, [channels].
    inputs: [examples, ...], as the data set holds them.
    labels: As the data set holds them.
    draws: [examples, 3], how each image is moved; None if they are not.
    shares: [tasks], what an example's loss of each counts; None if there is
      one task.
  """
  if draws is not None:
    inputs = augment.crop(inputs, draws)
  logits = logits_of(spec, network, mean, std, inputs)
  if len(spec.tasks) == 1:
    return tasks.losses(logits, labels, spec.label_smoothing).mean()
  assert shares is not None
  losses = heads.losses(logits, labels, spec.tasks, spec.label_smoothing)
  means = (losses * shares).sum(0)
  if spec.uncertainty:
    return heads.by_uncertainty(means, heads.log_variances(network))
  return means.sum()


def logits_of(
  spec: Spec, network: nn.Module, mean: Tensor, std: Tensor, inputs: Tensor
) -> Tensor:
  """Returns the network's logits of raw inputs, in the spec's precision.

  With `head_alone` the inputs are features, and the head's alone is called.
  """
  if spec.head_alone:
    return _called(spec, network.get_submodule("head"), inputs)
  inputs = tasks.normalise(inputs, mean, std, dtype_of(spec))
  return _called(spec, network, inputs)


def features_of(
  spec: Spec, network: Any, mean: Tensor, std: Tensor, inputs: Tensor
) -> Tensor:
  """Returns what the network's backbone makes of raw inputs."""
  inputs = tasks.normalise(inputs, mean, std, dtype_of(spec))
  return _called(spec, network.features, inputs)


def _called(
  spec: Spec, function: Callable[[Tensor], Tensor], inputs: Tensor
) -> Tensor:
  """Calls a function in the spec's precision."""
  if spec.precision == "float32":
    return function(inputs)
  with torch.autocast(inputs.device.type, dtype_of(spec)):
    return function(inputs)


@contextlib.contextmanager
def matmul_precision(name: str) -> Iterator[None]:
  """Takes products of float32 as the JAX wing does under this name.

  On GPUs XLA takes TF32 for "default" and "high", and float32 for "highest";
  on CPUs all three are float32.
  """
  backends: Any = torch.backends
  matmul, conv = backends.cuda.matmul, backends.cudnn.conv
  before = matmul.fp32_precision, conv.fp32_precision
  precision = "ieee" if name == "highest" else "tf32"
  _set_products(matmul, precision)
  conv.fp32_precision = precision
  try:
    yield
  finally:
    _set_products(matmul, before[0])
    conv.fp32_precision = before[1]


def _set_products(matmul: Any, precision: str) -> None:
  """Sets the precision of a GPU's products, where there is one in both ways.

  What compiles for GPUs asks in part by the older way, and ends where only the
  newer one was told (PyTorch 2.9 and 2.10, pytorch issue 166387). On a CPU the
  older way would change the CPU's own products.
  """
  if device_of().type == "cuda":
    older = "high" if precision == "tf32" else "highest"
    torch.set_float32_matmul_precision(older)
  matmul.fp32_precision = precision
