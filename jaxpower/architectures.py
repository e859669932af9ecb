"""Defines every network once for both wings: what it reads and its sizes.

A comparison of JAX with PyTorch is fair only where both train the same
network, so no number of a network stands in a wing: widths, depths, patches
and positions are computed here, and `learn` and `learn_torch` read them. No
framework is imported, so a sweep is checked against this table before anything
heavy loads.

To add a network: an entry in `NETWORKS`, a file `jaxpower/learn/<module>.py`
and, if PyTorch is to have it too, `jaxpower/learn_torch/<module>.py`, each with
a function `build` that takes the arguments of that wing's other modules. JAX
always has it, since it draws the first weights for both. No other file changes.

A network need not be here: "nets.py:WideNet" is a class in a file of the
user's, which `own.py` of each wing builds (docs/own.md).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, Self

from jaxpower.config import FRAMEWORKS, Model

if TYPE_CHECKING:
  import numpy as np

# What a network may read: "text" are tokens whose labels are the next tokens.
KINDS = ("image", "window", "tokens", "text")
# In the name of a network that is a class in a file of the user's.
OWN = ".py:"

# Features of a transformer's perceptron over those of its stream: 2048 / 512
# in Vaswani et al. 2017, table 3, and in every network built after it.
MLP_RATIO = 4
# Channels out of a bottleneck block over those inside (He et al. 2016,
# table 1).
BOTTLENECK_RATIO = 4
# Longest wavelength of fixed positions over 2 pi (Vaswani et al. 2017,
# section 3.5).
LONGEST_WAVE = 10_000.0
# PyTorch's defaults for batch norms (Flax would step by 0.01 only); how far
# the running statistics move towards those of a batch.
BATCH_NORM_STEP = 0.1
BATCH_NORM_EPSILON = 1e-5
# Flax's default for layer norms (PyTorch's is 1e-5).
LAYER_NORM_EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class CnnSizes:
  """The sizes of the small CNN: two stages of convolutions, a dense layer.

  Chosen small, for sweeps on two CPU cores: 105,866 parameters for ten classes
  of 28 x 28 images.

  Attributes:
    channels: Of each stage.
    layers: Convolutions in each stage.
    hidden: Units of the dense layer under the head.
  """

  channels: tuple[int, ...] = (16, 32)
  layers: int = 1
  hidden: int = 64

  @property
  def depths(self) -> tuple[int, ...]:
    """The layer counts that a model's depth multiplies."""
    return (self.layers,)

  def scaled(self, model: Model) -> "CnnSizes":
    """Returns the sizes at a model's width and depth."""
    return CnnSizes(
      channels=tuple(_widen(size, model) for size in self.channels),
      layers=_deepen(self.layers, model),
      hidden=_widen(self.hidden, model),
    )


@dataclasses.dataclass(frozen=True)
class ResNetSizes:
  """The sizes of a ResNet (He et al. 2016, table 1).

  Attributes:
    stages: Blocks in each stage.
    channels: Of the first stage; each further stage doubles them.
    bottleneck: Whether a block is a 3x3 convolution between two 1x1, and not
      two 3x3.
  """

  stages: tuple[int, ...]
  channels: int = 64
  bottleneck: bool = False

  @property
  def depths(self) -> tuple[int, ...]:
    """The layer counts that a model's depth multiplies."""
    return self.stages

  def scaled(self, model: Model) -> "ResNetSizes":
    """Returns the sizes at a model's width and depth."""
    return ResNetSizes(
      stages=tuple(_deepen(blocks, model) for blocks in self.stages),
      channels=_widen(self.channels, model),
      bottleneck=self.bottleneck,
    )


@dataclasses.dataclass(frozen=True)
class TransformerSizes:
  """The sizes of an encoder, a decoder or a ViT.

  Chosen small, for sweeps on two CPU cores. At published sizes the same blocks
  are ViT-Ti, S and B and GPT-2 small, to the parameter (tested).

  Attributes:
    layers: Blocks of attention and perceptron.
    features: Of the stream between blocks; a multiple of `heads`.
    heads: Of attention.
  """

  layers: int = 2
  features: int = 64
  heads: int = 4

  @property
  def depths(self) -> tuple[int, ...]:
    """The layer counts that a model's depth multiplies."""
    return (self.layers,)

  def scaled(self, model: Model) -> "TransformerSizes":
    """Returns the sizes at a model's width, depth and number of heads."""
    return TransformerSizes(
      layers=_deepen(self.layers, model),
      features=_widen(self.features, model, multiple_of=model.heads),
      heads=model.heads,
    )


class Sizes(Protocol):
  """The sizes of a network, as its `build` reads them."""

  @property
  def depths(self) -> tuple[int, ...]:
    """The layer counts that a model's depth multiplies."""
    ...

  def scaled(self, model: Model) -> Self:
    """Returns the sizes at a model's width, depth and number of heads."""
    ...


@dataclasses.dataclass(frozen=True)
class OwnSizes:
  """The sizes of a user's network: it has them from `model.options`."""

  depths: tuple[int, ...] = (1,)

  def scaled(self, model: Model) -> "OwnSizes":
    """Returns the same: width and depth are not its own."""
    del model
    return self


@dataclasses.dataclass(frozen=True)
class Network:
  """A network that a config may name, and what it can be asked for.

  Attributes:
    module: The file of each wing that builds it.
    sizes: At width and depth 1.
    reads: Kinds of data: "image", "window" (of a sensor), "tokens", or "text",
      tokens whose labels are the next tokens.
    dropout: Whether it has any.
    batch_norm: Whether it has any.
    frameworks: Those whose wing builds it.
    own: Whether it is a user's, of which nothing else is known.
  """

  module: str
  sizes: Sizes
  reads: tuple[str, ...]
  dropout: bool = False
  batch_norm: bool = False
  frameworks: tuple[str, ...] = FRAMEWORKS
  own: bool = False

  @property
  def layers(self) -> int:
    """The number whose product with `depth` has to be whole.

    Any other depth would be rounded to that of a different model.
    """
    return math.gcd(*self.sizes.depths)


NETWORKS = {
  "cnn": Network("cnn", CnnSizes(), reads=("image", "window"), dropout=True),
  "decoder": Network(
    "transformer", TransformerSizes(), reads=("text",), dropout=True
  ),
  "resnet18": Network(
    "cnn", ResNetSizes(stages=(2, 2, 2, 2)), reads=("image",), batch_norm=True
  ),
  "resnet50": Network(
    "cnn",
    ResNetSizes(stages=(3, 4, 6, 3), bottleneck=True),
    reads=("image",),
    batch_norm=True,
  ),
  "transformer": Network(
    "transformer", TransformerSizes(), reads=("tokens", "window"), dropout=True
  ),
  "vit": Network(
    "transformer", TransformerSizes(), reads=("image",), dropout=True
  ),
}
MODELS = tuple(NETWORKS)
_USERS = Network("own", OwnSizes(), reads=KINDS, dropout=True, own=True)


def network_of(name: str) -> Network:
  """Returns what is known of the network of a name; KeyError if none has it."""
  return _USERS if OWN in name else NETWORKS[name]


def sizes_of(model: Model) -> Sizes:
  """Computes the sizes of the network that a config asks for."""
  return network_of(model.name).sizes.scaled(model)


def patch_side(height: int) -> int:
  """Returns the side of a ViT's patches, in pixels, for images of a height.

  16 from 64 pixels on, as in Dosovitskiy et al. 2021. Smaller images would be
  few patches of that, so 4 and 2 were chosen: an 8 x 8 digit has 16 patches,
  28 x 28 pixels have 49, CIFAR's 32 x 32 have 64.
  """
  if height >= 64:
    return 16
  return 4 if height >= 16 else 2


def positions_of(input_shape: Sequence[int]) -> int:
  """Counts the positions that a transformer attends to in one input.

  Of an image [height, width, channels] they are a ViT's patches, the last ones
  filled up, and the class token; of all else its first axis.
  """
  if len(input_shape) < 3:
    return input_shape[0]
  side = patch_side(input_shape[0])
  down, across = (-(-size // side) for size in input_shape[:2])
  return down * across + 1


def sinusoids(length: int, features: int) -> "np.ndarray":
  """Computes fixed positions (Vaswani et al. 2017, section 3.5).

  Returns:
    float32 [length, features]; the first half sines, the second cosines.
  """
  # Only wings come here: the command line must not load numpy.
  import numpy as np

  half = features // 2
  waves = LONGEST_WAVE ** (-np.arange(half) / half)
  angles = np.arange(length)[:, None] * waves
  return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)


def _widen(size: int, model: Model, *, multiple_of: int = 1) -> int:
  """Multiplies channels by a model's width, to the nearest multiple."""
  return multiple_of * max(1, round(size * model.width / multiple_of))


def _deepen(layers: int, model: Model) -> int:
  """Multiplies a number of layers by a model's depth; at least one."""
  return max(1, round(layers * model.depth))
