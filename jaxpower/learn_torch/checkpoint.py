"""Checkpoints in PyTorch's own form, sealed with checksums.

A folder is sealed when it is whole (`jaxpower.weights`), and the seal is
checked before every restore. Only tensors are loaded (`weights_only`): a
pickle may hold anything to be called, and such a file is refused.
"""

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
from jaxpower.learn_torch.state import TrainState
from jaxpower.weights import Form, WeightsError


def save(
  folder: pathlib.Path,
  state: TrainState,
  texts: Mapping[str, str] = weights.NO_TEXTS,
) -> None:
  """Writes a state to a folder of its own.

  Files `texts`, by name, lie beside it. What lies there is removed: it is of an
  attempt that ended before its record.
  """
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  torch.save(dataclasses.asdict(state), folder / weights.TORCH_STATE)
  weights.seal(folder, texts)


def restore(folder: pathlib.Path, like: TrainState) -> TrainState:
  """Reads a state that `save` wrote, each tensor to where that of `like` lies.

  Moments stay in memory: the network that takes up the state moves them.

  Raises WeightsError if the folder is not as it was written, or does not fit.
  """
  weights.require_whole(folder)
  path = folder / weights.TORCH_STATE
  stored = _stored(path)
  tensors = {
    kind: (stored[kind], getattr(like, kind))
    for kind in ("weights", "statistics")
  }
  for held, wanted in tensors.values():
    weights.require_fit(folder, _forms(held), _forms(wanted))
  return TrainState(
    step=stored["step"],
    moments=stored["moments"],
    **{
      kind: {name: held[name].to(tensor.device) for name, tensor in to.items()}
      for kind, (held, to) in tensors.items()
    },
  )


def restore_backbone(folder: pathlib.Path, state: TrainState) -> TrainState:
  """Reads a folder's backbone, batch statistics too, into a state.

  The head and all else stay as they are; the head in the folder may have any
  shape and is not read. Tensors lie on the device as those they replace.

  Raises WeightsError if the folder is not as it was written, or if its tensors
  are not those of the backbone; the first few that differ are named.
  """
  weights.require_whole(folder)
  stored, replaced = _stored_backbone(folder), _backbone(state.weights)
  weights.require_fit(
    folder,
    _forms(stored["weights"] | stored["statistics"]),
    _forms(replaced | state.statistics),
  )
  # Copies: what is stored is mapped and not yet in memory.
  backbone, statistics = (
    {
      name: stored[kind][name].to(tensor.device, copy=True)
      for name, tensor in tensors.items()
    }
    for kind, tensors in (
      ("weights", replaced),
      ("statistics", state.statistics),
    )
  )
  return dataclasses.replace(
    state, weights=state.weights | backbone, statistics=statistics
  )


def _stored_backbone(folder: pathlib.Path) -> dict[str, dict[str, Tensor]]:
  """Maps a folder's backbone: its "weights" and "statistics", not yet read."""
  stored = _stored(folder / weights.TORCH_STATE, mmap=True)
  return {
    "weights": _backbone(stored["weights"]),
    "statistics": stored["statistics"],
  }


def _stored(path: pathlib.Path, *, mmap: bool = False) -> dict[str, Any]:
  """Reads a state's fields; raises WeightsError where there are none."""
  fields = {field.name for field in dataclasses.fields(TrainState)}
  try:
    stored: Any = torch.load(path, "cpu", weights_only=True, mmap=mmap)
    return {name: stored[name] for name in fields}
  except (
    *(OSError, RuntimeError, pickle.UnpicklingError),
    *(LookupError, TypeError),
  ) as error:
    reason = str(error).splitlines()[0]
    raise WeightsError(f"{path} is no state of ours: {reason}") from None


def _backbone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
  """Returns the tensors of the backbone."""
  return {name: v for name, v in tensors.items() if in_backbone(name)}


def _forms(tensors: Mapping[str, Tensor]) -> dict[str, Form]:
  """Returns the shape and type of each tensor, named as in the JAX wing."""
  return {
    name: (tuple(v.shape), str(v.dtype).removeprefix("torch."))
    for name, v in tensors.items()
  }
