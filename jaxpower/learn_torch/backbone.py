"""All of a network but its head: by name, and frozen.

What is frozen stays as it came: nothing goes back through it, the update rule
keeps nothing for it, and its batch norms leave their statistics alone
(`jaxpower.learn_torch.layers.BatchNorm`). Dropout acts as it is set.
"""

from torch import nn

HEAD = "head"  # the name of the last layer in every network


def in_backbone(name: str) -> bool:
  """Whether a weight of this name is the backbone's."""
  return name.partition(".")[0] != HEAD


def freeze(network: nn.Module) -> None:
  """Leaves the head alone to be trained."""
  for name, weights in network.named_parameters():
    if in_backbone(name):
      weights.requires_grad_(False)
