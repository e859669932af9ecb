"""Weights and moments divided over processes, on the CPU with gloo."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from jaxpower.config import Model, Optimizer, Transfer, Trial
from jaxpower.learn_torch import devices, wing
from jaxpower.learn_torch.distributed import coordinator
from jaxpower.learn_torch.segment import train_share
from tests.test_learn_torch_distributed import (
  ONE,
  TASKS,
  Losses,
  losses_of,
  prepare,
)

PLAIN = {"augmentation": "none", "accumulation": 1}


def of(model: str, **changes: Any) -> Trial:
  return dataclasses.replace(
    ONE, model=Model(name=model, width=0.25), **changes
  )


def by(rule: str, rate: float) -> Trial:
  return dataclasses.replace(
    ONE, optimizer=Optimizer(name=rule, learning_rate=rate)
  )


def resnet(name: str, **changes: Any) -> Trial:
  trial = dataclasses.replace(
    ONE,
    data="digits",
    model=Model(name=name, width=1 / 16),
    # Adam would make much of gradients that are rounding alone.
    optimizer=Optimizer(name="sgd", learning_rate=0.05),
    accumulation=1,
    batch_norm="global",
  )
  return dataclasses.replace(trial, **changes)


# Two updates: later ones make much of another order of sums, in the many norms
# of a ResNet-50.
SHORT = {"evaluate_every_examples": 64, "budget_examples": 128}
COMPILED = {"framework": "torch_compile"}
TRIALS = {
  "cnn": ONE,
  "decoder": of("decoder", data="austen", **PLAIN),
  "resnet18": resnet("resnet18"),
  "resnet50": resnet("resnet50", **SHORT),
  "transformer": of("transformer", data="imu", **PLAIN),
  "texts": of("transformer", data="austen_novels", **PLAIN),
  "vit": of("vit"),
  "momentum": by("momentum", 0.01),
  "lion": by("lion", 1e-3),
  "lamb": by("lamb", 0.01),
  "muon": by("muon", 0.1),
  "frozen": dataclasses.replace(ONE, transfer=Transfer(freeze=True)),
  "slower backbone": dataclasses.replace(
    ONE, transfer=Transfer(backbone_rate=0.1)
  ),
  "uncertain tasks": dataclasses.replace(
    TASKS, task_weighting="uncertainty", task_weights={}
  ),
  "uncertain tasks, lamb": dataclasses.replace(
    TASKS,
    task_weighting="uncertainty",
    task_weights={},
    optimizer=Optimizer(name="lamb", learning_rate=0.01),
  ),
  "compiled": dataclasses.replace(ONE, **COMPILED),
  "compiled decoder": of("decoder", data="austen", **PLAIN, **COMPILED),
  # Half as deep: every norm and convolution is a file of C++ to compile.
  "compiled resnet18": resnet(
    "resnet18",
    **COMPILED,
    model=Model(name="resnet18", width=1 / 16, depth=0.5),
  ),
  "compiled muon": dataclasses.replace(by("muon", 0.1), **COMPILED),
}
# PyTorch's compiler warns of what it does itself: that its caches are off, as
# they are to be, and of calls of its own that it will drop.
COMPILER = [
  pytest.mark.filterwarnings(f"ignore:{words}")
  for words in (
    "dynamo_pgo force disabled",
    "`torch.jit.script_method`",
    "<class 'torch.autograd.function.Function'> should not",
  )
]
PROOF = pytest.mark.proof


def marks_of(count: int, sharding: str, name: str) -> list[Any]:
  first = (count, sharding, name) == (2, "fsdp", "cnn")
  compiled = COMPILER if name.startswith("compiled") else []
  return [*compiled, *([] if first else [PROOF])]


CASES = [
  pytest.param(count, sharding, name, marks=marks)
  for name in TRIALS
  for count in (2, 4)
  for sharding in ("fsdp", "replicated")
  for marks in [marks_of(count, sharding, name)]
]


@pytest.fixture(scope="module", autouse=True)
def processes() -> Iterator[pytest.MonkeyPatch]:
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv(devices.CPU_PROCESSES, "4")
    yield patch
    coordinator.stop()


@pytest.mark.parametrize(("count", "sharding", "name"), CASES)
def test_what_is_learned_is_that_of_one_process(
  count: int, sharding: str, name: str
) -> None:
  expected = alone(name)
  over = {"devices": count, "sharding": sharding}
  found = losses_of(dataclasses.replace(TRIALS[name], **over))
  np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
  ("name", "sharding"),
  [
    pytest.param(name, sharding, marks=[PROOF, *COMPILER])
    for name in ("compiled", "compiled resnet18")
    for sharding in ("fsdp", "replicated")
  ],
)
def test_nothing_is_compiled_while_it_trains(name: str, sharding: str) -> None:
  from torch._dynamo import utils

  over = {"devices": 2, "sharding": sharding}
  placed, compiled, state = prepare(dataclasses.replace(TRIALS[name], **over))
  before = utils.counters["stats"]["unique_graphs"]
  assert before > 0
  for segment in range(2):
    state, _, _ = wing.train(compiled, state, placed, segment)
    wing.evaluate(compiled, state, placed)
  assert utils.counters["stats"]["unique_graphs"] == before


@functools.cache
def alone(name: str) -> Losses:
  """What one process makes of a trial; kept, as it stops the others."""
  return losses_of(TRIALS[name])


@PROOF
@pytest.mark.parametrize("sharding", ["fsdp", "replicated"])
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_batch_norms_of_each_process_by_hand(
  name: str, count: int, sharding: str
) -> None:
  trial = resnet(name, batch_norm="device", augmentation="none", **SHORT)
  over = {"devices": count, "sharding": sharding}
  found = losses_of(dataclasses.replace(trial, **over))
  np.testing.assert_allclose(found, by_hand(trial, count), rtol=1e-4)


def by_hand(trial: Trial, parts: int) -> Losses:
  """Trains in one process, the network called on each part by itself."""
  placed, compiled, state = prepare(trial)
  buffers = [*compiled.network.buffers()]

  def loss_of(mean: Any, std: Any, *batch: Any) -> Any:
    inputs, labels, *_ = batch
    total, first = 0.0, None
    for part in zip(inputs.chunk(parts), labels.chunk(parts), strict=True):
      loss = compiled.loss_of(mean, std, *part) / parts
      loss.backward()  # now: the next part moves what this one goes back by
      total += float(loss.detach())
      first = first or [buffer.clone() for buffer in buffers]
    for buffer, value in zip(buffers, first or (), strict=True):
      buffer.copy_(value)  # the running ones are the first process's
    return torch.tensor(total, requires_grad=True)  # nothing is left to do

  losses = []
  for segment in range(2):
    compiled.hold(state, trial)
    loss, _ = train_share(compiled, placed, segment, loss_of)
    state = compiled.keep(segment + 1)
    metrics = wing.evaluate(compiled, state, placed)
    losses.append([float(loss), float(metrics["loss"])])
  return losses


def test_each_process_has_its_part_and_all_of_it_is_written(
  tmp_path: pathlib.Path,
) -> None:
  divided = dataclasses.replace(ONE, devices=2, sharding="fsdp")
  placed, compiled, state = prepare(divided)
  first = wing.copy(state)
  trained, _, _ = wing.train(compiled, state, placed, 0)
  assert wing.numerics(placed)["sharding"] == "fsdp"
  kept: Any = [*trained.weights.values()]
  assert trained.moments is not None
  for held in trained.moments["state"].values():
    kept += [held["exp_avg"], held["exp_avg_sq"]]
  parts = sum(value.to_local().numel() for value in kept)
  assert parts == pytest.approx(3 * wing.count_parameters(first) / 2, rel=0.02)
  wing.save(tmp_path / "divided", trained)
  again = wing.copy(trained)
  _, loss, _ = wing.train(compiled, trained, placed, 1)
  _, same, _ = wing.train(compiled, again, placed, 1)
  assert float(same) == pytest.approx(float(loss), rel=1e-6)
  # One process goes on with it, and what that writes is taken up by two.
  placed, alone, _ = prepare(ONE)
  read = wing.restore(tmp_path / "divided", first)
  read, same, _ = wing.train(alone, read, placed, 1)
  assert float(same) == pytest.approx(float(loss), rel=1e-4)
  wing.save(tmp_path / "whole", read)
  expected = wing.evaluate(alone, read, placed)["loss"]
  _, loss, _ = wing.train(alone, read, placed, 0)
  placed, compiled, _ = prepare(divided)
  read = wing.restore(tmp_path / "whole", first)
  metrics = wing.evaluate(compiled, read, placed)
  assert float(metrics["loss"]) == pytest.approx(float(expected), rel=1e-6)
  _, same, _ = wing.train(compiled, read, placed, 0)
  assert float(same) == pytest.approx(float(loss), rel=1e-4)
