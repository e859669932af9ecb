"""Tells the backbone of a network from its head, and freezes it.

A frozen backbone stays as it came: no gradient is taken of it, the update rule
keeps no moments for it, and its batch norms leave their statistics alone:
those of `jaxpower.learn_torch.layers.BatchNorm` by themselves, PyTorch's own,
in a user's network, since they stay in evaluation. Dropout acts as it is set.
"""

import types

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from jaxpower.learn_torch.layers import BatchNorm

HEAD = "head"  # the name of the last layer in every network


def in_backbone(name: str) -> bool:
  """Tells whether a weight of this name is the backbone's."""
  return name.partition(".")[0] != HEAD


def freeze(network: nn.Module) -> None:
  """Freezes the backbone: only the head is trained."""
  for name, weights in network.named_parameters():
    if in_backbone(name):
      weights.requires_grad_(False)
  for name, module in network.named_modules():
    norm = isinstance(module, _BatchNorm) and not isinstance(module, BatchNorm)
    if norm and in_backbone(name):
      module.eval()
      module.train = types.MethodType(_as_it_is, module)


def _as_it_is(module: nn.Module, mode: bool = True) -> nn.Module:
  """Takes the place of a module's `train`, and changes nothing."""
  del mode
  return module
