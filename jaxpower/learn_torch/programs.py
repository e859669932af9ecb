"""What a spec compiles to: one network, and the functions over it.

Compiled code reads weights where it was compiled to read them, a CUDA graph at
the very addresses; to compile for each state would put compiling into every
trial. So there is one network for all states of a spec, and states come to it:
`Programs.hold` copies one in, unless the network holds it already, and the
state that training returns is made of the network's own tensors.

Compiling means calling: the compiled functions are called here on zeros,
forwards and backwards, so that the compile phase holds all compiling and the
train phase none.
"""

import contextlib
import dataclasses
import functools
import importlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from jaxpower import config
from jaxpower.learn_torch import evaluation, optimizer
from jaxpower.learn_torch.devices import device_of
from jaxpower.learn_torch.layers import normalise_together
from jaxpower.learn_torch.spec import Spec, network_of
from jaxpower.learn_torch.state import TrainState, state_of
from jaxpower.learn_torch.step import (
  features_of,
  logits_of,
  loss_of,
  matmul_precision,
)

# Calls of a compiled function until a CUDA graph of it is replayed: one warms
# up, one records, one replays (torch/_inductor/cudagraph_trees.py).
CALLS_TO_REPLAY = 3

# More forms of a function than any sweep has specs. By default Dynamo gives a
# function up after 8 of them and runs it uncompiled (torch/_dynamo/config.py).
RECOMPILE_LIMIT = 10_000


@dataclasses.dataclass
class Programs:
  """One network for all states of a spec, and the functions over it.

  Attributes:
    network: Holds one state at a time.
    loss_of: The loss of a micro-batch; compiled or not.
    logits_of: The logits of test examples; compiled or not.
    features_of: What the backbone makes of examples; compiled or not. This and
      the next are None where the head is not trained on kept features.
    head_logits_of: The logits of such features; compiled or not.
    held: The state whose tensors are the network's.
    optimizer: The update rule over the network, with the held state's moments.
    peaks: Bytes that training took of the GPU, by update rule.
    divided: The loss as a module whose parameters are divided over processes,
      of which the network has this one's; None where they are whole.
    part_of: Returns this process's part of a whole tensor, laid out as another
      one; None where they are whole.
  """

  network: nn.Module
  loss_of: Callable[..., Tensor]
  logits_of: Callable[..., Tensor]
  features_of: Callable[..., Tensor] | None = None
  head_logits_of: Callable[..., Tensor] | None = None
  held: TrainState | None = None
  optimizer: Optimizer | None = None
  peaks: dict[str, int] = dataclasses.field(default_factory=dict)
  divided: Any = None
  part_of: Callable[[Any, Tensor], Any] | None = None

  def hold(self, state: TrainState, trial: config.Trial) -> Optimizer:
    """Copies a state into the network; returns the trial's rule over it."""
    if self.held is not state or self.optimizer is None:
      values = state.weights | state.statistics
      if self.part_of is not None:
        own = self.network.state_dict()
        values = {n: self.part_of(v, own[n]) for n, v in values.items()}
      self.network.load_state_dict(values)
      rule = optimizer.build(
        trial.optimizer, self.network, trial.transfer.backbone_rate
      )
      if state.moments is not None:
        rule.load_state_dict(state.moments)
      place = self.part_of or laid_out_as
      for weight, held in rule.state.items():
        held |= {n: place(v, weight) for n, v in held.items()}
      self.held, self.optimizer = state, rule
    return self.optimizer

  def keep(self, step: int) -> TrainState:
    """Returns the state that the network holds now, after so many updates."""
    assert self.optimizer is not None
    moments = self.optimizer.state_dict()
    self.held = state_of(self.network, step, moments)
    return self.held


def laid_out_as(value: Any, weight: Tensor) -> Any:
  """Returns a moment laid out in memory as its weight; a count stays.

  A fused rule goes over both by address, in whatever order each lies.
  """
  if not isinstance(value, Tensor) or value.shape != weight.shape:
    return value
  if value.stride() == weight.stride():
    return value
  return torch.empty_like(weight).copy_(value)


def prepare_compiler(framework: str) -> None:
  """Runs a tiny network forwards and backwards, compiled if trials are."""
  network = nn.Linear(4, 4).to(device_of())

  def loss(inputs: Tensor) -> Tensor:
    return network(inputs).relu().sum()

  inputs = torch.ones(2, 4, device=device_of())
  with no_disk_cache():
    if framework == "torch_compile":
      loss = torch.compile(loss, fullgraph=True, dynamic=False)
    loss(inputs).backward()


def compile_programs(spec: Spec) -> Programs:
  """Makes all that a spec needs in this process, compiled if it says so."""
  network = network_of(spec).to(device_of())
  if spec.batch_norm == "global":
    normalise_together(network)
  trained = spec_of_training(spec)
  programs = Programs(
    network,
    _fresh(loss_of, trained, network),
    _fresh(logits_of, spec, network),
  )
  if spec.features_once:
    programs.features_of = _fresh(features_of, spec, network)
    programs.head_logits_of = _fresh(logits_of, trained, network)
  if not spec.compiled:
    return programs
  compiled = _compiled(programs, spec)
  if spec.sharding != "fsdp":  # else once its weights are divided
    warm_up(compiled, spec)
  return compiled


def spec_of_training(spec: Spec) -> Spec:
  """Returns the spec of updates: of the head alone if it has features."""
  return dataclasses.replace(spec, head_alone=spec.features_once)


def flops_per_step(spec: Spec) -> float | None:
  """Counts the operations of one update's products and convolutions.

  As PyTorch counts them, forwards and backwards, on a few examples, to which
  they are proportional; attention as the plain products that it is. None if
  PyTorch does not tell.
  """
  examples = 2
  plain = dataclasses.replace(spec, precision="float32", augmentation="none")
  network = network_of(plain)
  batch = _zero_batch(plain, examples, torch.device("cpu"))
  if plain.features_once:
    batch = _on_features(functools.partial(features_of, plain, network), batch)
  with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
    loss_of(spec_of_training(plain), network, *batch).backward()
  return counter.get_total_flops() / examples * spec.batch_size


@contextlib.contextmanager
def no_disk_cache() -> Iterator[None]:
  """Compiles without caches on disk and without Dynamo's limit of forms.

  Disables on-disk caches so that compile energy does not depend on earlier
  runs.
  """
  inductor: Any = importlib.import_module("torch._inductor.config")
  dynamo: Any = importlib.import_module("torch._dynamo.config")
  limits = dict.fromkeys(
    ("recompile_limit", "accumulated_recompile_limit"), RECOMPILE_LIMIT
  )
  with inductor.patch(force_disable_caches=True), dynamo.patch(**limits):
    yield


def warm_up(programs: Programs, spec: Spec) -> None:
  """Compiles compiled programs: calls them on zeros, forwards and backwards.

  The loss is called by itself also where it is wrapped for several processes:
  none waits in a message for another that compiles more slowly.
  """
  network, divided = programs.network, programs.divided
  batch = _zero_batch(spec, spec.micro_batch, device_of())
  if spec.features_once:
    batch = _on_features(functools.partial(features_of, spec, network), batch)
  # The calls move batch statistics, and perhaps more: put all of it back.
  before = {name: v.clone() for name, v in network.state_dict().items()}
  if divided is not None:
    divided.unshard()
  with matmul_precision(spec.matmul_precision), no_disk_cache():
    network.train()
    for _ in range(CALLS_TO_REPLAY if _in_graphs(spec) else 1):
      programs.loss_of(*batch).backward()
      network.zero_grad()
    network.eval()
    tested = _zero_batch(spec, spec.evaluated, device_of())
    _evaluate_zeros(spec, programs.logits_of, tested)
    if programs.features_of and programs.head_logits_of:
      tested = _on_features(programs.features_of, tested)
      _evaluate_zeros(spec, programs.head_logits_of, tested)
  if divided is not None:
    divided.reshard()
  network.load_state_dict(before)


def _compiled(programs: Programs, spec: Spec) -> Programs:
  """Returns the programs to be compiled when they are first called.

  Small networks are launch-bound, so on a GPU the loss is replayed as a CUDA
  graph.
  """
  make = functools.partial(torch.compile, fullgraph=True, dynamic=False)
  loss = (
    _mark_steps(make(programs.loss_of, mode="reduce-overhead"))
    if _in_graphs(spec)
    else make(programs.loss_of)
  )
  compiled = dataclasses.replace(
    programs, loss_of=loss, logits_of=make(programs.logits_of)
  )
  if programs.features_of and programs.head_logits_of:
    compiled.features_of = make(programs.features_of)
    compiled.head_logits_of = make(programs.head_logits_of)
  return compiled


def _in_graphs(spec: Spec) -> bool:
  """Whether the compiled loss is replayed as a CUDA graph.

  Not so with several micro-batches or devices: their gradients add up in
  memory that a graph takes for its own.
  """
  one_call = spec.accumulation == spec.devices == 1
  return device_of().type == "cuda" and one_call


def _evaluate_zeros(
  spec: Spec, logits_of: Callable[..., Tensor], batch: tuple[Any, ...]
) -> None:
  mean, std, inputs, labels, *_ = batch
  evaluation.evaluate(
    functools.partial(logits_of, mean, std),
    {"input": inputs, "label": labels},
    spec.tasks,
    spec.evaluated,
  )


@torch.no_grad()
def _on_features(
  features_of: Callable[..., Tensor], batch: tuple[Any, ...]
) -> tuple[Any, ...]:
  """Puts features in place of a batch's inputs."""
  mean, std, inputs, *rest = batch
  return mean, std, features_of(mean, std, inputs), *rest


def _fresh(function: Callable[..., Tensor], *first: Any) -> Callable[..., Any]:
  """Binds the first arguments of a function in a function of its own code.

  Dynamo keeps what it compiled with the code of a function. That of a partial
  is one for all of them: an equal spec would be taken from there, so that
  compiling again costs nothing, and the ninth unequal one is refused.
  """

  def bound(*others: Any) -> Tensor:
    return function(*first, *others)

  code = bound.__code__.replace()
  return types.FunctionType(
    code, bound.__globals__, function.__name__, None, bound.__closure__
  )


def _mark_steps(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
  """Lets each call write over what the CUDA graphs of the last one left."""

  def marked(*arguments: Any) -> Tensor:
    torch.compiler.cudagraph_mark_step_begin()
    return function(*arguments)

  return marked


def _zero_batch(
  spec: Spec, examples: int, device: torch.device
) -> tuple[Any, ...]:
  """Returns arguments of `step.loss_of`, of the right shapes and types."""
  channels = () if spec.vocabulary else spec.input_shape[-1:]
  inputs = (examples, *spec.input_shape)
  values = (
    torch.zeros(channels),
    torch.ones(channels),
    torch.zeros(inputs, dtype=getattr(torch, spec.input_dtype)),
    torch.zeros((examples, *spec.label_shape), dtype=torch.int32),
    None
    if spec.augmentation == "none"
    else torch.zeros((examples, 3), dtype=torch.int8),
    None if len(spec.tasks) == 1 else torch.zeros(len(spec.tasks)),
  )
  return tuple(v if v is None else v.to(device) for v in values)
