"""A training in JAX: all that a trial asks of a framework.

The face of this wing, of the shape that `jaxpower.wings.Wing` describes.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpower import schedule
from jaxpower.config import Trial
from jaxpower.data import DataSet
from jaxpower.data.labels import classes_of, strata, subset_indices
from jaxpower.data.streaming import is_streamed
from jaxpower.learn import checkpoint, streamed
from jaxpower.learn import segment as resident
from jaxpower.learn.augment import draws_of
from jaxpower.learn.evaluate import in_chunks
from jaxpower.learn.numerics import numerics_of
from jaxpower.learn.optimizer import hyperparameters
from jaxpower.learn.segment import (
  Programs,
  fresh_state,
  order_of,
  test_shardings,
)
from jaxpower.learn.segment import flops_per_step as flops_per_step
from jaxpower.learn.spec import Data, Spec, spec_of
from jaxpower.learn.state import (
  TrainState,
  head_seed,
  make_mesh,
  memory_bytes,
  replicated,
)
from jaxpower.learn.state import count_parameters as count_parameters
from jaxpower.learn.streamed import Streamed

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


def place(trial: Trial, sets: DataSet) -> Placed | Streamed:
  """Lays a set on the devices whole, or leaves it to be streamed.

  Of its labels 'label' alone is learned.
  """
  mesh = make_mesh(trial.devices)
  scale = {"mean": sets.mean, "std": sets.std}
  train, test = (
    {name: part[name] for name in ("input", "label")}
    for part in (sets.train, sets.test)
  )
  streaming = is_streamed(trial.streaming, sets, memory_bytes(mesh))
  part: Data = (streamed.part_shapes if streaming else in_chunks)(test, mesh)
  spec = spec_of(
    trial,
    train | scale,
    part | scale,
    classes=classes_of(sets.facts, trial.tasks),
    vocabulary=sets.facts.vocabulary,
  )
  stratum = strata(sets.train["label"], len(trial.tasks))
  chosen = subset_indices(stratum, trial.data_share)
  if streaming:
    together = streamed.steps_together(trial, train)
    return Streamed(
      trial=trial,
      train=train,
      test=test,
      scale=jax.device_put(scale, replicated(mesh)),
      spec=dataclasses.replace(spec, chunk=together),
      chosen=chosen,
      test_examples=len(sets.test["label"]),
    )
  chunks = part | scale
  return Placed(
    trial=trial,
    # What was left on disk must not stay there under the name of an array.
    train=jax.device_put(train | scale, replicated(mesh), may_alias=False),
    test=jax.device_put(chunks, test_shardings(mesh, chunks)),
    spec=spec,
    chosen=chosen,
    test_examples=len(sets.test["label"]),
  )


def compile_programs(spec: Spec) -> Programs | streamed.Programs:
  """Compiles what the spec needs, before any of it is called."""
  return (streamed if spec.chunk else resident).compile_programs(spec)


def start(
  placed: Placed | Streamed, backbone: pathlib.Path | None = None
) -> TrainState:
  """The state that training starts from, its head always fresh.

  Args:
    placed: The trial.
    backbone: A folder of weights to begin with; None: fresh ones.

  Raises WeightsError where the folder is damaged or does not fit.
  """
  trial = placed.trial
  if backbone is None:
    return fresh_state(placed.spec, trial.seed)
  fresh = fresh_state(placed.spec, head_seed(trial))
  return checkpoint.restore_backbone(backbone, fresh)


def copy(state: TrainState) -> TrainState:
  """Another state of the same values; `train` uses up what it is given."""
  return jax.tree.map(jnp.copy, state)


def train(
  programs: Any, state: TrainState, placed: Placed | Streamed, segment: int
) -> tuple[TrainState, Any, float]:
  """The updates of one segment, its order and rates drawn on the host.

  Returns the new state, the mean loss, and the seconds that the devices
  waited for data: 0 where the set lies on them.
  """
  if isinstance(placed, Streamed):
    return streamed.train(programs, state, placed, segment)
  trial, steps = placed.trial, placed.spec.steps
  rows = order_of(trial, placed.chosen, segment * steps, steps)
  rates = schedule.learning_rates(trial, segment * steps, steps)
  numbers = hyperparameters(trial, rates)
  shape = placed.train["input"].shape[1:]
  draws = draws_of(trial, shape, segment * steps, steps)
  state, loss = programs.train(state, placed.train, rows, numbers, *draws)
  return state, loss, 0.0


def evaluate(
  programs: Any, state: TrainState, placed: Placed | Streamed
) -> dict[str, jax.Array]:
  """Mean "loss" and "accuracy" over the test set.

  With several tasks also "accuracies" [tasks], of which it is the mean.
  """
  if isinstance(placed, Streamed):
    return streamed.evaluate(programs, state, placed)
  return programs.evaluate(state, placed.test)


def save(folder: pathlib.Path, state: TrainState) -> None:
  """Writes the state into a folder of its own, in place of any other."""
  checkpoint.save(folder, state)


def peak_memory_bytes(
  programs: Programs | streamed.Programs, placed: Placed | Streamed
) -> int | None:
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


def numerics(placed: Placed | Streamed) -> dict[str, Any]:
  """What differs by nature between frameworks, as this trial had it."""
  mesh = make_mesh(placed.trial.devices)
  return numerics_of(placed.trial, placed.spec, mesh.devices.flat[0])


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
