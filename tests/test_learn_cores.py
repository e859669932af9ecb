"""A CPU whose cores are devices of JAX: the same training, divided."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from jaxpower import data
from jaxpower.config import Execution, Model, Transfer, Trial
from jaxpower.learn import cores, wing
from jaxpower.workers.cores import CORES

CNN = Trial(
  model=Model(width=0.25),
  data="digits",
  batch_size=512,
  evaluate_every_examples=512,
)
VIT = dataclasses.replace(CNN, model=Model(name="vit", width=0.25))


@pytest.fixture
def as_devices(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setenv(CORES, str(len(jax.devices())))


def trained(trial: Trial) -> tuple[Any, Any, Any]:
  placed = wing.place(trial, data.load(trial.data))
  programs = wing.compile_programs(placed.spec)
  state, loss, _ = wing.train(programs, wing.start(placed), placed, 0)
  return placed, loss, wing.evaluate(programs, state, placed, "test")


@pytest.mark.parametrize("trial", [CNN, VIT], ids=["cnn", "vit"])
def test_a_batch_divided_over_cores_trains_the_same(
  trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
  _, loss, metrics = trained(trial)
  monkeypatch.setenv(CORES, str(len(jax.devices())))
  placed, divided_loss, divided_metrics = trained(trial)
  np.testing.assert_allclose(loss, divided_loss, rtol=1e-5)
  np.testing.assert_allclose(
    metrics["loss"], divided_metrics["loss"], rtol=1e-4
  )
  assert placed.spec.cores == len(jax.devices())
  numerics = wing.numerics(placed)
  assert numerics["batch_divided_over_cores"] == len(jax.devices())
  assert "sharding" not in numerics


def test_cores_read_one_copy_of_the_set(as_devices: None) -> None:
  placed = wing.place(CNN, data.load(CNN.data))
  shards = placed.train["input"].addressable_shards
  found = {shard.data.unsafe_buffer_pointer() for shard in shards}
  assert (len(shards), len(found)) == (len(jax.devices()), 1)


def test_to_the_config_they_are_one_device(as_devices: None) -> None:
  assert wing.devices(CNN) == [
    {"platform": "cpu", "kind": "cpu", "index": 0, "cores": len(jax.devices())}
  ]
  small = dataclasses.replace(CNN, batch_size=256, devices=0)
  assert wing.devices(small) == [{"platform": "cpu", "kind": "cpu", "index": 0}]


@pytest.mark.parametrize(
  "changes",
  [
    {"batch_size": 256},  # too few for each core
    {"batch_size": 513},
    {"accumulation": 128},
    {"model": Model(name="mine.py:Net")},
    {"dropout": 0.1, "execution": Execution(draws="rbg")},
    {"transfer": Transfer(weights="w", freeze=True, features="once")},
  ],
)
def test_what_is_not_divided(as_devices: None, changes: Any) -> None:
  assert cores.divided_over(CNN) == len(jax.devices())
  assert cores.divided_over(dataclasses.replace(CNN, **changes)) == 1


def test_devices_that_are_no_cores_are_devices() -> None:
  assert cores.cores_as_devices() == 1
  assert len(wing.devices(dataclasses.replace(CNN, devices=0))) == 8
