"""Makes an input array of one example as tensorflow-datasets gives it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxpower.data.features import ChosenFeatures


def input_maker(chosen: ChosenFeatures) -> Callable[[Any], np.ndarray]:
  """Returns the function from a decoded feature to an array `input_shape`."""
  size = chosen.size or 0
  match chosen.form:
    case "text":
      return lambda text: byte_tokens(text, size)
    case "photo":
      return lambda photo: square(photo, size)
  return lambda array: np.asarray(array).reshape(chosen.input_shape)


def byte_tokens(text: bytes, length: int) -> np.ndarray:
  """Returns the first bytes of a text plus 1, padded with 0: uint16 [length].

  Bytes are the tokens, so every set of texts has the same vocabulary: 257.
  """
  tokens = np.zeros(length, np.uint16)
  content = np.frombuffer(text, np.uint8, count=min(length, len(text)))
  tokens[: len(content)] = content
  tokens[: len(content)] += 1  # in 16 bits: 255 + 1 is no byte any more
  return tokens


def square(photo: np.ndarray, side: int) -> np.ndarray:
  """Resizes and crops a photo to its middle: uint8 [side, side, channels].

  `photo` is uint8 [height, width, channels]. The shorter side is brought to
  `side` pixels first, with a filter as wide as the reduction, so that nothing
  is skipped.
  """
  from PIL import Image

  height, width, channels = photo.shape
  scale = side / min(height, width)
  size = (max(side, round(width * scale)), max(side, round(height * scale)))
  image = Image.fromarray(photo[..., 0] if channels == 1 else photo)
  pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
  top, left = (size[1] - side) // 2, (size[0] - side) // 2
  middle = pixels[top : top + side, left : left + side]
  return middle.reshape(side, side, channels)


def passages(text: bytes, count: int, length: int) -> Mapping[str, np.ndarray]:
  """Cuts `count` passages from a text, which do not overlap.

  'input' is uint16 [count, length], 'label', the byte after each, int32
  [count, length]. Raises ValueError where the text is shorter.
  """
  needed = count * (length + 1)
  if len(text) < needed:
    raise ValueError(f"a text has {len(text)} bytes of at least {needed}")
  tokens = byte_tokens(text, needed).reshape(count, length + 1)
  return {"input": tokens[:, :-1], "label": tokens[:, 1:].astype(np.int32)}
