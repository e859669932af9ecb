"""From a micro-batch to its loss: what is compiled, where anything is."""

import torch
from torch import Tensor, nn

from jaxpower.learn_torch import tasks
from jaxpower.learn_torch.spec import Spec, dtype_of


def loss_of(
  spec: Spec,
  network: nn.Module,
  inputs: Tensor,
  labels: Tensor,
  mean: Tensor,
  std: Tensor,
) -> Tensor:
  """The mean loss of some examples, to go back from.

  Args:
    spec: What the network was made for.
    network: In training mode.
    inputs: [examples, ...], in the data set's units.
    labels: As the data set holds them.
    mean: Of the set, [channels].
    std: Of the set, [channels].
  """
  logits = logits_of(spec, network, inputs, mean, std)
  return tasks.losses(logits, labels, spec.label_smoothing).mean()


def logits_of(
  spec: Spec, network: nn.Module, inputs: Tensor, mean: Tensor, std: Tensor
) -> Tensor:
  """What the network says of some examples."""
  inputs = tasks.normalise(inputs, mean, std, dtype_of(spec))
  if spec.precision == "float32":
    return network(inputs)
  with torch.autocast(inputs.device.type, dtype_of(spec)):
    return network(inputs)
