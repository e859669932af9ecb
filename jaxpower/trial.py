"""One trial, its phases in order: the room that knows training and meter.

setup -> idle -> compile -> setup -> warmup -> eval -> {train -> eval}* until
target or budget -> infer -> checkpoint. Each phase is a window of the monitor
that opens and closes on the arrays themselves.
"""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Hashable
from typing import Any

from jaxpower import accounting, data, timelines, weights
from jaxpower.accounting import Look
from jaxpower.config import Trial, trial_id
from jaxpower.messages import Progress
from jaxpower.power import Monitor, gpu_uuid
from jaxpower.records import Compilation, TrialRecord
from jaxpower.wings import Placed, Wing, wing_of

INFER_SECONDS = 0.5  # inference is repeated at least this long

Tell = Callable[[Progress], None]


@dataclasses.dataclass(frozen=True)
class Made:
  """Executables, what making them cost, and the work of one step."""

  programs: Any
  compilation: Compilation
  flops_per_step: float | None


def run(
  trial: Trial,
  varied: dict[str, Any],
  *,
  monitor: Monitor,
  made: dict[Any, Made],
  folder: pathlib.Path,
  provenance: dict[str, Any],
  tell: Tell = lambda progress: None,
) -> TrialRecord:
  """Runs a trial under an entered monitor and returns its record.

  Args:
    trial: What to train, on what, to where.
    varied: The values that the sweep varies, for the record.
    monitor: Entered, waiting on the wing's arrays, used for this trial only.
    made: Executables of earlier trials of this process; added to.
    folder: Of the run; checkpoint and timelines go under it.
    provenance: What is known of this process, for the record.
    tell: Hears how far the trial is.
  """
  name, began = trial_id(trial), time.monotonic()
  wing = wing_of(trial.framework)

  tell(Progress(phase="setup"))
  placed = monitor.measure("setup", _place_data, wing, trial)
  spec = placed.spec
  tell(Progress(phase="idle"))
  monitor.measure("idle", time.sleep, trial.idle_seconds)
  tell(Progress(phase="compile"))
  earlier = made.get(spec)
  programs = monitor.measure("compile", _programs, wing, spec, earlier)
  state = monitor.measure("setup", wing.start, placed, _backbone(trial, folder))
  parameters = wing.count_parameters(state)
  tell(Progress(phase="warmup"))
  copy = wing.copy(state)  # training may use up what it is given
  monitor.measure("warmup", _warm_up, wing, programs, copy, placed)
  state, looks, waited = _train(
    trial, wing, programs, state, placed, monitor, tell
  )
  peak = wing.peak_memory_bytes(programs, placed)
  tell(Progress(phase="infer", accuracy=looks[-1].accuracy))
  inferred = monitor.measure("infer", _infer, wing, programs, state, placed)
  tell(Progress(phase="checkpoint", accuracy=looks[-1].accuracy))
  saved = weights.folder_of(name)
  monitor.measure("checkpoint", wing.save, folder / saved, state)

  windows = monitor.windows()
  if earlier is None:
    spent = accounting.add_up(accounting.named(windows, "compile"))
    paid = Compilation(seconds=spent.seconds, joules=spent.joules)
    made[spec] = Made(programs, paid, wing.flops_per_step(spec))
  compilation = dataclasses.replace(
    made[spec].compilation, cache_hit=earlier is not None
  )
  infer = accounting.add_up(accounting.named(windows, "infer")).joules
  timeline = folder / "timelines" / f"{name}.parquet"
  timelines.write(timeline, monitor.timeline(), windows)
  return accounting.record(
    trial,
    varied,
    looks,
    windows,
    compilation,
    wall_seconds=time.monotonic() - began,
    warnings=monitor.warnings,
    data_wait_seconds=waited,
    infer_examples=inferred,
    infer_joules_per_example=None if infer is None else infer / inferred,
    meter=monitor.describe(),
    flops_per_step=made[spec].flops_per_step,
    parameters=parameters,
    pretrained=_pretrained(trial),
    peak_memory_bytes=peak,
    numerics=wing.numerics(placed),
    checkpoint=str(saved),
    provenance=provenance | {"devices": _devices(trial)},
  )


def _train(
  trial: Trial,
  wing: Wing,
  programs: Any,
  state: Any,
  placed: Placed,
  monitor: Monitor,
  tell: Tell,
) -> tuple[Any, list[Look], float]:
  """Trains and evaluates in turn until the trial is over.

  Returns the state, what evaluation saw, and the seconds waited for data.
  """
  steps = trial.evaluate_every_examples // trial.batch_size
  looks, loss, waits = [], math.nan, []
  for segment in range(trial.budget_examples // (steps * trial.batch_size) + 1):
    if segment > 0:
      state, loss, waited = monitor.measure(
        "train", wing.train, programs, state, placed, segment - 1
      )
      waits.append(waited)
    found = monitor.measure("eval", wing.evaluate, programs, state, placed)
    look = Look(
      examples=segment * steps * trial.batch_size,
      steps=segment * steps,
      train_loss=float(loss),
      loss=float(found["loss"]),
      accuracy=float(found["accuracy"]),
      accuracies=_by_task(trial, found),
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
    if accounting.is_over(trial, looks):
      break
  return state, looks, math.fsum(waits)


def _backbone(trial: Trial, folder: pathlib.Path) -> pathlib.Path | None:
  """Where the weights lie that a trial begins with; None: it draws its own."""
  asked = trial.transfer
  if asked.init_from is not None:
    return folder / weights.folder_of(trial_id(asked.init_from))
  return pathlib.Path(asked.weights) if asked.weights else None


def _pretrained(trial: Trial) -> dict[str, Any] | None:
  path = trial.transfer.weights
  return weights.origin(pathlib.Path(path)) if path else None


def _place_data(wing: Wing, trial: Trial) -> Placed:
  # A set that may be too large for memory is not to be brought there whole.
  found = data.load(trial.data, mapped=trial.streaming != "never")
  return wing.place(trial, data.for_tasks(found, trial.tasks))


def _by_task(trial: Trial, found: dict[str, Any]) -> dict[str, float]:
  """The accuracy of each task; empty for one, whose accuracy says it all."""
  if len(trial.tasks) == 1:
    return {}
  each = zip(trial.tasks, found["accuracies"], strict=True)
  return {task: float(accuracy) for task, accuracy in each}


def _programs(wing: Wing, spec: Hashable, earlier: Made | None) -> Any:
  return wing.compile_programs(spec) if earlier is None else earlier.programs


def _warm_up(wing: Wing, programs: Any, state: Any, placed: Placed) -> Any:
  """Runs everything once on a state that is thrown away."""
  state, loss, _ = wing.train(programs, state, placed, 0)
  return loss, wing.evaluate(programs, state, placed)


def _infer(wing: Wing, programs: Any, state: Any, placed: Placed) -> int:
  """Passes over the test set for a while; how many examples that were."""
  began, passes = time.monotonic(), 0
  while time.monotonic() - began < INFER_SECONDS:
    wing.wait(wing.evaluate(programs, state, placed))
    passes += 1
  return passes * placed.test_examples


def gpus_of(trial: Trial) -> list[str] | None:
  """The UUIDs of the GPUs a trial is sharded over, none on other platforms.

  Only these are billed; the other GPUs of a node are shown apart. None where
  a GPU cannot be told by its UUID: then all visible ones are billed.
  """
  devices = _devices(trial)
  if all(device["platform"] == "cpu" for device in devices):
    return []
  uuids = [device["uuid"] for device in devices]
  return None if None in uuids else uuids


def _devices(trial: Trial) -> list[dict[str, Any]]:
  return [
    device
    | {
      "uuid": None if device["platform"] == "cpu" else gpu_uuid(device["index"])
    }
    for device in wing_of(trial.framework).devices(trial)
  ]
