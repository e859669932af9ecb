"""Features that a frozen backbone computes once, in JAX."""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import numpy as np
import pytest

from jaxpower import data
from jaxpower.config import Model, Optimizer, Transfer, Trial
from jaxpower.data.facts import DataError
from jaxpower.learn import features, wing
from jaxpower.learn.spec import shapes_of

TRIAL = Trial(
  data="digits",
  model=Model(width=0.25),
  optimizer=Optimizer(name="adam", learning_rate=0.01, weight_decay=0.01),
  batch_size=32,
  evaluate_every_examples=128,
  data_share=0.8,
  devices=1,
)


@functools.cache
def digits() -> data.DataSet:
  return data.load("digits", validation_share=0.2)


def trained(
  trial: Trial, how: str, folder: pathlib.Path, **changes: Any
) -> tuple[np.ndarray, Any]:
  """Losses and looks of three segments, and the last state."""
  transfer = Transfer(init_from=trial, freeze=True, features=how)
  trial = dataclasses.replace(trial, transfer=transfer, **changes)
  placed = wing.place(trial, digits())
  programs = wing.compile_programs(placed.spec)
  state = wing.start(placed, folder)
  seen = placed
  if how == "once":
    seen = wing.on_features(programs, state, placed, "validation")
  looks = []
  for segment in range(3):
    state, loss, _ = wing.train(programs, state, seen, segment)
    metrics = wing.evaluate(programs, state, seen, "validation")
    looks.append([float(loss), float(metrics["loss"])])
  tested = wing.evaluate(programs, state, placed, "test")
  last = [float(tested[name]) for name in ("loss", "accuracy")]
  return np.array([*looks, last]), state


@pytest.mark.parametrize(
  "changes",
  [
    {"devices": 4},
    pytest.param(
      {"model": Model(name="resnet18", width=0.05, depth=0.5)},
      marks=pytest.mark.slow,
    ),
    {"program": "step", "accumulation": 2, "precision": "bfloat16"},
  ],
  ids=["on four devices", "resnet18", "by step in bfloat16"],
)
def test_a_head_on_features_learns_what_it_learns_on_inputs(
  changes: dict[str, Any], tmp_path: pathlib.Path
) -> None:
  trial = dataclasses.replace(TRIAL, **changes)
  begun = wing.start(wing.place(trial, digits()))
  wing.save(tmp_path / "backbone", begun)
  every, state = trained(trial, "every", tmp_path / "backbone")
  once, head = trained(trial, "once", tmp_path / "backbone")
  np.testing.assert_allclose(once, every, rtol=2e-5)
  assert once[2, 0] < once[0, 0]  # it learned
  for one, other in zip(*map(jax.tree.leaves, (head, state)), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_an_update_costs_the_head_alone() -> None:
  frozen = dataclasses.replace(TRIAL, transfer=Transfer(freeze=True))
  once = dataclasses.replace(
    TRIAL, transfer=Transfer(freeze=True, features="once")
  )
  whole, head = (
    wing.flops_per_step(wing.place(trial, digits()).spec) or 0.0
    for trial in (frozen, once)
  )
  # Forwards, and the gradient of the kernel: 16 features, 10 classes. The rest
  # is the loss and the update rule.
  products = 2 * 32 * 16 * 10 * 2
  assert products < head < 2 * products
  assert head < 0.2 * whole


def test_programs_are_shared_by_all_shares_of_the_data() -> None:
  transfer = Transfer(freeze=True, features="once")
  specs = [
    wing.place(
      dataclasses.replace(TRIAL, transfer=transfer, data_share=share), digits()
    ).spec
    for share in (0.1, 1.0)
  ]
  assert specs[0] == specs[1]
  head = features.spec_of_head(specs[0])
  assert shapes_of(head, "train")["input"].shape[1:] == (16,)
  assert head.input_shape == specs[0].input_shape == (8, 8, 1)


def test_a_streamed_set_has_no_features() -> None:
  transfer = Transfer(freeze=True, features="once")
  trial = dataclasses.replace(TRIAL, transfer=transfer, streaming="always")
  with pytest.raises(DataError, match="digits does not fit on the devices"):
    wing.place(trial, digits())
