"""The training state: what updates change.

Its tensors are the network's own while the network holds it
(`programs.Programs`), so that a state is never copied between updates.
"""

import dataclasses
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jaxpower.learn_torch import flax_weights
from jaxpower.learn_torch.devices import device_of
from jaxpower.learn_torch.spec import Spec, network_of


@dataclasses.dataclass
class TrainState:
  """All that an update reads and writes.

  Attributes:
    step: Updates made.
    weights: By the network's names, those of a frozen backbone too.
    statistics: What batch norms keep.
    moments: The update rule's state dict; None before the first update.
  """

  step: int
  weights: dict[str, Tensor]
  statistics: dict[str, Tensor]
  moments: dict[str, Any] | None = None


def fresh_state(
  spec: Spec, params: Mapping[str, Any], batch_stats: Mapping[str, Any]
) -> TrainState:
  """Returns the state before the first update, from weights as Flax has them.

  Raises ValueError naming whatever does not fit the network.
  """
  network = network_of(spec)
  network.load_state_dict(flax_weights.from_jax(network, params, batch_stats))
  return state_of(network.to(device_of()))


def fits(
  spec: Spec, params: Mapping[str, Any], batch_stats: Mapping[str, Any]
) -> None:
  """Raises ValueError unless weights as Flax has them fit the network."""
  flax_weights.from_jax(network_of(spec), params, batch_stats)


@torch.no_grad()
def logits_of_weights(
  spec: Spec,
  params: Mapping[str, Any],
  batch_stats: Mapping[str, Any],
  inputs: np.ndarray,
) -> np.ndarray:
  """Returns the network's logits with weights as Flax has them, on the CPU."""
  network = network_of(spec)
  network.load_state_dict(flax_weights.from_jax(network, params, batch_stats))
  return network.eval()(torch.from_numpy(inputs)).numpy()


def drawn_state(spec: Spec, seed: int) -> TrainState:
  """Returns the state before the first update, drawn by the network itself.

  For a user's network that has no twin in JAX. The generator of the process is
  as it was afterwards.
  """
  with torch.random.fork_rng():
    torch.manual_seed(seed)
    network = network_of(spec)
  return state_of(network.to(device_of()))


def state_of(
  network: nn.Module, step: int = 0, moments: dict[str, Any] | None = None
) -> TrainState:
  """Returns a network's state; its tensors are the network's own."""
  values = network.state_dict()
  learned = {name for name, _ in network.named_parameters()}
  return TrainState(
    step,
    {name: values[name] for name in values if name in learned},
    {name: values[name] for name in values if name not in learned},
    moments,
  )


def copy(state: TrainState) -> TrainState:
  """Copies a state; training writes over the one that it is given."""
  return deepcopy(state)


def count_parameters(state: TrainState) -> int:
  """Counts the network's numbers, those of a frozen backbone too."""
  return sum(values.numel() for values in state.weights.values())
