"""Data-parallel training, a process for each device (DistributedDataParallel).

Trials do not use it yet, and `jaxpower.grid` refuses them several devices:
each process would have to live from a trial's first window to its last.
"""

import functools
import pathlib
import tempfile
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from jaxpower import config
from jaxpower.learn_torch import feed, optimizer
from jaxpower.learn_torch.programs import TrainState, build, state_of
from jaxpower.learn_torch.segment import run
from jaxpower.learn_torch.spec import Spec, device_of
from jaxpower.learn_torch.step import loss_of


def train(
  spec: Spec,
  rule: config.Optimizer,
  state: TrainState,
  arrays: Mapping[str, np.ndarray],
  places: np.ndarray,
  rates: np.ndarray,
  processes: int,
) -> tuple[TrainState, Tensor]:
  """Makes some updates, each batch divided evenly over processes.

  Gradients are averaged over the processes, so an update is that of the whole
  batch; batch norms see the examples of their own process alone.

  Args:
    spec: Of the network.
    rule: The update rule.
    state: To begin with.
    arrays: The training set: "input", "label", "mean" and "std".
    places: int [steps, batch], the examples of each update.
    rates: Of each update.
    processes: One on each GPU, where there are any.

  Returns:
    The state after, on the CPU, and the mean loss.
  """
  with tempfile.TemporaryDirectory() as folder:
    shared = spec, rule, state, dict(arrays), places, rates, processes, folder
    spawn(_train_share, shared, processes)
    weights, statistics, moments, loss = torch.load(
      pathlib.Path(folder) / "result.pt"
    )
  return TrainState(state.step + len(rates), weights, statistics, moments), loss


def _train_share(
  rank: int,
  spec: Spec,
  rule: config.Optimizer,
  state: TrainState,
  arrays: Mapping[str, np.ndarray],
  places: np.ndarray,
  rates: np.ndarray,
  processes: int,
  folder: str,
) -> None:
  """What one process does of it; the first one keeps the result."""
  device = device_of(rank)
  gpu = device.type == "cuda"
  distributed.init_process_group(
    "nccl" if gpu else "gloo",
    init_method=f"file://{folder}/meeting",
    rank=rank,
    world_size=processes,
  )
  network = build(spec)
  network.load_state_dict(state.weights | state.statistics)
  network = network.to(device).train()
  together = DistributedDataParallel(
    network, device_ids=[rank] if gpu else None
  )
  update = optimizer.build(rule, network)
  if state.moments is not None:
    update.load_state_dict(state.moments)
  data = feed.to_device(arrays, device)
  share = np.split(places, processes, axis=1)[rank]
  loss = run(
    functools.partial(loss_of, spec, together),
    update,
    feed.from_device(data, feed.in_parts(share, spec.accumulation), None),
    rates,
    spec.accumulation,
    data,
  )
  distributed.all_reduce(loss)
  if rank == 0:
    after = state_of(network.cpu())
    result = after.weights, after.statistics, update.state_dict()
    torch.save((*result, loss.cpu() / processes), f"{folder}/result.pt")
  distributed.destroy_process_group()
