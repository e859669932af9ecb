"""One trial, its phases in order: the room that knows training and meter.

setup -> idle -> compile -> setup -> warmup -> eval -> {train -> eval}* until
target or budget -> infer -> checkpoint. Each phase is a window of the monitor
that opens and closes on the arrays themselves.
"""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpower import account, data, schedule, timelines
from jaxpower.account import Look
from jaxpower.config import Trial, trial_id
from jaxpower.learn import checkpoint
from jaxpower.learn.evaluate import in_chunks
from jaxpower.learn.optimizer import hyperparameters
from jaxpower.learn.share import examples_of
from jaxpower.learn.spec import Data, Spec, spec_of
from jaxpower.learn.state import (
  TrainState,
  count_parameters,
  make_mesh,
  replicated,
)
from jaxpower.learn.train import (
  Programs,
  compile_programs,
  flops_per_step,
  fresh_state,
  test_shardings,
)
from jaxpower.messages import Progress
from jaxpower.power import Monitor, gpu_state, gpu_uuid
from jaxpower.records import Compilation, TrialRecord

INFER_SECONDS = 0.5  # inference is repeated at least this long

Tell = Callable[[Progress], None]


@dataclasses.dataclass(frozen=True)
class Made:
  """Executables, what making them cost, and the work of one step."""

  programs: Programs
  compilation: Compilation
  flops_per_step: float | None


@dataclasses.dataclass(frozen=True)
class Placed:
  """Both splits on the devices, and which examples are trained on."""

  train: Data
  test: Data
  spec: Spec
  chosen: np.ndarray  # int32, indices into `train`


def run(
  trial: Trial,
  varied: dict[str, Any],
  *,
  monitor: Monitor,
  made: dict[Spec, Made],
  folder: pathlib.Path,
  provenance: dict[str, Any],
  tell: Tell = lambda progress: None,
) -> TrialRecord:
  """Runs a trial under an entered monitor and returns its record.

  Args:
    trial: What to train, on what, to where.
    varied: The values that the sweep varies, for the record.
    monitor: Entered, waiting on jax arrays, and used for this trial only.
    made: Executables of earlier trials of this process; added to.
    folder: Of the run; checkpoint and timelines go under it.
    provenance: What is known of this process, for the record.
    tell: Hears how far the trial is.
  """
  name, began = trial_id(trial), time.monotonic()
  provenance = provenance | _devices(trial) | {"gpus_before": gpu_state()}

  tell(Progress(phase="setup"))
  placed = monitor.measure("setup", _place_data, trial)
  test, spec = placed.test, placed.spec
  tell(Progress(phase="idle"))
  monitor.measure("idle", time.sleep, trial.idle_seconds)
  tell(Progress(phase="compile"))
  earlier = made.get(spec)
  programs = monitor.measure("compile", _programs, spec, earlier)
  state = monitor.measure("setup", fresh_state, spec, trial.seed)
  parameters = count_parameters(state)
  tell(Progress(phase="warmup"))
  copy = jax.tree.map(jnp.copy, state)  # training donates what it is given
  monitor.measure("warmup", _warm_up, trial, programs, copy, placed)
  state, looks = _train(trial, programs, state, placed, monitor, tell)
  tell(Progress(phase="infer", accuracy=looks[-1].accuracy))
  inferred = monitor.measure("infer", _infer, programs, state, test)
  tell(Progress(phase="checkpoint", accuracy=looks[-1].accuracy))
  saved = pathlib.Path("checkpoints") / name
  monitor.measure("checkpoint", checkpoint.save, folder / saved, state)

  windows = monitor.windows()
  if earlier is None:
    spent = account.add_up(account.named(windows, "compile"))
    paid = Compilation(seconds=spent.seconds, joules=spent.joules)
    made[spec] = Made(programs, paid, flops_per_step(spec))
  compilation = dataclasses.replace(
    made[spec].compilation, cache_hit=earlier is not None
  )
  infer = account.add_up(account.named(windows, "infer")).joules
  timeline = folder / "timelines" / f"{name}.parquet"
  timelines.write(timeline, monitor.timeline(), windows)
  return account.record(
    trial,
    varied,
    looks,
    windows,
    compilation,
    wall_seconds=time.monotonic() - began,
    warnings=monitor.warnings,
    infer_examples=inferred,
    infer_joules_per_example=None if infer is None else infer / inferred,
    meter=monitor.describe(),
    flops_per_step=made[spec].flops_per_step,
    parameters=parameters,
    checkpoint=str(saved),
    provenance=provenance | {"gpus_after": gpu_state()},
  )


def _train(
  trial: Trial,
  programs: Programs,
  state: TrainState,
  placed: Placed,
  monitor: Monitor,
  tell: Tell,
) -> tuple[TrainState, list[Look]]:
  """Trains and evaluates in turn until the trial is over."""
  steps = trial.evaluate_every_examples // trial.batch_size
  looks, loss = [], math.nan
  for segment in range(trial.budget_examples // (steps * trial.batch_size) + 1):
    if segment > 0:
      state, loss = monitor.measure(
        "train", _segment, trial, programs, state, placed, segment - 1
      )
    found = monitor.measure("eval", programs.evaluate, state, placed.test)
    look = Look(
      examples=segment * steps * trial.batch_size,
      steps=segment * steps,
      train_loss=float(loss),
      loss=float(found["loss"]),
      accuracy=float(found["accuracy"]),
    )
    looks.append(look)
    tell(
      Progress(
        phase="train",
        examples=look.examples,
        accuracy=look.accuracy,
        joules=monitor.joules_so_far("train"),
      )
    )
    if account.is_over(trial, looks):
      break
  return state, looks


def _segment(
  trial: Trial,
  programs: Programs,
  state: TrainState,
  placed: Placed,
  segment: int,
) -> tuple[TrainState, Any]:
  """The updates of one segment, its order and rates drawn on the host."""
  steps = trial.evaluate_every_examples // trial.batch_size
  places = data.batch_indices(
    seed=trial.seed,
    examples=len(placed.chosen),
    batch_size=trial.batch_size,
    first_step=segment * steps,
    steps=steps,
  )
  rates = schedule.learning_rates(trial, segment * steps, steps)
  numbers = hyperparameters(trial, rates)
  return programs.train(state, placed.train, placed.chosen[places], numbers)


def _warm_up(
  trial: Trial, programs: Programs, state: TrainState, placed: Placed
) -> Any:
  """Runs everything once on a state that is thrown away."""
  state, loss = _segment(trial, programs, state, placed, 0)
  return loss, programs.evaluate(state, placed.test)


def _infer(programs: Programs, state: TrainState, test: Data) -> int:
  """Passes over the test set for a while; how many examples that were."""
  examples = int(jnp.sum(test["weight"]))
  began, passes = time.monotonic(), 0
  while time.monotonic() - began < INFER_SECONDS:
    jax.block_until_ready(programs.evaluate(state, test))
    passes += 1
  return passes * examples


def _place_data(trial: Trial) -> Placed:
  """Reads a set and lays it on the devices whole."""
  mesh = make_mesh(trial.devices)
  sets = data.load(trial.data)
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
    train=jax.device_put(train, replicated(mesh)),
    test=jax.device_put(test, test_shardings(mesh, test)),
    spec=spec,
    chosen=examples_of(sets.train["label"], trial.data_share),
  )


def _programs(spec: Spec, earlier: Made | None) -> Programs:
  return compile_programs(spec) if earlier is None else earlier.programs


def gpus_of(trial: Trial) -> list[str] | None:
  """The UUIDs of the GPUs a trial is sharded over, none on other platforms.

  Only these are billed; the other GPUs of a node are shown apart. None where
  a GPU cannot be told by its UUID: then all visible ones are billed.
  """
  devices = _devices(trial)["devices"]
  if all(device["platform"] == "cpu" for device in devices):
    return []
  uuids = [device["uuid"] for device in devices]
  return None if None in uuids else uuids


def _devices(trial: Trial) -> dict[str, Any]:
  devices = make_mesh(trial.devices).devices.flat
  return {
    "devices": [
      {
        "platform": device.platform,
        "kind": device.device_kind,
        "uuid": None
        if device.platform == "cpu"
        else gpu_uuid(device.local_hardware_id),
      }
      for device in devices
    ]
  }
