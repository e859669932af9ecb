"""Reads the arrays of a .safetensors file.

The format is an eight-byte length, a JSON header of that length, then the bytes
of the arrays (https://github.com/huggingface/safetensors). It is read here and
not by the package of that name, which has no bfloat16 for numpy; jax brings
that type. The package would be a dependency of the core for one script.
"""

import json
import math
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpower.weights import WeightsError

TYPES = {
  "BF16": jnp.bfloat16,
  "F16": np.float16,
  "F32": np.float32,
  "F64": np.float64,
  "I32": np.int32,
  "I64": np.int64,
}


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads every array of a file, by name; the arrays are read-only.

  Raises WeightsError where the file has another format or is cut short, and
  OSError where it cannot be read.
  """
  content = path.read_bytes()
  size = int.from_bytes(content[:8], "little")
  start = 8 + size
  if len(content) < start:
    raise WeightsError(f"{path} is no safetensors file, or cut short")
  try:
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    return {
      name: _array(content[start:], name, entry)
      for name, entry in header.items()
    }
  except (ValueError, AttributeError, KeyError, TypeError) as error:
    reason = " ".join(str(error).split())
    raise WeightsError(f"{path} is no safetensors file: {reason}") from None


def _array(content: bytes, name: str, entry: Any) -> np.ndarray:
  """Reads the array of an entry of the header from the bytes after it.

  Raises ValueError, KeyError or TypeError where the entry is wrong.
  """
  if entry["dtype"] not in TYPES:
    raise ValueError(f"{name} is of type {entry['dtype']}")
  kind = np.dtype(TYPES[entry["dtype"]])
  begin, end = entry["data_offsets"]
  shape = tuple(int(side) for side in entry["shape"])
  if not 0 <= begin <= end <= len(content) or min(shape, default=0) < 0:
    raise ValueError(f"{name} lies outside the file")
  if math.prod(shape) * kind.itemsize != end - begin:
    raise ValueError(f"{name} is not as long as its shape says")
  return np.frombuffer(
    content, kind, count=math.prod(shape), offset=begin
  ).reshape(shape)
