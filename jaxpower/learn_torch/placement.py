"""Where the data of a trial lies: on its devices, or on the host.

A set that fits lies whole on every device, and examples are gathered there: an
epoch then moves nothing but indices. One that does not is left where it is
loaded, perhaps on disk, and streamed (`feed`). Memory decides, or the trial.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from jaxpower.config import Trial
from jaxpower.data import DataSet
from jaxpower.data.facts import DataError
from jaxpower.data.labels import chosen_indices
from jaxpower.data.streaming import FEATURES_STREAMED, is_streamed
from jaxpower.learn_torch import feed
from jaxpower.learn_torch.devices import device_of, memory_bytes
from jaxpower.learn_torch.spec import Spec

FEATURES_DIVIDED = (
  "transfer.features once: not over several devices in PyTorch; take devices 1"
  " or framework jax"
)


@dataclasses.dataclass(frozen=True)
class Placed:
  """A trial with its data where training wants it, in one process.

  Attributes:
    trial: What is trained.
    train: The training set on the device; empty if it is streamed.
    host: "input" and "label" of the training set, in host memory or on disk;
      empty if the set lies on the device.
    evaluated: By split, "validation" (if any) and "test", the set, on the
      device or brought there in slices; empty in workers, which do not
      evaluate.
    scale: "mean" and "std" of the inputs, on the device.
    spec: What the programs depend on.
    examples: By split, how many an evaluation looks at.
    passes: By split, how many equal forward passes an evaluation is.
    chosen: int32, indices of the training examples that the trial uses.
    labels: Those of the training set, on the host.
    bytes_before: On the GPU, before any of it was placed; None on CPUs.
    rank: Of this process among those that train.
  """

  trial: Trial
  train: dict[str, Tensor]
  host: dict[str, np.ndarray]
  evaluated: Mapping[str, Mapping[str, Tensor | feed.HostArray]]
  scale: dict[str, Tensor]
  spec: Spec
  examples: Mapping[str, int]
  passes: Mapping[str, int]
  chosen: np.ndarray
  labels: np.ndarray
  bytes_before: int | None
  rank: int = 0


def place(trial: Trial, sets: DataSet, spec: Spec, rank: int = 0) -> Placed:
  """Copies a set to this process's device whole, or leaves it to be streamed.

  Its "label" is what is learned; other labels are left out.
  """
  device = device_of()
  bytes_before = None
  if device.type == "cuda":
    torch.backends.cudnn.benchmark = True  # warm-up is there to choose in
    torch.cuda.init()
    torch.cuda.reset_peak_memory_stats(device)
    bytes_before = torch.cuda.memory_allocated(device)
  train, *looked_at = (
    {name: split[name] for name in ("input", "label")}
    for split in (sets.train, *sets.evaluated.values())
  )
  splits = dict(zip(sets.evaluated, looked_at, strict=True))
  examples = {name: len(held["label"]) for name, held in splits.items()}
  room = memory_bytes(device, spec.devices)
  streamed = is_streamed(trial.streaming, sets, room)
  if trial.transfer.features == "once":
    if streamed:
      raise DataError(FEATURES_STREAMED.format(trial.data))
    if spec.devices > 1:
      raise DataError(FEATURES_DIVIDED)
  put = feed.on_host if streamed else feed.to_device
  return Placed(
    trial=trial,
    train={} if streamed else feed.to_device(train, device),
    host=train if streamed else {},
    evaluated={name: put(held, device) for name, held in splits.items()}
    if rank == 0
    else {},
    scale=feed.to_device({"mean": sets.mean, "std": sets.std}, device),
    spec=spec,
    examples=examples,
    passes={
      name: -(-count // spec.evaluated) for name, count in examples.items()
    },
    chosen=chosen_indices(sets, len(trial.tasks), trial.data_share),
    labels=train["label"],
    bytes_before=bytes_before,
    rank=rank,
  )
