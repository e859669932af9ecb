"""Files as a user writes them: networks of both frameworks, and arrays."""

import pathlib

import numpy as np

LINEN = """
import flax.linen as nn
import jax.numpy as jnp


class Wide(nn.Module):
  classes: int
  dtype: jnp.dtype
  width: int = 8

  @nn.compact
  def __call__(self, inputs, *, train, logits=True):
    x = inputs.reshape(len(inputs), -1)
    x = nn.relu(nn.Dense(self.width, dtype=self.dtype, name="hidden")(x))
    if not logits:
      return x
    return nn.Dense(self.classes, dtype=self.dtype, name="head")(x)
"""

NNX = """
import math

from flax import nnx


class WideX(nnx.Module):
  def __init__(self, classes, dtype, input_shape, *, width=8, rngs):
    size = math.prod(input_shape)
    linear = nnx.Linear(size, width, dtype=dtype, rngs=rngs)
    self.layers = nnx.List([linear])
    self.norm = nnx.BatchNorm(width, dtype=dtype, rngs=rngs)
    self.drop = nnx.Dropout(0.5, rngs=rngs)
    self.head = nnx.Linear(width, classes, dtype=dtype, rngs=rngs)

  def features(self, x):
    x = self.norm(self.layers[0](x.reshape(len(x), -1)))
    return self.drop(nnx.relu(x))

  def __call__(self, x):
    return self.head(self.features(x))
"""

TORCH = '''
import math

import torch


class WideTorch(torch.nn.Module):
  def __init__(self, classes, input_shape, width=8):
    super().__init__()
    self.hidden = torch.nn.Linear(math.prod(input_shape), width)
    self.head = torch.nn.Linear(width, classes)

  def features(self, x):
    return self.hidden(x.flatten(1)).relu()

  def forward(self, x):
    return self.head(self.features(x))


class Alone(WideTorch):
  """No twin: a batch norm, which Wide has not."""

  def __init__(self, classes, input_shape, width=8):
    super().__init__(classes, input_shape, width)
    self.norm = torch.nn.BatchNorm1d(width)

  def features(self, x):
    return self.norm(super().features(x))
'''

ARRAYS = """
import numpy as np

from wide_arrays import draw


def load():
  return {"train": draw(0, 200), "test": draw(1, 60)}
"""

HELPER = """
import numpy as np


def draw(seed, examples):
  random = np.random.default_rng(seed)
  labels = np.arange(examples) % 3
  images = random.integers(0, 60, (examples, 4, 4))
  images[np.arange(examples), labels, :] += 100
  return images.astype(np.uint8), labels
"""


def write(folder: pathlib.Path, **texts: str) -> pathlib.Path:
  """Writes files of Python by their names; returns their folder."""
  for name, text in texts.items():
    (folder / f"{name}.py").write_text(text)
  return folder


def arrays(seed: int, examples: int) -> tuple[np.ndarray, np.ndarray]:
  """The images and labels of ARRAYS: three classes, easily learned."""
  names: dict = {}
  exec(HELPER, names)
  return names["draw"](seed, examples)
