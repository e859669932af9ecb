"""Converts weights between Flax and PyTorch, to the bit and both ways.

Both wings train from the same first weights, which JAX draws. In Flax they are
nested dicts of arrays, in PyTorch named tensors. A Flax kernel is [height,
width, inputs, outputs] or [inputs, outputs], a PyTorch weight [outputs, inputs,
height, width] or [outputs, inputs]; query, key and value lie in one matrix in
the same order in both. Networks of `cnn` take mirrored images, so their kernels
are mirrored, and so are the rows of the dense layer over their last image.

A new network whose layers have the same names in both wings needs nothing
here. So it is with a user's: its names are as they are, and those of layers in
a list, `convs.0` here, are `convs_0` in Linen.
"""

import collections
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jaxpower.learn_torch.cnn import ResNet, SmallCnn

# The layers that have no name in Flax, which numbers them by kind, in the order
# of their calls: `Conv_0`, `Conv_1`, ...
UNNAMED = re.compile(
  r"convs\.\d+|hidden|blocks\.\d+\.(around\.)?(conv|norm)(_\d)?"
)

KINDS = {nn.Conv2d: "Conv", nn.BatchNorm2d: "BatchNorm", nn.Linear: "Dense"}
OURS = "jaxpower."  # begins the module of every network of the package
IN_A_LIST = re.compile(r"\.(\d+)")

# The layers of a transformer: `layers.0.norm_a` here, `norm_0a` in Flax.
RENAMED = (
  (r"layers\.(\d+)\.norm_(\w)", r"norm_\1\2"),
  (r"layers\.(\d+)\.(\w+)", r"\2_\1"),
)

NORM = {"weight": "scale", "running_mean": "mean", "running_var": "var"}
LEAVES = {
  nn.Conv1d: {"weight": "kernel"},
  nn.Conv2d: {"weight": "kernel"},
  nn.Conv3d: {"weight": "kernel"},
  nn.Linear: {"weight": "kernel"},
  nn.Embedding: {"weight": "embedding"},
  nn.LayerNorm: {"weight": "scale"},
  nn.BatchNorm1d: NORM,
  nn.BatchNorm2d: NORM,
  nn.BatchNorm3d: NORM,
}

UNKNOWN_TO_FLAX = "num_batches_tracked"  # a buffer of PyTorch's batch norms


def from_jax(
  network: nn.Module, params: Mapping[str, Any], batch_stats: Mapping[str, Any]
) -> dict[str, Tensor]:
  """Converts the weights of the Flax twin to the state dict of a network.

  Raises ValueError naming all that is missing, unknown or of another shape.
  """
  arrays: dict[tuple[str, ...], np.ndarray] = {
    (collection, *path): np.asarray(leaf)
    for collection, tree in (("params", params), ("batch_stats", batch_stats))
    for path, leaf in _leaves(tree)
  }
  paths = _paths(network, arrays)
  problems = [
    f"{'/'.join(path)} is {problem}"
    for problem, those in (
      ("missing", paths.values() - arrays.keys()),
      ("unknown", arrays.keys() - paths.values()),
    )
    for path in sorted(those)
  ]
  for name, values in network.state_dict().items():
    path = paths.get(name, ())
    if path not in arrays:
      continue
    needed, shape = _flax_shape(values, path[-1]), arrays[path].shape
    if shape != needed:
      problems.append(f"{'/'.join(path)} is {shape}, not {needed}, as {name}")
  if problems:
    raise ValueError("weights do not fit: " + "; ".join(problems))
  return {
    name: torch.tensor(_to_torch(network, name, path[-1], arrays[path]))
    for name, path in paths.items()
  }


def to_jax(
  network: nn.Module, values: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Converts tensors of a network to Flax's params and batch statistics.

  `values` are those of the network's state dict, or others of the same names
  and shapes, such as gradients; names that it lacks are left out. Raises
  ValueError on a name that is not the network's.
  """
  paths = _paths(network)
  values = {
    name: value
    for name, value in values.items()
    if not name.endswith(UNKNOWN_TO_FLAX)
  }
  unknown = sorted(values.keys() - paths.keys())
  if unknown:
    raise ValueError(f"weights do not fit: {', '.join(unknown)} unknown")
  trees: dict[str, Any] = {"params": {}, "batch_stats": {}}
  for name, value in values.items():
    *folders, leaf = paths[name]
    tree = trees
    for folder in folders:
      tree = tree.setdefault(folder, {})
    tree[leaf] = _to_flax(network, name, leaf, value.detach().cpu().numpy())
  return trees["params"], trees["batch_stats"]


def _paths(
  network: nn.Module, known: Collection[tuple[str, ...]] = ()
) -> dict[str, tuple[str, ...]]:
  """Maps each name of the network's state dict to its path in Flax.

  `known` are the paths that Flax has, by which a list is told from a name.
  """
  ours = type(network).__module__.startswith(OURS)
  counts: collections.Counter[str] = collections.Counter()
  learned = {name for name, _ in network.named_parameters()}
  kept = network.state_dict().keys()
  paths = {}
  for place, module in network.named_modules():
    kind = next((kind for kind in LEAVES if isinstance(module, kind)), None)
    if kind and ours and UNNAMED.fullmatch(place):
      folder = f"{KINDS[kind]}_{counts[KINDS[kind]]}"
      counts[KINDS[kind]] += 1
    else:
      folder = place
      for pattern, name in RENAMED if ours else ():
        folder = re.sub(pattern, name, folder)
    leaves = LEAVES[kind] if kind else {}
    own = [*module._parameters, *module._buffers]
    for name in own:
      full = f"{place}.{name}".lstrip(".")
      if full in kept and name != UNKNOWN_TO_FLAX:
        collection = "params" if full in learned else "batch_stats"
        leaf = leaves.get(name, name)
        path = (collection, *filter(None, folder.split(".")), leaf)
        if path not in known and not ours:
          listed = IN_A_LIST.sub(r"_\1", folder)
          path = (collection, *filter(None, listed.split(".")), leaf)
        paths[full] = path
  return paths


def _leaves(tree: Mapping[str, Any], at: tuple[str, ...] = ()) -> Any:
  """Yields the path and the array of each leaf of nested dicts."""
  for name, value in tree.items():
    if isinstance(value, Mapping):
      yield from _leaves(value, (*at, name))
    else:
      yield (*at, name), value


def _flax_shape(values: Tensor, leaf: str) -> tuple[int, ...]:
  """Returns the shape that a tensor has in Flax."""
  if leaf != "kernel":
    return tuple(values.shape)
  features, inputs, *window = values.shape
  return (*window, inputs, features)


def _to_torch(
  network: nn.Module, name: str, leaf: str, values: np.ndarray
) -> np.ndarray:
  """Converts a leaf of Flax's to the values of the tensor of a name."""
  if leaf == "kernel":
    values = _mirrored(network, name, values)
    values = values.transpose(-1, -2, *range(values.ndim - 2))
  return np.array(values, order="C")


def _to_flax(
  network: nn.Module, name: str, leaf: str, values: np.ndarray
) -> np.ndarray:
  """Converts the values of the tensor of a name to a leaf of Flax's."""
  if leaf == "kernel":
    values = values.transpose(*range(2, values.ndim), 1, 0)
    values = _mirrored(network, name, values)
  return np.array(values, order="C")


def _mirrored(network: nn.Module, name: str, kernel: np.ndarray) -> np.ndarray:
  """Mirrors a kernel of Flax's if the network takes mirrored images.

  Twice is the kernel itself, so it serves both ways.
  """
  if not isinstance(network, SmallCnn | ResNet):
    return kernel
  if kernel.ndim == 4:
    return kernel[::-1, ::-1]
  if name != "hidden.weight" or not isinstance(network, SmallCnn):
    return kernel
  rows = kernel.reshape(*network.sides, -1, kernel.shape[-1])
  sides = tuple(range(len(network.sides)))
  return np.flip(rows, sides).reshape(kernel.shape)
