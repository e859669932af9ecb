"""Defines the layers that several networks share: norms as Flax has them."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, distributed, nn
from torch.nn.modules._functions import SyncBatchNorm

from jaxpower.architectures import (
  BATCH_NORM_EPSILON,
  BATCH_NORM_STEP,
  LAYER_NORM_EPSILON,
)


class LayerNorm(nn.LayerNorm):
  """A layer norm in the type of its input.

  On GPUs autocast would do it in float32 and convert before and after. The
  kernel's mean and variance are float32 in any case.
  """

  def __init__(self, features: int) -> None:
    super().__init__(features, eps=LAYER_NORM_EPSILON)

  def forward(self, input: Tensor) -> Tensor:
    """Normalises [..., features] over the features."""
    if not torch.is_autocast_enabled(input.device.type):
      return super().forward(input)
    weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
    with torch.autocast(input.device.type, enabled=False):
      return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


class BatchNorm(nn.BatchNorm2d):
  """A batch norm as Flax's, but for the running variance.

  PyTorch keeps the unbiased variance of a batch, Flax the biased one: over n
  values a channel PyTorch's is n / (n - 1) times as large.

  `together` is whether the examples of all processes are normalised as one
  batch; if not, each process normalises its own.
  """

  together = False

  def __init__(self, features: int) -> None:
    super().__init__(features, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_STEP)

  def forward(self, input: Tensor) -> Tensor:
    """Normalises [batch, features, height, width] over all but the features.

    A frozen norm uses the statistics it came with, and leaves them.
    """
    moving = self.training and self.weight.requires_grad
    if moving and self.together:
      # What is compiled is fused anyway, and one graph with what is sent.
      if input.is_cpu or torch.compiler.is_compiling():
        return _normalise_by_sums(self, input)
      return _normalise_on_gpus(self, input)
    # The parent's forward also counts batches: a kernel launch for each layer,
    # and nothing reads the count.
    return F.batch_norm(
      input,
      self.running_mean,
      self.running_var,
      self.weight,
      self.bias,
      moving,
      BATCH_NORM_STEP,
      self.eps,
    )


def normalise_together(network: nn.Module) -> None:
  """Lets the batch norms of a network normalise all processes' examples."""
  for module in network.modules():
    if isinstance(module, BatchNorm):
      module.together = True


class _SumOverRanks(torch.autograd.Function):
  """Adds a tensor up over all ranks; its gradient likewise."""

  @staticmethod
  def forward(ctx: Any, own: Tensor) -> Tensor:
    """Returns the sum, the same on every rank."""
    total = own.clone()
    distributed.all_reduce(total)
    return total

  @staticmethod
  def backward(ctx: Any, *gradients: Tensor) -> Tensor:
    """Adds up what the sum counts for the loss of each rank."""
    return _SumOverRanks.forward(ctx, *gradients)


def _normalise_on_gpus(norm: BatchNorm, inputs: Tensor) -> Tensor:
  """Normalises as `nn.SyncBatchNorm`, which counts batches besides."""
  return SyncBatchNorm.apply(
    inputs,
    norm.weight,
    norm.bias,
    norm.running_mean,
    norm.running_var,
    norm.eps,
    BATCH_NORM_STEP,
    distributed.group.WORLD,
    distributed.get_world_size(),
  )


def _normalise_by_sums(norm: BatchNorm, inputs: Tensor) -> Tensor:
  """Normalises the same; PyTorch's own has no form for CPUs or a compiler."""
  values, dims = inputs.float(), (0, 2, 3)
  own = torch.stack([values.sum(dims), values.square().sum(dims)])
  count = values.numel() // values.shape[1] * distributed.get_world_size()
  mean, squares = _SumOverRanks.apply(own) / count
  variance = (squares - mean.square()).clamp_min(0)
  with torch.no_grad():
    unbiased = variance * (count / max(1, count - 1))
    for kept, found in (
      (norm.running_mean, mean),
      (norm.running_var, unbiased),
    ):
      assert kept is not None
      kept.lerp_(found, BATCH_NORM_STEP)
  scale = torch.rsqrt(variance + norm.eps) * norm.weight
  columns = (slice(None), None, None)
  centred = values - mean[columns]
  return (centred * scale[columns] + norm.bias[columns]).to(inputs.dtype)


def arithmetic(values: Tensor) -> torch.dtype:
  """Returns the type of matrix products of these values: autocast's, if on."""
  kind = values.device.type
  if torch.is_autocast_enabled(kind):
    return torch.get_autocast_dtype(kind)
  return values.dtype
