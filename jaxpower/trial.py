"""Runs one trial: its phases in order, each in a window of the meter.

setup -> idle -> compile -> setup -> warmup -> eval -> {train -> eval}* until
target or budget -> test -> infer -> checkpoint. With `transfer.features` "once"
a features phase comes before warm-up. Training and meter meet only
here. A framework returns from a call before the work is done, so each window
waits for the arrays that go in and for those that come out
(`Monitor.measure`).

Idle comes after the data is placed, so that the context is open and its watts
are those that training builds on. Initial weights are in a setup window of
their own: compiling what draws them does not depend on the batch size and
would blur the compile joules by which settings differ. Warm-up runs
everything once on a copy, so that no first call falls into a train window.

In training the split that decides is evaluated. Where that is the validation
set, the test set is evaluated once, on the state that training stopped with.
What the first compiling of a process costs beyond any other is in no window:
the worker has its wing compile a tiny program before its first trial.
"""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from jaxpower import accounting, billing, data, timelines, weights
from jaxpower.accounting import EvalResult
from jaxpower.config import Trial, trial_id
from jaxpower.messages import Progress
from jaxpower.power import Monitor, Window
from jaxpower.power.clocks import read_clocks, span
from jaxpower.power.cpu_time import usable_cores
from jaxpower.power.load import load_warnings, mean_load
from jaxpower.power.reading import record_line
from jaxpower.records import (
  Compilation,
  CompileCost,
  TrialRecord,
  deciding_split,
)
from jaxpower.wings import Placed, Wing, wing_of

# Inference is repeated at least this long; chosen. A counter of 100 ms is off
# by 7 % on average in a window of 0.1 s, by 1 % in one of 0.5 s (benchmarks/
# meter_accuracy.json), and one pass over a small test set is shorter still.
INFER_SECONDS = 0.5

REPEATED = "compile_repeat"  # the phase of compiling once more, to measure it

Tell = Callable[[Progress], None]


@dataclasses.dataclass(frozen=True)
class Compiled:
  """The programs of a spec, as a wing compiled them.

  Attributes:
    programs: The wing's own.
    compilation: What compiling them cost.
    flops_per_step: The operations of one update; None if not known.
  """

  programs: Any
  compilation: Compilation
  flops_per_step: float | None


def run(
  trial: Trial,
  varied: dict[str, Any],
  *,
  monitor: Monitor,
  cache: dict[Any, Compiled],
  folder: pathlib.Path,
  provenance: dict[str, Any],
  tell: Tell = lambda progress: None,
  compile_repeats: int = 1,
) -> TrialRecord:
  """Runs a trial under an entered monitor and returns its record.

  Args:
    trial: The config.
    varied: The values of the trial that its sweep varies, for the record.
    monitor: Entered; waits for the wing's arrays; used for this trial only.
    cache: Programs of earlier trials of this process, by spec; those of this
      trial are added.
    folder: The run folder; checkpoint and timelines go under it.
    provenance: Versions and machine of this process, for the record.
    tell: Called with how far the trial is.
    compile_repeats: How often executables that no earlier trial of this
      process compiled are compiled, each time from nothing.
  """
  name, started = trial_id(trial), read_clocks()
  wing = wing_of(trial.framework)

  tell(Progress(phase="setup"))
  placed = monitor.measure("setup", _place_data, wing, trial)
  spec = placed.spec
  tell(Progress(phase="idle"))
  monitor.measure("idle", time.sleep, trial.idle_seconds)
  tell(Progress(phase="compile"))
  cached = cache.get(spec)
  programs = _compile(wing, spec, cached, monitor, compile_repeats)
  state = monitor.measure("setup", wing.start, placed, _backbone(trial, folder))
  parameters = wing.count_parameters(state)
  tell(Progress(phase="warmup"))
  seen = _seen(trial, wing, programs, state, placed, monitor, tell)
  copy = wing.copy(state)  # training may use up what it is given
  monitor.measure("warmup", _warm_up, trial, wing, programs, copy, seen)
  state, results, waited = _train(
    trial, wing, programs, state, seen, monitor, tell
  )
  peak = wing.peak_memory_bytes(programs, placed)
  tell(Progress(phase="test", accuracy=results[-1].accuracy))
  test = _test(trial, wing, programs, state, placed, monitor)
  tell(Progress(phase="infer", accuracy=results[-1].accuracy))
  inferred = monitor.measure("infer", _infer, wing, programs, state, placed)
  tell(Progress(phase="checkpoint", accuracy=results[-1].accuracy))
  saved = weights.folder_of(name)
  monitor.measure("checkpoint", wing.save, folder / saved, state)

  windows = monitor.windows()
  timeline = folder / "timelines" / f"{name}.parquet"
  times, devices = span(started, read_clocks()), billing.devices_of(trial)
  timelines.write(timeline, monitor.timeline().chunks(), windows, times)
  compiled = cached or _compiled(wing, spec, programs, windows)
  cache[spec] = compiled
  infer = accounting.total(accounting.of_phase(windows, "infer")).joules
  return accounting.record(
    trial,
    varied,
    results,
    windows,
    dataclasses.replace(compiled.compilation, cache_hit=cached is not None),
    **times,
    wall_seconds=time.monotonic() - started.monotonic_seconds,
    warnings=_warnings(monitor, windows, devices),
    data_wait_seconds=waited,
    validation_examples=placed.examples.get("validation", 0),
    test_examples=placed.examples["test"],
    **test,
    infer_examples=inferred,
    infer_joules_per_example=None if infer is None else infer / inferred,
    meter=monitor.describe(),
    flops_per_step=compiled.flops_per_step,
    parameters=parameters,
    pretrained=_pretrained(trial),
    peak_memory_bytes=peak,
    numerics=wing.numerics(placed),
    checkpoint=str(saved),
    provenance=provenance | {"devices": [d.describe() for d in devices]},
  )


def _compile(
  wing: Wing,
  spec: Hashable,
  cached: Compiled | None,
  monitor: Monitor,
  times: int,
) -> Any:
  """Returns the programs of a spec, compiled so often unless cached."""
  programs = monitor.measure("compile", _programs, wing, spec, cached)
  for _ in range(times - 1 if cached is None else 0):
    programs = None  # so that no two lie in memory
    programs = monitor.measure(REPEATED, wing.compile_programs, spec)
  return programs


def _seen(
  trial: Trial,
  wing: Wing,
  programs: Any,
  state: Any,
  placed: Placed,
  monitor: Monitor,
  tell: Tell,
) -> Placed:
  """Returns what training and its evaluations see: data, or their features."""
  if trial.transfer.features != "once":
    return placed
  split = deciding_split(trial)
  monitor.measure("warmup", wing.evaluate, programs, state, placed, split)
  tell(Progress(phase=accounting.FEATURES))
  return monitor.measure(
    accounting.FEATURES, wing.on_features, programs, state, placed, split
  )


def _test(
  trial: Trial,
  wing: Wing,
  programs: Any,
  state: Any,
  placed: Placed,
  monitor: Monitor,
) -> dict[str, Any]:
  """Evaluates the test set once; nothing where it decided in training."""
  if deciding_split(trial) == "test":
    return {}
  evaluate = monitor.measured("test", steps=placed.passes["test"])
  metrics = evaluate(wing.evaluate)(programs, state, placed, "test")
  return accounting.tested(
    float(metrics["accuracy"]),
    _by_task(trial, metrics),
    _independent_examples(trial, placed),
  )


def _train(
  trial: Trial,
  wing: Wing,
  programs: Any,
  state: Any,
  placed: Placed,
  monitor: Monitor,
  tell: Tell,
) -> tuple[Any, list[EvalResult], float]:
  """Trains and evaluates in turn until the trial is over.

  Returns the state, the result of each evaluation, and the seconds that the
  devices waited for data.
  """
  steps = trial.evaluate_every_examples // trial.batch_size
  results, loss, waits = [], math.nan, []
  split = deciding_split(trial)
  # Equal steps, whose rhythm a power sensor might be in resonance with.
  train = monitor.measured("train", steps=steps)(wing.train)
  evaluate = monitor.measured("eval", steps=placed.passes[split])(wing.evaluate)
  for segment in range(trial.budget_examples // (steps * trial.batch_size) + 1):
    if segment > 0:
      state, loss, waited = train(programs, state, placed, segment - 1)
      waits.append(waited)
    metrics = evaluate(programs, state, placed, split)
    result = EvalResult(
      examples=segment * steps * trial.batch_size,
      steps=segment * steps,
      train_loss=float(loss),
      loss=float(metrics["loss"]),
      accuracy=float(metrics["accuracy"]),
      accuracies=_by_task(trial, metrics),
    )
    results.append(result)
    tell(
      Progress(
        phase="train",
        examples=result.examples,
        accuracy=result.accuracy,
        joules=monitor.joules_so_far("train"),
      )
    )
    if accounting.is_over(trial, results):
      break
  return state, results, math.fsum(waits)


def _backbone(trial: Trial, folder: pathlib.Path) -> pathlib.Path | None:
  """Finds the checkpoint to start from; None for random weights."""
  transfer = trial.transfer
  if transfer.init_from is not None:
    return folder / weights.folder_of(trial_id(transfer.init_from))
  return pathlib.Path(transfer.weights) if transfer.weights else None


def _pretrained(trial: Trial) -> dict[str, Any] | None:
  """Describes imported weights for the record; None where there are none."""
  path = trial.transfer.weights
  return weights.origin(pathlib.Path(path)) if path else None


def _place_data(wing: Wing, trial: Trial) -> Placed:
  # Memory-mapped: a dataset that is streamed may be too large for memory.
  dataset = data.load(
    trial.data,
    mapped=trial.streaming != "never",
    validation_share=trial.validation_share,
  )
  return wing.place(trial, data.for_tasks(dataset, trial.tasks))


def _by_task(trial: Trial, metrics: dict[str, Any]) -> dict[str, float]:
  """Maps each of several tasks to its accuracy; empty for a single task."""
  if len(trial.tasks) == 1:
    return {}
  pairs = zip(trial.tasks, metrics["accuracies"], strict=True)
  return {task: float(accuracy) for task, accuracy in pairs}


def _independent_examples(trial: Trial, placed: Placed) -> list[int]:
  """Counts the test examples of each task; none for text.

  The places of a text depend on each other, so that its examples are fewer
  than the places and more than the passages.
  """
  if "+" in trial.data:  # an example has the label of its own dataset
    return [data.describe(task).test_examples for task in trial.tasks]
  facts = data.describe(trial.data)
  if facts.kind == "tokens" and any(
    facts.labels[task] == facts.vocabulary for task in trial.tasks
  ):
    return []
  return [placed.examples["test"]] * len(trial.tasks)


def _programs(wing: Wing, spec: Hashable, cached: Compiled | None) -> Any:
  """Returns the programs of a spec: the cached ones, or compiles them."""
  return wing.compile_programs(spec) if cached is None else cached.programs


def _compiled(
  wing: Wing, spec: Hashable, programs: Any, windows: Sequence[Window]
) -> Compiled:
  """Notes with new programs what compiling them cost in this trial."""
  first, *more = (
    CompileCost(seconds=window.seconds, joules=window.joules)
    for phase in ("compile", REPEATED)
    for window in accounting.of_phase(windows, phase)
  )
  cost = Compilation(
    seconds=first.seconds, joules=first.joules, repeats=(first, *more)
  )
  return Compiled(programs, cost, wing.flops_per_step(spec))


def _warm_up(
  trial: Trial, wing: Wing, programs: Any, state: Any, placed: Placed
) -> Any:
  """Trains and evaluates once on a state that is thrown away."""
  state, loss, _ = wing.train(programs, state, placed, 0)
  return loss, wing.evaluate(programs, state, placed, deciding_split(trial))


def _infer(wing: Wing, programs: Any, state: Any, placed: Placed) -> int:
  """Evaluates repeatedly for INFER_SECONDS; returns the examples seen."""
  began, passes = time.monotonic(), 0
  while time.monotonic() - began < INFER_SECONDS:
    wing.wait(wing.evaluate(programs, state, placed, "test"))
    passes += 1
  return passes * placed.examples["test"]


def _warnings(
  monitor: Monitor,
  windows: Sequence[Window],
  devices: Sequence[billing.Device],
) -> tuple[str, ...]:
  """Lists the meter's warnings, those of which boards are billed, and load.

  The last where other work had much of the cores while the trial trained.
  """
  load = mean_load(accounting.of_phase(windows, "train"))
  more = (*billing.cautions_of(devices), *load_warnings(load, usable_cores()))
  return (*monitor.warnings, *map(record_line, more))
