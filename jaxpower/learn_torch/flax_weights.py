"""Weights moved between Flax and PyTorch, to the bit and both ways.

In Flax they are nested dicts of arrays, here named tensors. A kernel is
[height, width, inputs, outputs] or [inputs, outputs] there and [outputs,
inputs, height, width] or [outputs, inputs] here; query, key and value lie in
one matrix in the same order in both. Networks of `cnn` see mirrored images, so
their windows are mirrored, and the rows of the dense layer over what they
find.
"""

import collections
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jaxpower.learn_torch.cnn import ResNet, SmallCnn

# Flax numbers by their kind, in order, the layers that it was given no name
# for: these of ours.
UNNAMED = re.compile(
  r"convs\.\d+|hidden|blocks\.\d+\.(around\.)?(conv|norm)(_\d)?"
)

KINDS = {nn.Conv2d: "Conv", nn.BatchNorm2d: "BatchNorm", nn.Linear: "Dense"}

RENAMED = (
  (r"layers\.(\d+)\.norm_(\w)", r"norm_\1\2"),
  (r"layers\.(\d+)\.(\w+)", r"\2_\1"),
)

LEAVES = {
  nn.Conv2d: {"weight": "kernel"},
  nn.Linear: {"weight": "kernel"},
  nn.Embedding: {"weight": "embedding"},
  nn.LayerNorm: {"weight": "scale"},
  nn.BatchNorm2d: {
    "weight": "scale",
    "running_mean": "mean",
    "running_var": "var",
  },
}

UNKNOWN_TO_FLAX = "num_batches_tracked"


def from_jax(
  network: nn.Module, params: Mapping[str, Any], batch_stats: Mapping[str, Any]
) -> dict[str, Tensor]:
  """The state dict of `network` that holds these weights of its twin.

  Raises ValueError naming whatever is missing, in excess or of another shape.
  """
  given: dict[tuple[str, ...], np.ndarray] = {
    (collection, *path): np.asarray(leaf)
    for collection, tree in (("params", params), ("batch_stats", batch_stats))
    for path, leaf in _leaves(tree)
  }
  known = _paths(network)
  wrong = [
    f"{'/'.join(path)} is {problem}"
    for problem, paths in (
      ("missing", known.values() - given.keys()),
      ("unknown", given.keys() - known.values()),
    )
    for path in sorted(paths)
  ]
  for name, values in network.state_dict().items():
    path = known.get(name, ())
    if path not in given:
      continue
    needed, found = _flax_shape(values, path[-1]), given[path].shape
    if found != needed:
      wrong.append(f"{'/'.join(path)} is {found}, not {needed}, as {name}")
  if wrong:
    raise ValueError("weights do not fit: " + "; ".join(wrong))
  return {
    name: torch.tensor(_to_torch(network, name, path[-1], given[path]))
    for name, path in known.items()
  }


def to_jax(
  network: nn.Module, values: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Params and batch statistics, as nested dicts of arrays.

  `values` are those of the network's state dict, or others of the same names
  and shapes, such as gradients; what it lacks is left out. Raises ValueError
  on a name that the network has not.
  """
  known = _paths(network)
  values = {
    name: value
    for name, value in values.items()
    if not name.endswith(UNKNOWN_TO_FLAX)
  }
  unknown = sorted(values.keys() - known.keys())
  if unknown:
    raise ValueError(f"weights do not fit: {', '.join(unknown)} unknown")
  both: dict[str, Any] = {"params": {}, "batch_stats": {}}
  for name, value in values.items():
    *folders, leaf = known[name]
    inner = both
    for folder in folders:
      inner = inner.setdefault(folder, {})
    inner[leaf] = _to_flax(network, name, leaf, value.detach().cpu().numpy())
  return both["params"], both["batch_stats"]


def _paths(network: nn.Module) -> dict[str, tuple[str, ...]]:
  """Where Flax keeps each entry of the network's state dict."""
  counts: collections.Counter[str] = collections.Counter()
  learned = {name for name, _ in network.named_parameters()}
  kept = network.state_dict().keys()
  paths = {}
  for place, module in network.named_modules():
    kind = next((kind for kind in LEAVES if isinstance(module, kind)), None)
    if kind and UNNAMED.fullmatch(place):
      folder = f"{KINDS[kind]}_{counts[KINDS[kind]]}"
      counts[KINDS[kind]] += 1
    else:
      folder = place
      for pattern, name in RENAMED:
        folder = re.sub(pattern, name, folder)
    leaves = LEAVES[kind] if kind else {}
    own = [*module._parameters, *module._buffers]
    for name in own:
      full = f"{place}.{name}".lstrip(".")
      if full in kept and name != UNKNOWN_TO_FLAX:
        collection = "params" if full in learned else "batch_stats"
        leaf = leaves.get(name, name)
        paths[full] = (collection, *filter(None, folder.split(".")), leaf)
  return paths


def _leaves(tree: Mapping[str, Any], at: tuple[str, ...] = ()) -> Any:
  for name, value in tree.items():
    if isinstance(value, Mapping):
      yield from _leaves(value, (*at, name))
    else:
      yield (*at, name), value


def _flax_shape(values: Tensor, leaf: str) -> tuple[int, ...]:
  if leaf != "kernel":
    return tuple(values.shape)
  features, inputs, *window = values.shape
  return (*window, inputs, features)


def _to_torch(
  network: nn.Module, name: str, leaf: str, values: np.ndarray
) -> np.ndarray:
  if leaf == "kernel":
    values = _mirrored(network, name, values)
    values = values.T if values.ndim == 2 else values.transpose(3, 2, 0, 1)
  return np.array(values, order="C")


def _to_flax(
  network: nn.Module, name: str, leaf: str, values: np.ndarray
) -> np.ndarray:
  if leaf == "kernel":
    values = values.T if values.ndim == 2 else values.transpose(2, 3, 1, 0)
    values = _mirrored(network, name, values)
  return np.array(values, order="C")


def _mirrored(network: nn.Module, name: str, kernel: np.ndarray) -> np.ndarray:
  """A kernel of Flax's as it is for mirrored images, or back."""
  if not isinstance(network, SmallCnn | ResNet):
    return kernel
  if kernel.ndim == 4:
    return kernel[::-1, ::-1]
  if name != "hidden.weight" or not isinstance(network, SmallCnn):
    return kernel
  rows = kernel.reshape(*network.sides, -1, kernel.shape[-1])
  sides = tuple(range(len(network.sides)))
  return np.flip(rows, sides).reshape(kernel.shape)
