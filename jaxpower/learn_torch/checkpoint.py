"""Weights on disk, in PyTorch's own form, sealed with checksums."""

import dataclasses
import pathlib
import pickle
import shutil
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from jaxpower import weights
from jaxpower.learn_torch.backbone import in_backbone
from jaxpower.learn_torch.programs import TrainState
from jaxpower.weights import Form, WeightsError


def save(folder: pathlib.Path, state: TrainState) -> None:
  """Writes the state into a folder of its own, in place of any other.

  What lies there is of an attempt that did not come to its record.
  """
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  torch.save(dataclasses.asdict(state), folder / weights.TORCH_STATE)
  weights.seal(folder)


def restore_backbone(folder: pathlib.Path, state: TrainState) -> TrainState:
  """The state with its backbone, batch statistics too, read from a folder.

  The head and all else stay as they are; the head in the folder may have any
  form. What is read lies on the device as what it replaces. Nothing but
  tensors is loaded: a file that holds anything to be called is refused.

  Raises WeightsError where the folder is not as it was written, or its tensors
  are not those of the backbone; the first few that differ are named.
  """
  weights.require_whole(folder)
  held, wanted = _backbone_in(folder), _backbone(state.weights)
  weights.require_fit(
    folder,
    _forms(held["weights"] | held["statistics"]),
    _forms(wanted | state.statistics),
  )
  # Copies: what is read is mapped and not yet in memory.
  found, statistics = (
    {
      name: held[part][name].to(values.device, copy=True)
      for name, values in replaced.items()
    }
    for part, replaced in (
      ("weights", wanted),
      ("statistics", state.statistics),
    )
  )
  return dataclasses.replace(
    state, weights=state.weights | found, statistics=statistics
  )


def _backbone_in(folder: pathlib.Path) -> dict[str, dict[str, Tensor]]:
  """The "weights" of the backbone and its "statistics", not yet read."""
  path = folder / weights.TORCH_STATE
  try:
    held: Any = torch.load(path, "cpu", weights_only=True, mmap=True)
    return {
      "weights": _backbone(held["weights"]),
      "statistics": held["statistics"],
    }
  except (OSError, RuntimeError, pickle.UnpicklingError, LookupError) as error:
    why = str(error).splitlines()[0]
    raise WeightsError(f"{path} is no state of ours: {why}") from None


def _backbone(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
  return {name: v for name, v in values.items() if in_backbone(name)}


def _forms(values: Mapping[str, Tensor]) -> dict[str, Form]:
  """The shape and type of each tensor by its name, as the JAX wing has them."""
  return {
    name: (tuple(v.shape), str(v.dtype).removeprefix("torch."))
    for name, v in values.items()
  }
