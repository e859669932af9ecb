"""Tells the backbone of a network from its head, and freezes it.

A frozen backbone stays as it came: no gradient is taken of it, the update rule
keeps no moments for it, and its batch norms leave their statistics alone
(`jaxpower.learn_torch.layers.BatchNorm`). Dropout acts as it is set.
"""

from torch import nn

HEAD = "head"  # the name of the last layer in every network


def in_backbone(name: str) -> bool:
  """Tells whether a weight of this name is the backbone's."""
  return name.partition(".")[0] != HEAD


def freeze(network: nn.Module) -> None:
  """Freezes the backbone: only the head is trained."""
  for name, weights in network.named_parameters():
    if in_backbone(name):
      weights.requires_grad_(False)
