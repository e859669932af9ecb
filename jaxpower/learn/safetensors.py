"""Arrays of a .safetensors file, read by numpy alone.

The form is an eight-byte length, so many bytes of JSON, then the arrays in a
row (https://github.com/huggingface/safetensors). It is read here and not by
the package of that name, whose arrays for numpy have no bfloat16; jax brings
that type.
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
  """Every array of a file by its name; read only, as they lie in the file.

  Raises WeightsError where it is no such file, and OSError where it cannot be
  read.
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
      name: _array(content[start:], name, told) for name, told in header.items()
    }
  except (ValueError, AttributeError, KeyError, TypeError) as error:
    why = " ".join(str(error).split())
    raise WeightsError(f"{path} is no safetensors file: {why}") from None


def _array(content: bytes, name: str, told: Any) -> np.ndarray:
  if told["dtype"] not in TYPES:
    raise ValueError(f"{name} is of type {told['dtype']}")
  kind = np.dtype(TYPES[told["dtype"]])
  begin, end = told["data_offsets"]
  shape = tuple(int(side) for side in told["shape"])
  if not 0 <= begin <= end <= len(content) or min(shape, default=0) < 0:
    raise ValueError(f"{name} lies outside the file")
  if math.prod(shape) * kind.itemsize != end - begin:
    raise ValueError(f"{name} is not as long as its shape says")
  return np.frombuffer(
    content, kind, count=math.prod(shape), offset=begin
  ).reshape(shape)
