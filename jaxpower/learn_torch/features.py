"""A frozen backbone's features, computed once and kept on the device.

The twin of `jaxpower.learn.features`: the same examples in the same places, so
that both wings train the same head.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from jaxpower.learn_torch.placement import Placed
from jaxpower.learn_torch.programs import Programs, spec_of_training


@torch.no_grad()
def compute(programs: Programs, placed: Placed, split: str) -> Placed:
  """Returns a trial with features in place of its inputs; may not wait.

  Args:
    programs: Hold the state whose backbone it is.
    placed: The trial.
    split: Of what is evaluated, the only one to be passed through as well.
  """
  assert programs.features_of is not None
  programs.network.eval()
  mean, std = placed.scale["mean"], placed.scale["std"]
  test = placed.evaluated[split]
  train, tested = placed.train["input"], test["input"]
  assert isinstance(tested, Tensor)  # on the device: nothing is streamed

  def features_of(inputs: Tensor) -> Tensor:
    assert programs.features_of is not None
    return programs.features_of(mean, std, inputs)

  chunk = placed.spec.evaluated
  inputs = _of(train, placed.chosen, chunk, features_of)
  looked_at = _of(tested, np.arange(len(tested)), chunk, features_of)
  return dataclasses.replace(
    placed,
    train=placed.train | {"input": inputs},
    evaluated={split: {**test, "input": looked_at}},
    spec=spec_of_training(placed.spec),
  )


def _of(
  inputs: Tensor,
  rows: np.ndarray,
  chunk: int,
  features_of: Callable[[Tensor], Tensor],
) -> Tensor:
  """Computes the features of some rows; those of others are zeros.

  Calls of one shape: the last one takes its last example several times.
  """
  missing = -len(rows) % chunk
  padded = np.concatenate([rows, np.repeat(rows[-1], missing)])
  index = torch.from_numpy(padded.astype(np.int64)).to(inputs.device)
  first, *others = index.split(chunk)
  features = features_of(inputs.index_select(0, first))
  found = features.new_zeros((len(inputs), *features.shape[1:]))
  found.index_copy_(0, first, features)
  for part in others:
    found.index_copy_(0, part, features_of(inputs.index_select(0, part)))
  return found
