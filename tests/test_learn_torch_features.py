"""Features that a frozen backbone computes once, the same in both wings."""

import contextlib
import dataclasses
import functools
import math
import pathlib
from typing import Any

import numpy as np
import pytest

from jaxpower import data
from jaxpower.config import Model, Optimizer, Transfer, Trial
from jaxpower.data.facts import DataError
from jaxpower.wings import wing_of

torch = pytest.importorskip("torch")

from jaxpower.learn_torch import placement, programs, wing

TRIAL = Trial(
  data="digits",
  model=Model(width=0.25),
  optimizer=Optimizer(name="adam", learning_rate=0.01, weight_decay=0.01),
  batch_size=32,
  evaluate_every_examples=128,
  data_share=0.8,
  devices=1,
  framework="torch",
)
RESNET = Model(name="resnet18", width=0.05, depth=0.5)


@functools.cache
def digits() -> data.DataSet:
  return data.load("digits", validation_share=0.2)


def test_an_evaluation_is_so_many_equal_passes() -> None:
  placed = wing_of("torch").place(TRIAL, digits())
  spec: Any = placed.spec
  most = spec.evaluated  # examples of a pass
  assert placed.passes == {
    name: math.ceil(count / most) for name, count in placed.examples.items()
  }
  assert set(placed.passes) == {"validation", "test"}


def trained(trial: Trial, how: str, folder: pathlib.Path) -> np.ndarray:
  """Losses and looks of two segments, then the test."""
  transfer = Transfer(weights=str(folder), freeze=True, features=how)
  trial = dataclasses.replace(trial, transfer=transfer)
  wing = wing_of(trial.framework)
  placed = wing.place(trial, digits())
  compiled = wing.compile_programs(placed.spec)
  state = wing.start(placed, folder)
  seen: Any = placed
  if how == "once":
    seen = wing.on_features(compiled, state, placed, "validation")
  looks = []
  for segment in range(2):
    state, loss, _ = wing.train(compiled, state, seen, segment)
    metrics = wing.evaluate(compiled, state, seen, "validation")
    looks.append([float(loss), float(metrics["loss"])])
  tested = wing.evaluate(compiled, state, placed, "test")
  last = [float(tested[name]) for name in ("loss", "accuracy")]
  return np.array([*looks, last])


def backbone(folder: pathlib.Path, model: Model) -> pathlib.Path:
  """A backbone's weights as JAX draws them, which both wings read."""
  jax = wing_of("jax")
  trial = dataclasses.replace(TRIAL, framework="jax", model=model)
  jax.save(folder / "backbone", jax.start(jax.place(trial, digits())))
  return folder / "backbone"


@pytest.mark.parametrize(
  "model",
  [Model(width=0.25), pytest.param(RESNET, marks=pytest.mark.proof)],
  ids=str,
)
def test_a_head_on_features_learns_the_same_in_both_wings(
  model: Model, tmp_path: pathlib.Path
) -> None:
  folder = backbone(tmp_path, model)
  trial = dataclasses.replace(TRIAL, model=model)
  once = trained(trial, "once", folder)
  assert once[1, 0] < once[0, 0]  # it learned
  np.testing.assert_allclose(once, trained(trial, "every", folder), rtol=1e-4)
  jax = dataclasses.replace(trial, framework="jax")
  np.testing.assert_allclose(once, trained(jax, "once", folder), rtol=1e-3)


def test_a_compiled_head_learns_alike(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  # What is captured is all that matters here; making it fast takes a minute.
  compile_ = functools.partial(torch.compile, backend="eager")
  monkeypatch.setattr(torch, "compile", compile_)
  monkeypatch.setattr(programs, "no_disk_cache", contextlib.nullcontext)
  folder = backbone(tmp_path, TRIAL.model)
  compiled = dataclasses.replace(TRIAL, framework="torch_compile")
  np.testing.assert_allclose(
    trained(compiled, "once", folder),
    trained(TRIAL, "once", folder),
    rtol=1e-5,
  )


def test_an_update_costs_the_head_alone() -> None:
  once = Transfer(freeze=True, features="once")
  trial = dataclasses.replace(TRIAL, transfer=once)
  # Forwards, and the gradient of the kernel: 16 features, 10 classes.
  flops = wing.flops_per_step(wing.place(trial, digits()).spec)
  assert flops == 2 * 32 * 16 * 10 * 2


def test_what_has_no_features_is_one_line(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  once = Transfer(freeze=True, features="once")
  trial = dataclasses.replace(TRIAL, transfer=once)
  streamed = dataclasses.replace(trial, streaming="always")
  with pytest.raises(DataError, match="digits does not fit on the devices"):
    wing.place(streamed, digits())
  spec = dataclasses.replace(wing.place(trial, digits()).spec, devices=2)
  with pytest.raises(DataError, match="not over several devices in PyTorch"):
    placement.place(trial, digits(), spec)
