"""A training in PyTorch: all that a trial asks of a framework.

The face of this wing, of the shape that `jaxpower.wings.Wing` describes, but
that `start` is given the first weights: `jaxpower.bridge` draws them as JAX
does. "torch" calls each operation; "torch_compile" compiles the loss and its
gradient.
"""

import contextlib
import copy as copying
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jaxpower import data, schedule
from jaxpower.config import Trial
from jaxpower.data import DataSet
from jaxpower.data.memory import is_streamed
from jaxpower.data.share import examples_of, kinds_of
from jaxpower.learn_torch import evaluate as evaluating
from jaxpower.learn_torch import feed, heads, weights
from jaxpower.learn_torch.checkpoint import save as save
from jaxpower.learn_torch.numerics import numerics_of
from jaxpower.learn_torch.programs import Programs, TrainState, build, state_of
from jaxpower.learn_torch.programs import compile_programs as compile_programs
from jaxpower.learn_torch.programs import flops_per_step as flops_per_step
from jaxpower.learn_torch.segment import matmul_precision, run
from jaxpower.learn_torch.spec import Spec, device_of, spec_of


@dataclasses.dataclass(frozen=True)
class Placed:
  """A trial with its data where training wants it."""

  trial: Trial
  train: dict[str, Tensor]
  host: dict[str, np.ndarray]  # in place of `train` where it is streamed
  test: Mapping[str, Tensor | feed.HostArray]
  scale: dict[str, Tensor]
  spec: Spec
  chosen: np.ndarray  # int32, indices into `train`
  labels: np.ndarray  # those of `train`, on the host
  bytes_before: int | None  # on the GPU, before any of it was placed

  @property
  def test_examples(self) -> int:
    """How many examples an evaluation looks at."""
    return self.spec.test_examples


def wait(values: Any) -> Any:
  """Returns once every GPU has done what it was told to."""
  if torch.cuda.is_available() and torch.cuda.is_initialized():
    for index in range(torch.cuda.device_count()):
      torch.cuda.synchronize(index)
  return values


def place(trial: Trial, sets: DataSet) -> Placed:
  """Lays a set on the device whole, or leaves it to be streamed."""
  device = device_of()
  before = None
  if device.type == "cuda":
    torch.backends.cudnn.benchmark = True  # warm-up is there to choose in
    torch.cuda.init()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
  pairs = [
    {name: part[name] for name in ("input", "label")}
    for part in (sets.train, sets.test)
  ]
  labels = sets.train["label"]
  kinds = kinds_of(labels, len(trial.tasks))
  chosen = examples_of(kinds, trial.data_share)
  streaming = is_streamed(trial.streaming, sets, feed.memory_bytes(device))
  return Placed(
    trial=trial,
    train={} if streaming else feed.to_device(pairs[0], device),
    host=pairs[0] if streaming else {},
    test=(feed.on_host if streaming else feed.to_device)(pairs[1], device),
    scale=feed.to_device({"mean": sets.mean, "std": sets.std}, device),
    spec=spec_of(trial, sets),
    chosen=chosen,
    labels=labels,
    bytes_before=before,
  )


def start(
  placed: Placed, params: Mapping[str, Any], batch_stats: Mapping[str, Any]
) -> TrainState:
  """The state that training starts from: weights as Flax names them."""
  network = build(placed.spec)
  network.load_state_dict(weights.from_jax(network, params, batch_stats))
  return state_of(network.to(device_of()))


def copy(state: TrainState) -> TrainState:
  """Another state of the same values; `train` uses up what it is given."""
  return copying.deepcopy(state)


def train(
  programs: Programs, state: TrainState, placed: Placed, segment: int
) -> tuple[TrainState, Tensor, float]:
  """The updates of one segment, its order and rates drawn on the host.

  Returns the new state, the mean loss, and the seconds that the device waited
  for data: 0 where the set lies on it.
  """
  trial = placed.trial
  steps = trial.evaluate_every_examples // trial.batch_size
  first = segment * steps
  optimizer = programs.hold(state, trial)
  programs.network.train()
  torch.manual_seed((trial.seed << 32) + first)  # of dropout
  with (
    matmul_precision(trial.matmul_precision),
    _batches(placed, first, steps) as (batches, waited_seconds),
  ):
    loss = run(
      programs.loss_of,
      optimizer,
      batches,
      schedule.learning_rates(trial, first, steps),
      placed.spec.accumulation,
      placed.scale,
    )
  return programs.keep(first + steps), loss, waited_seconds()


def evaluate(
  programs: Programs, state: TrainState, placed: Placed
) -> dict[str, Tensor]:
  """Mean "loss" and "accuracy" over the test set.

  With several tasks also "accuracies" [tasks], of which it is the mean.
  """
  programs.hold(state, placed.trial)
  programs.network.eval()
  scale = placed.scale["mean"], placed.scale["std"]
  with matmul_precision(placed.trial.matmul_precision):
    return evaluating.evaluate(
      functools.partial(programs.logits_of, *scale),
      placed.test,
      placed.spec.tasks,
    )


def count_parameters(state: TrainState) -> int:
  """How many numbers the network has, those of a frozen backbone too."""
  return sum(values.numel() for values in state.weights.values())


def peak_memory_bytes(programs: Programs, placed: Placed) -> int | None:
  """Most memory of one device that training took; None on CPUs.

  Beyond what earlier trials of the process had left there. Trials that share
  programs and update rule take the same; it is seen in the first of them.
  """
  if placed.bytes_before is None:
    return None
  rule = placed.trial.optimizer.name
  peak = torch.cuda.max_memory_allocated(device_of()) - placed.bytes_before
  return programs.peaks.setdefault(rule, peak)


def numerics(placed: Placed) -> dict[str, Any]:
  """What differs by nature between frameworks, as this trial had it."""
  return numerics_of(placed.trial, placed.spec, device_of())


def devices(trial: Trial) -> list[dict[str, Any]]:
  """The devices a trial is trained on: platform, kind, index here."""
  del trial  # one, until there is training over several
  device = device_of()
  if device.type == "cpu":
    return [{"platform": "cpu", "kind": "cpu", "index": 0}]
  kind = torch.cuda.get_device_name(device)
  return [{"platform": "gpu", "kind": kind, "index": device.index}]


@contextlib.contextmanager
def _batches(
  placed: Placed, first_step: int, steps: int
) -> Iterator[tuple[Iterator[feed.Batch], Callable[[], float]]]:
  """Micro-batches of some steps, and how long they were waited for so far."""
  trial, parts = placed.trial, placed.spec.accumulation
  order: dict[str, Any] = {
    "seed": trial.seed,
    "batch_size": trial.batch_size,
    "first_step": first_step,
    "steps": steps,
  }
  draws = None
  if trial.augmentation != "none":
    height, width, _ = placed.spec.input_shape
    flip = trial.augmentation == "crop_flip"
    draws = feed.in_parts(
      data.augmentation_draws(**order, height=height, width=width, flip=flip),
      parts,
    )
  several = len(trial.tasks) > 1
  places, shares = np.empty((0, 0), np.int32), None
  if several or not placed.host:  # what is streamed has its own order
    places = data.batch_indices(examples=len(placed.chosen), **order)
    places = placed.chosen[places]
  if several:
    shares = heads.shares(placed.labels[places], trial, parts)
  if placed.host:
    chosen = placed.chosen
    with data.stream(placed.host, chosen=chosen, **order) as stream:
      batches = feed.from_host(stream, parts, draws, shares, device_of())
      yield batches, lambda: stream.waited_seconds
    return
  places = feed.in_parts(places, parts)
  yield feed.from_device(placed.train, places, draws, shares), lambda: 0.0
