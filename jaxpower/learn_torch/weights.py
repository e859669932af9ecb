"""Weights moved between Flax and PyTorch, to the bit and both ways.

In Flax they are nested dicts of arrays, here named tensors. A kernel is
[height, width, inputs, outputs] or [inputs, outputs] there and [outputs,
inputs, height, width] or [outputs, inputs] here; query, key and value lie in
one matrix in the same order in both.
"""

import collections
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Flax numbers by their kind, in order, the layers that it was given no name
# for: these of ours.
UNNAMED = re.compile(
  r"convs\.\d+|hidden|blocks\.\d+\.(conv_\d|norm_\d|around\.\d)"
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
  given = {("params", *path): leaf for path, leaf in _leaves(params)}
  given |= {("batch_stats", *path): leaf for path, leaf in _leaves(batch_stats)}
  known = _paths(network)
  wrong = [
    f"{'/'.join(path)} is {problem}"
    for problem, paths in (
      ("missing", known.values() - given.keys()),
      ("unknown", given.keys() - known.values()),
    )
    for path in sorted(paths)
  ]
  state = network.state_dict()
  moved = {}
  for name, path in known.items():
    if path not in given:
      continue
    moved[name] = torch.tensor(_to_torch(np.asarray(given[path]), path))
    found, needed = tuple(moved[name].shape), tuple(state[name].shape)
    if found != needed:
      wrong.append(f"{'/'.join(path)} is {found}, not {needed}, as {name}")
  if wrong:
    raise ValueError("weights do not fit: " + "; ".join(wrong))
  return moved


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
    inner[leaf] = _to_numpy(value.detach().cpu().numpy(), leaf)
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


def _to_torch(values: np.ndarray, path: tuple[str, ...]) -> np.ndarray:
  if path[-1] != "kernel":
    return values
  return values.T if values.ndim == 2 else values.transpose(3, 2, 0, 1)


def _to_numpy(values: np.ndarray, leaf: str) -> np.ndarray:
  if leaf == "kernel":
    values = values.T if values.ndim == 2 else values.transpose(2, 3, 1, 0)
  return np.array(values, order="C")
