"""Weights and moments divided over processes, on the CPU with gloo."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from jaxpower.config import Model, Optimizer, Transfer, Trial
from jaxpower.learn_torch import devices, wing
from jaxpower.learn_torch.distributed import coordinator
from tests.test_learn_torch_distributed import ONE, TASKS, losses_of, prepare

RESNET = dataclasses.replace(
  ONE,
  data="digits",
  model=Model(name="resnet18", width=1 / 16),
  # Adam would make much of gradients that are rounding alone.
  optimizer=Optimizer(name="sgd", learning_rate=0.05),
  accumulation=1,
  batch_norm="global",
)
PLAIN = {"augmentation": "none", "accumulation": 1}


def of(model: str, **changes: Any) -> Trial:
  return dataclasses.replace(
    ONE, model=Model(name=model, width=0.25), **changes
  )


PROOF = pytest.mark.proof
TRIALS = [
  pytest.param(2, ONE, id="cnn"),
  pytest.param(4, ONE, id="cnn, 4", marks=PROOF),
  pytest.param(
    2,
    dataclasses.replace(
      ONE, optimizer=Optimizer(name="lion", learning_rate=1e-3)
    ),
    id="lion",
    marks=PROOF,
  ),
  pytest.param(
    2,
    dataclasses.replace(
      ONE, optimizer=Optimizer(name="momentum", learning_rate=0.01)
    ),
    id="momentum",
    marks=PROOF,
  ),
  pytest.param(
    2,
    dataclasses.replace(ONE, transfer=Transfer(freeze=True)),
    id="frozen",
    marks=PROOF,
  ),
  pytest.param(
    2,
    dataclasses.replace(ONE, transfer=Transfer(backbone_rate=0.1)),
    id="slower backbone",
    marks=PROOF,
  ),
  pytest.param(
    2,
    dataclasses.replace(TASKS, task_weighting="uncertainty", task_weights={}),
    id="uncertain tasks",
    marks=PROOF,
  ),
  pytest.param(2, RESNET, id="resnet18", marks=PROOF),
  pytest.param(4, RESNET, id="resnet18, 4", marks=PROOF),
  pytest.param(
    2,
    # Against two processes that have all of it: the many norms of a ResNet-50
    # make much of another order of sums.
    dataclasses.replace(
      RESNET, model=Model(name="resnet50", width=1 / 16), devices=2
    ),
    id="resnet50",
    marks=PROOF,
  ),
  pytest.param(2, of("vit"), id="vit", marks=PROOF),
  pytest.param(
    2, of("transformer", data="imu", **PLAIN), id="transformer", marks=PROOF
  ),
]


@pytest.fixture(scope="module", autouse=True)
def processes() -> Iterator[pytest.MonkeyPatch]:
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv(devices.CPU_PROCESSES, "4")
    yield patch
    coordinator.stop()


@pytest.mark.parametrize(("count", "trial"), TRIALS)
def test_what_is_learned_is_that_of_whole_weights(
  count: int, trial: Trial
) -> None:
  alone = losses_of(trial)
  divided = dataclasses.replace(trial, devices=count, sharding="fsdp")
  np.testing.assert_allclose(losses_of(divided), alone, rtol=1e-4)


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
