"""A training in JAX: all that a trial asks of a framework.

The face of this wing, of the shape that `jaxpower.wings.Wing` describes.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpower import data, schedule
from jaxpower.config import Trial
from jaxpower.data import DataSet
from jaxpower.data.share import examples_of
from jaxpower.learn import checkpoint
from jaxpower.learn.augment import draws_of
from jaxpower.learn.evaluate import in_chunks
from jaxpower.learn.numerics import numerics_of
from jaxpower.learn.optimizer import hyperparameters
from jaxpower.learn.spec import Data, Spec, spec_of
from jaxpower.learn.state import TrainState, make_mesh, replicated
from jaxpower.learn.state import count_parameters as count_parameters
from jaxpower.learn.train import Programs, fresh_state, test_shardings
from jaxpower.learn.train import compile_programs as compile_programs
from jaxpower.learn.train import flops_per_step as flops_per_step

wait = jax.block_until_ready


@dataclasses.dataclass(frozen=True)
class Placed:
  """A trial with both splits on its devices, and what is trained on."""

  trial: Trial
  train: Data
  test: Data
  spec: Spec
  chosen: np.ndarray  # int32, indices into `train`
  test_examples: int


def place(trial: Trial, sets: DataSet) -> Placed:
  """Lays a set on the devices whole."""
  mesh = make_mesh(trial.devices)
  scale = {"mean": sets.mean, "std": sets.std}
  pairs = [
    {name: part[name] for name in ("input", "label")}
    for part in (sets.train, sets.test)
  ]
  train: Data = pairs[0] | scale
  test: Data = in_chunks(pairs[1], mesh.size) | scale
  spec = spec_of(
    trial,
    train,
    test,
    classes=sets.facts.classes,
    vocabulary=sets.facts.vocabulary,
  )
  return Placed(
    trial=trial,
    train=jax.device_put(train, replicated(mesh)),
    test=jax.device_put(test, test_shardings(mesh, test)),
    spec=spec,
    chosen=examples_of(sets.train["label"], trial.data_share),
    test_examples=len(sets.test["label"]),
  )


def start(placed: Placed) -> TrainState:
  """The state that training starts from."""
  return fresh_state(placed.spec, placed.trial.seed)


def copy(state: TrainState) -> TrainState:
  """Another state of the same values; `train` uses up what it is given."""
  return jax.tree.map(jnp.copy, state)


def train(
  programs: Programs, state: TrainState, placed: Placed, segment: int
) -> tuple[TrainState, jax.Array, float]:
  """The updates of one segment, its order and rates drawn on the host.

  Returns the new state, the mean loss, and the seconds that the devices
  waited for data: 0 where the set lies on them.
  """
  trial, steps = placed.trial, placed.spec.steps
  places = data.batch_indices(
    seed=trial.seed,
    examples=len(placed.chosen),
    batch_size=trial.batch_size,
    first_step=segment * steps,
    steps=steps,
  )
  rates = schedule.learning_rates(trial, segment * steps, steps)
  numbers = hyperparameters(trial, rates)
  shape = placed.train["input"].shape[1:]
  draws = draws_of(trial, shape, segment * steps, steps)
  state, loss = programs.train(
    state, placed.train, placed.chosen[places], numbers, *draws
  )
  return state, loss, 0.0


def evaluate(
  programs: Programs, state: TrainState, placed: Placed
) -> dict[str, jax.Array]:
  """Mean "loss" and "accuracy" over the test set."""
  return programs.evaluate(state, placed.test)


def save(folder: pathlib.Path, state: TrainState) -> None:
  """Writes the state into a folder of its own, in place of any other."""
  checkpoint.save(folder, state)


def peak_memory_bytes(programs: Programs, placed: Placed) -> int | None:
  """Most memory of one device that training took; None on CPUs.

  What lies there after training and what XLA planned for it. The allocator's
  own peak is that of the process, of whatever trial.
  """
  held = [
    (device.memory_stats() or {}).get("bytes_in_use")
    for device in make_mesh(placed.trial.devices).devices.flat
  ]
  known = [number for number in held if number is not None]
  if len(known) < len(held):
    return None
  return max(known) + programs.workspace_bytes


def numerics(placed: Placed) -> dict[str, Any]:
  """What differs by nature between frameworks, as this trial had it."""
  mesh = make_mesh(placed.trial.devices)
  return numerics_of(placed.trial, mesh.devices.flat[0])


def devices(trial: Trial) -> list[dict[str, Any]]:
  """The devices a trial is sharded over: platform, kind, index here."""
  return [
    {
      "platform": device.platform,
      "kind": device.device_kind,
      "index": device.local_hardware_id,
    }
    for device in make_mesh(trial.devices).devices.flat
  ]
