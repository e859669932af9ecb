"""Weights and moments divided over the ranks: PyTorch's FSDP2.

Between two updates each rank has its part of every array, along the first axis
(`fully_shard`). For an update the weights are gathered whole, once, and its
gradients are summed into the parts; the update rule then sees parts alone, and
one that needs whole layers (LAMB, Muon) asks the other ranks. So the JAX wing
does it too (`learn.devices`).

A state is divided while the network trains it, and whole wherever it comes from
or goes to: first weights, checkpoints, copies. Dividing asks no other rank;
gathering is a collective that all ranks make at once.
"""

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from jaxpower.learn_torch.state import TrainState


def wrap(loss: nn.Module, accumulation: int) -> Callable[..., Tensor]:
  """Divides the parameters of a module that computes a loss; returns the loss.

  It is to be called once for each of an update's micro-batches: weights are
  gathered at the first, and gradients reduced after the last.
  """
  # Gathered weights are slices of one buffer, so none is channels-last there.
  for parameter in loss.parameters():
    parameter.data = parameter.data.contiguous()
  # One group for all of it: kept whole from forwards to backwards, the weights
  # are sent once. The root's are in any case.
  module = fully_shard(loss, reshard_after_forward=False)
  assert isinstance(module, FSDPModule)
  numbers = itertools.cycle(range(1, accumulation + 1))

  def loss_of(*batch: Tensor) -> Tensor:
    is_last = next(numbers) == accumulation
    module.set_requires_gradient_sync(is_last)
    module.set_reshard_after_backward(is_last)
    return loss(*batch)

  return loss_of


def is_divided(state: TrainState) -> bool:
  """Whether of a state's weights this rank has its part alone."""
  return any(isinstance(value, DTensor) for value in state.weights.values())


def part_of(whole: Any, like: Tensor) -> Any:
  """Returns this rank's part of a tensor that is whole, laid out as another.

  Where that one is whole too, it stays, and so does what has another shape, as
  the count of updates.
  """
  if not isinstance(like, DTensor) or isinstance(whole, DTensor):
    return whole
  if not isinstance(whole, Tensor) or whole.shape != like.shape:
    return whole
  # Without a rank to take it from nothing is sent: each cuts its own part.
  return distribute_tensor(
    whole.to(like.device).contiguous(),  # as parts are (`wrap`)
    like.device_mesh,
    like.placements,
    src_data_rank=None,
  )


def on_whole(
  function: Callable[[Tensor], Tensor], part: Tensor, like: Any
) -> Tensor:
  """Calls a function with a whole tensor; returns this rank's part of it.

  Args:
    function: Maps a tensor to one of the same shape.
    part: This rank's part of the tensor.
    like: A tensor that is divided alike. All ranks call it at once.
  """
  gathered = DTensor.from_local(
    part,
    like.device_mesh,
    like.placements,
    run_check=False,
    shape=like.shape,
    stride=like.stride(),
  ).full_tensor()
  return part_of(function(gathered), like).to_local()


def norms_of_whole(norms: list[Tensor]) -> list[Tensor]:
  """Computes the norms of whole tensors from those of each rank's parts.

  All ranks call it at once, for the same tensors in the same order.
  """
  squares = torch.stack(norms).square()
  distributed.all_reduce(squares)
  return list(squares.sqrt())


def whole_of(value: Any) -> Any:
  """Gathers every tensor of nested dicts and lists; the rest stays.

  All ranks call it for the same tensors, in the same order.
  """
  if isinstance(value, DTensor):
    return value.full_tensor()
  if isinstance(value, dict):
    return {key: whole_of(item) for key, item in value.items()}
  if isinstance(value, list):
    return [whole_of(item) for item in value]
  return value


def whole_state(state: TrainState) -> TrainState:
  """Gathers a divided state on every rank."""
  with torch.no_grad():
    return TrainState(
      state.step,
      whole_of(state.weights),
      state.statistics,
      whole_of(state.moments),
    )
