"""A network's place in memory and the functions over it, made once."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from jaxpower import config
from jaxpower.learn_torch import networks, optimizer
from jaxpower.learn_torch.evaluate import evaluate
from jaxpower.learn_torch.spec import Spec, device_of
from jaxpower.learn_torch.step import loss_of

CALLS = 3  # of a compiled function until a CUDA graph of it is replayed


@dataclasses.dataclass
class TrainState:
  """All that an update reads and writes.

  Attributes:
    step: Updates made.
    weights: The network's state dict.
    moments: The update rule's state dict; None before the first update.
  """

  step: int
  weights: dict[str, Tensor]
  moments: dict[str, Any] | None = None


@dataclasses.dataclass
class Programs:
  """One network for all states of a spec, and the functions over it.

  What is compiled reads weights where it was compiled to, and a CUDA graph at
  the very addresses, so states come to the network and not the other way: it
  holds one at a time, and the state that training returns is the network's
  own.
  """

  network: nn.Module
  loss_of: Callable[..., Tensor]
  evaluate: Callable[..., dict[str, Tensor]]
  held: TrainState | None = None
  optimizer: Optimizer | None = None

  def hold(self, state: TrainState, rule: config.Optimizer) -> Optimizer:
    """Brings a state to the network; returns the update rule over it."""
    if self.held is not state or self.optimizer is None:
      self.network.load_state_dict(state.weights)
      self.optimizer = optimizer.build(rule, self.network)
      if state.moments is not None:
        self.optimizer.load_state_dict(state.moments)
      self.held = state
    return self.optimizer

  def keep(self, step: int) -> TrainState:
    """The state that the network holds now, after so many updates."""
    assert self.optimizer is not None
    self.held = TrainState(
      step, self.network.state_dict(), self.optimizer.state_dict()
    )
    return self.held


def build(spec: Spec) -> nn.Module:
  """The network of a spec, on the CPU, its weights not yet of any worth."""
  return networks.build(
    spec.model,
    spec.classes,
    spec.vocabulary,
    spec.input_shape,
    dropout=spec.dropout,
  )


def compile_programs(spec: Spec) -> Programs:
  """Makes what the spec needs; nothing is left to be compiled afterwards.

  A compiled function is compiled by calling it on zeros, forwards and
  backwards.
  """
  network = build(spec).to(device_of())
  train = functools.partial(loss_of, spec, network)
  test = functools.partial(evaluate, network)
  return Programs(network, train, test)


def flops_per_step(spec: Spec) -> float | None:
  """Floating-point operations of one update's products and convolutions.

  Counted by PyTorch on shapes alone, forwards and backwards.
  """
  with torch.device("meta"):
    network = build(spec)
    inputs, labels = _zeros(spec, spec.batch_size)
    channels = spec.input_shape[-1:]
    scale = [torch.zeros(channels), torch.ones(channels)]
  network = network.to("meta")
  with FlopCounterMode(display=False) as counter:
    plain = dataclasses.replace(spec, precision="float32")
    loss_of(plain, network, inputs, labels, *scale, None).backward()
  return float(counter.get_total_flops())


def _zeros(spec: Spec, examples: int) -> tuple[Tensor, Tensor]:
  inputs = torch.zeros(
    (examples, *spec.input_shape), dtype=getattr(torch, spec.input_dtype)
  )
  labels = torch.zeros((examples, *spec.label_shape), dtype=torch.int32)
  return inputs, labels
