"""Chooses how many examples an evaluation passes forward at once on a GPU.

The same number in both wings, or a comparison of frameworks would compare
chunks. On CPUs each wing keeps what was measured for it; a GPU sees 250 small
images for a moment only, so there memory decides: as many as keep the largest
activations of a pass below a bound that all cards have.
"""

from collections.abc import Sequence

from jaxpower.architectures import (
  BOTTLENECK_RATIO,
  MLP_RATIO,
  CnnSizes,
  ResNetSizes,
  Sizes,
  TransformerSizes,
  positions_of,
  sizes_of,
)
from jaxpower.config import Trial

ACTIVATION_BYTES = 1 << 29  # chosen: 512 MiB, an eighth of the smallest card
SMALLEST, LARGEST = 256, 8_192  # chosen; more launches no fewer kernels
LIVE = 4  # arrays of the largest size at once: inputs, outputs, a sum; chosen
BYTES = {"float32": 4, "bfloat16": 2}


def chunk_of(trial: Trial, input_shape: Sequence[int], *, on_cpu: bool) -> int:
  """Returns the examples of a forward pass on a device; 0: the wing's own.

  A power of two, unless the trial sets its own.

  Args:
    trial: What is evaluated.
    input_shape: Of one input.
    on_cpu: Whether its devices are CPUs.
  """
  if trial.execution.evaluation_chunk or on_cpu:
    return trial.execution.evaluation_chunk
  values = _largest_activation(trial, input_shape)
  examples = ACTIVATION_BYTES // (LIVE * values * BYTES[trial.precision])
  power = 1 << max(0, examples.bit_length() - 1)
  return max(SMALLEST, min(LARGEST, power))


def _largest_activation(trial: Trial, shape: Sequence[int]) -> int:
  """Counts the values of the largest array that an example becomes."""
  sizes: Sizes = sizes_of(trial.model)
  image = len(shape) == 3
  if isinstance(sizes, TransformerSizes):
    length = positions_of(shape)
    scores = sizes.heads * length  # where attention makes them
    return length * max(MLP_RATIO * sizes.features, 2 * scores)
  pixels = shape[0] * (shape[1] if image else 1)
  if isinstance(sizes, CnnSizes):
    return pixels * max(sizes.channels) // (4 if image else 2)
  if isinstance(sizes, ResNetSizes):
    wider = BOTTLENECK_RATIO if sizes.bottleneck else 1
    return pixels * sizes.channels * wider
  return ACTIVATION_BYTES  # of a user's network not known: the fewest examples
