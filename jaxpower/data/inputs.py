"""One example as tensorflow-datasets gives it, made into an input array."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxpower.data.features import Chosen


def input_maker(chosen: Chosen) -> Callable[[Any], np.ndarray]:
  """The function from a decoded feature to an array of `input_shape`."""
  size = chosen.size or 0
  match chosen.form:
    case "text":
      return lambda text: byte_tokens(text, size)
    case "photo":
      return lambda photo: square(photo, size)
  return lambda array: np.asarray(array).reshape(chosen.input_shape)


def byte_tokens(text: bytes, length: int) -> np.ndarray:
  """The first bytes of a text plus 1, padded with 0: uint16 [length]."""
  tokens = np.zeros(length, np.uint16)
  found = np.frombuffer(text, np.uint8, count=min(length, len(text)))
  tokens[: len(found)] = found
  tokens[: len(found)] += 1
  return tokens


def square(photo: np.ndarray, side: int) -> np.ndarray:
  """The middle of a photo uint8 [height, width, channels], [side, side, ...].

  The shorter side is brought to `side` pixels first, with a filter as wide as
  the reduction, so that nothing is skipped.
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
  """`count` passages of a text, which do not overlap, and each next byte.

  'input' is uint16 [count, length], 'label' int32 [count, length]. Raises
  ValueError where the text is shorter.
  """
  wanted = count * (length + 1)
  if len(text) < wanted:
    raise ValueError(f"a text has {len(text)} bytes of at least {wanted}")
  tokens = byte_tokens(text, wanted).reshape(count, length + 1)
  return {"input": tokens[:, :-1], "label": tokens[:, 1:].astype(np.int32)}
