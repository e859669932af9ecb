"""A network's place in memory and the functions over it, made once."""

import contextlib
import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from jaxpower import config
from jaxpower.learn_torch import evaluate, heads, networks, optimizer
from jaxpower.learn_torch.backbone import freeze
from jaxpower.learn_torch.segment import matmul_precision
from jaxpower.learn_torch.spec import Spec, device_of
from jaxpower.learn_torch.step import logits_of, loss_of

CALLS = 3  # of a compiled function, until a CUDA graph of it is replayed


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


@dataclasses.dataclass
class Programs:
  """One network for all states of a spec, and the functions over it.

  What is compiled reads weights where it was compiled to read them, a CUDA
  graph at the very addresses. So states come to the network: it holds one at
  a time, and the state that training returns is the network's own. `peaks`
  are the bytes that training took, by update rule.
  """

  network: nn.Module
  loss_of: Callable[..., Tensor]
  logits_of: Callable[..., Tensor]
  held: TrainState | None = None
  optimizer: Optimizer | None = None
  peaks: dict[str, int] = dataclasses.field(default_factory=dict)

  def hold(self, state: TrainState, trial: config.Trial) -> Optimizer:
    """Brings a state to the network; returns the trial's rule over it."""
    if self.held is not state or self.optimizer is None:
      self.network.load_state_dict(state.weights | state.statistics)
      update = optimizer.build(
        trial.optimizer, self.network, trial.transfer.backbone_rate
      )
      if state.moments is not None:
        update.load_state_dict(state.moments)
      self.held, self.optimizer = state, update
    return self.optimizer

  def keep(self, step: int) -> TrainState:
    """The state that the network holds now, after so many updates."""
    assert self.optimizer is not None
    moments = self.optimizer.state_dict()
    self.held = state_of(self.network, step, moments)
    return self.held


def state_of(
  network: nn.Module, step: int = 0, moments: dict[str, Any] | None = None
) -> TrainState:
  """A state whose tensors are the network's own."""
  values = network.state_dict()
  learned = {name for name, _ in network.named_parameters()}
  return TrainState(
    step,
    {name: values[name] for name in values if name in learned},
    {name: values[name] for name in values if name not in learned},
    moments,
  )


def build(spec: Spec) -> nn.Module:
  """The network of a spec, on the CPU, its weights not yet of any worth."""
  network = networks.build(
    spec.model,
    spec.classes,
    spec.vocabulary,
    input_shape=spec.input_shape,
    dropout=spec.dropout,
  )
  if spec.uncertainty:
    heads.add_log_variances(network, len(spec.tasks))
  if spec.freeze:
    freeze(network)
  return network


def compile_programs(spec: Spec) -> Programs:
  """Makes what the spec needs, so that nothing is compiled afterwards."""
  network = build(spec).to(device_of())
  programs = Programs(
    network,
    functools.partial(loss_of, spec, network),
    functools.partial(logits_of, spec, network),
  )
  return _compiled(programs, spec) if spec.compiled else programs


def _compiled(programs: Programs, spec: Spec) -> Programs:
  """The programs compiled, by calling them on zeros, forwards and backwards.

  Small networks starve a GPU of orders, so there CUDA graphs are taken; not
  with several micro-batches or devices, whose gradients add up in memory that
  a graph takes for its own.
  """
  make = functools.partial(torch.compile, fullgraph=True, dynamic=False)
  one_call = spec.accumulation == spec.devices == 1
  graphs = device_of().type == "cuda" and one_call
  train = (
    _each_a_step(make(programs.loss_of, mode="reduce-overhead"))
    if graphs
    else make(programs.loss_of)
  )
  test = make(programs.logits_of)
  compiled = dataclasses.replace(programs, loss_of=train, logits_of=test)
  batch = zeros(spec, spec.micro_batch, device_of())
  network = programs.network
  before = {name: v.clone() for name, v in network.state_dict().items()}
  with matmul_precision(spec.matmul_precision), _for_oneself():
    network.train()
    for _ in range(CALLS if graphs else 1):
      compiled.loss_of(*batch).backward()
      network.zero_grad()
    network.eval()
    chunk = min(evaluate.CHUNK, spec.test_examples)
    mean, std, inputs, labels, *_ = zeros(spec, chunk, device_of())
    evaluate.evaluate(
      functools.partial(compiled.logits_of, mean, std),
      {"input": inputs, "label": labels},
      spec.tasks,
    )
  network.load_state_dict(before)
  return compiled


def _each_a_step(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
  """Each call may write over what the graphs of the last one left."""

  def called(*arguments: Any) -> Tensor:
    torch.compiler.cudagraph_mark_step_begin()
    return call(*arguments)

  return called


@contextlib.contextmanager
def _for_oneself() -> Iterator[None]:
  """Compiles whatever is asked for, and takes no earlier process's result.

  What compiling costs would else depend on what ran on the machine before.
  PyTorch gives a function up after eight forms of it; here each spec of a
  sweep is one.
  """
  inductor: Any = importlib.import_module("torch._inductor.config")
  dynamo: Any = importlib.import_module("torch._dynamo.config")
  forms = {"recompile_limit": 10_000, "accumulated_recompile_limit": 10_000}
  with inductor.patch(force_disable_caches=True), dynamo.patch(**forms):
    yield


def flops_per_step(spec: Spec) -> float | None:
  """Operations of one update's products and convolutions, as PyTorch counts.

  Counted forwards and backwards on a few examples, to which they are
  proportional; attention as the plain products that it is.
  """
  few = 2
  plain = dataclasses.replace(spec, precision="float32", augmentation="none")
  batch = zeros(plain, few, torch.device("cpu"))
  with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
    loss_of(plain, build(plain), *batch).backward()
  return counter.get_total_flops() / few * spec.batch_size


def zeros(spec: Spec, examples: int, device: torch.device) -> tuple[Any, ...]:
  """Arguments of `step.loss_of`, of the right shapes and types."""
  channels = () if spec.vocabulary else spec.input_shape[-1:]
  images = (examples, *spec.input_shape)
  values = (
    torch.zeros(channels),
    torch.ones(channels),
    torch.zeros(images, dtype=getattr(torch, spec.input_dtype)),
    torch.zeros((examples, *spec.label_shape), dtype=torch.int32),
    None
    if spec.augmentation == "none"
    else torch.zeros((examples, 3), dtype=torch.int8),
    None if len(spec.tasks) == 1 else torch.zeros(len(spec.tasks)),
  )
  return tuple(v if v is None else v.to(device) for v in values)
