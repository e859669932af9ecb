"""Reads the arrays of a .safetensors file.

The format is an eight-byte length, a JSON header of that length, then the bytes
of the arrays (https://github.com/huggingface/safetensors). It is read here and
not by the package of that name, which has no bfloat16 for numpy; jax brings
that type. The package would be a dependency of the core for one script.
"""

import dataclasses
import math
import pathlib
from typing import Annotated

import jax.numpy as jnp
import numpy as np

from jaxpower import readers
from jaxpower.readers import Between
from jaxpower.weights import WeightsError

TYPES = {
  "BF16": jnp.bfloat16,
  "F16": np.float16,
  "F32": np.float32,
  "F64": np.float64,
  "I32": np.int32,
  "I64": np.int64,
}
MOST_AXES = 32  # of an array of numpy 1; chosen: weights have 5


@dataclasses.dataclass(frozen=True)
class Entry:
  """What the header says of an array; offsets are bytes after the header."""

  dtype: str
  shape: tuple[Annotated[int, Between(0, 2**48)], ...]
  data_offsets: tuple[Annotated[int, Between(0, 2**63)], ...]


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads every array of a file, by name; the arrays are read-only.

  All are views of one buffer that holds the file. Raises WeightsError where
  the file has another format or is cut short, and OSError where it cannot be
  read.
  """
  content = memoryview(path.read_bytes())
  size = int.from_bytes(content[:8], "little")
  start = 8 + size
  if len(content) < start:
    raise WeightsError(f"{path} is no safetensors file, or cut short")
  try:
    header = readers.parse_json(bytes(content[8:start]))
    if isinstance(header, dict):
      header.pop("__metadata__", None)
    entries = readers.fit(dict[str, Entry], header)
    return {
      name: _array(content[start:], name, entry)
      for name, entry in entries.items()
    }
  except ValueError as error:
    raise WeightsError(f"{path} is no safetensors file: {error}") from None


def _array(content: memoryview, name: str, entry: Entry) -> np.ndarray:
  """Reads the array of an entry of the header from the bytes after it.

  Raises ValueError where the entry is wrong.
  """
  shown = readers.shown(name)
  if entry.dtype not in TYPES:
    raise ValueError(f"{shown} is of type {readers.shown(entry.dtype)}")
  kind = np.dtype(TYPES[entry.dtype])
  if len(entry.data_offsets) != 2:
    raise ValueError(f"{shown} does not begin and end")
  begin, end = entry.data_offsets
  if not 0 <= begin <= end <= len(content):
    raise ValueError(f"{shown} lies outside the file")
  count = math.prod(entry.shape)
  if len(entry.shape) > MOST_AXES or count * kind.itemsize != end - begin:
    raise ValueError(f"{shown} is not as long as its shape says")
  array = np.frombuffer(content, kind, count=count, offset=begin)
  return array.reshape(entry.shape)
