"""From a micro-batch to its loss: what is compiled, where anything is."""

import torch
from torch import Tensor, nn

from jaxpower.learn_torch import augment, heads, tasks
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
  """The mean loss of some examples, put together over tasks; to go back from.

  Args:
    spec: What the network was made for.
    network: In training mode.
    mean: Of the data set, [channels].
    std: Of the data set, [channels].
    inputs: [examples, ...], as the data set holds them.
    labels: As the data set holds them.
    draws: [examples, 3], how each image is moved, where they are.
    shares: [tasks], what an example's loss counts, where there are several.
  """
  if draws is not None:
    inputs = augment.crop(inputs, draws)
  logits = logits_of(spec, network, mean, std, inputs)
  if len(spec.tasks) == 1:
    return tasks.losses(logits, labels, spec.label_smoothing).mean()
  assert shares is not None
  each = heads.losses(logits, labels, spec.tasks, spec.label_smoothing)
  means = (each * shares).sum(0)
  if spec.uncertainty:
    return heads.by_uncertainty(means, heads.log_variances(network))
  return means.sum()


def logits_of(
  spec: Spec, network: nn.Module, mean: Tensor, std: Tensor, inputs: Tensor
) -> Tensor:
  """What the network says of some examples."""
  inputs = tasks.normalise(inputs, mean, std, dtype_of(spec))
  if spec.precision == "float32":
    return network(inputs)
  with torch.autocast(inputs.device.type, dtype_of(spec)):
    return network(inputs)
