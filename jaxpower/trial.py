"""Runs one trial: its phases in order, each in a window of the meter.

setup -> idle -> compile -> setup -> warmup -> eval -> {train -> eval}* until
target or budget -> test -> infer -> checkpoint. With `transfer.features` "once"
a features phase comes before warm-up; idle is left out where it was measured
less than a minute ago (`jaxpower.idle`). Training and meter meet only here. A
framework returns from a call before the work is done, so each window waits for
the arrays that go in and for those that come out (`Monitor.measure`).

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
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxpower import accounting, billing, compiling, data, resume, weights
from jaxpower.accounting import EvalResult
from jaxpower.attempts import INTERRUPTED, Journal
from jaxpower.compiling import Compiled
from jaxpower.config import Sweep, Trial, trial_id
from jaxpower.folder import timelines
from jaxpower.idle import Idle
from jaxpower.messages import Progress
from jaxpower.power import Monitor, Window
from jaxpower.power.clocks import read_clocks, span
from jaxpower.power.cpu_time import usable_cores
from jaxpower.power.load import load_warnings, mean_load
from jaxpower.power.reading import record_line
from jaxpower.provenance import GPU_PACKAGES, arithmetic_environment
from jaxpower.records import (
  TrialRecord,
  deciding_split,
)
from jaxpower.resume import Checkpoints, Part
from jaxpower.wings import Placed, Wing, wing_of

# Inference is repeated at least so many periods of the slowest counter; chosen.
# One of 100 ms is off by 7 % on average in a window of 0.1 s, by 1 % in one of
# 0.5 s (benchmarks/meter_accuracy.json), and one pass over a small test set is
# shorter still. CPU time and RAPL have finer ones; a sensor whose period is not
# known is taken for the slowest.
INFER_PERIODS = 5
SLOWEST_SECONDS, QUICKEST_SECONDS = 0.1, 0.02

SECONDS_PER_MINUTE = 60

Tell = Callable[[Progress], None]
Stop = Callable[[], bool]


class Stopped(Exception):  # noqa: N818, no error: somebody asked for it
  """A trial ended before it had a record because it was asked to.

  What it had trained is in its newest checkpoint.
  """


@dataclasses.dataclass(frozen=True)
class Context:
  """What all phases of a trial share.

  Attributes:
    trial: The config.
    wing: Its framework.
    folder: The run folder.
    monitor: Entered.
    journal: Entered: the trial's attempt.
    checkpoints: Those inside the trial.
    checkpoint_seconds: Between two of them; 0: only where it is stopped.
    tell: Called with how far the trial is.
    stop: Asked where the trial can end.
    idle: The idle power, where it need not be measured.
  """

  trial: Trial
  wing: Wing
  folder: pathlib.Path
  monitor: Monitor
  journal: Journal
  checkpoints: Checkpoints
  checkpoint_seconds: float
  tell: Tell
  stop: Stop
  idle: Idle | None = None

  def say(self, phase: str, accuracy: float | None = None) -> None:
    """Tells that a phase begins."""
    self.journal.phase(phase)
    self.tell(Progress(phase=phase, accuracy=accuracy))

  def prepare(self, phase: str) -> None:
    """Tells that a phase before training begins; raises Stopped if it may."""
    if self.stop():
      raise Stopped
    self.say(phase)


def run(
  trial: Trial,
  varied: dict[str, Any],
  *,
  monitor: Monitor,
  cache: dict[Any, Compiled],
  folder: pathlib.Path,
  provenance: dict[str, Any],
  tell: Tell = lambda progress: None,
  stop: Stop = lambda: False,
  compile_repeats: int = 1,
  checkpoint_minutes: float = Sweep.checkpoint_minutes,
  idle: Idle | None = None,
) -> TrialRecord:
  """Runs a trial under an entered monitor and returns its record.

  It goes on from the newest whole checkpoint that an earlier attempt left.

  Args:
    trial: The config.
    varied: The values of the trial that its sweep varies, for the record.
    monitor: Entered; waits for the wing's arrays; used for this trial only.
    cache: Programs of earlier trials of this process, by spec; those of this
      trial are added.
    folder: The run folder; ledger, checkpoints and timelines go under it.
    provenance: Versions and machine of this process, for the record.
    tell: Called with how far the trial is.
    stop: Asked before each phase and at each look until training is over.
    compile_repeats: How often executables that no earlier trial of this
      process compiled are compiled, each time from nothing.
    checkpoint_minutes: Between two checkpoints inside the trial; 0: none but
      where it is stopped.
    idle: What an earlier trial of this process measured; None: none did.

  Raises Stopped where `stop` was true: at a look, after a checkpoint.
  """
  if idle is not None and not idle.serves(trial, time.monotonic()):
    idle = None
  name, wing = trial_id(trial), wing_of(trial.framework)
  setting = _setting(trial, monitor, provenance)

  def attempt(journal: Journal) -> tuple[TrialRecord, Part]:
    context = Context(
      trial,
      wing,
      folder,
      monitor,
      journal,
      Checkpoints(folder, name, trial.seed, setting, wing.save),
      checkpoint_minutes * SECONDS_PER_MINUTE,
      tell,
      stop,
      idle,
    )
    return _run(context, varied, cache, provenance, compile_repeats)

  return journaled(trial, folder, monitor, attempt)


def journaled(
  trial: Trial,
  folder: pathlib.Path,
  monitor: Monitor,
  attempt: Callable[[Journal], tuple[TrialRecord, Part]],
) -> TrialRecord:
  """Makes an attempt at a trial that the ledger of a run folder tells of.

  `attempt` is given its journal, and returns the record and what attempts
  before it had done. The record then has all of them. Raises what it does.
  """
  joules = monitor.joules_so_far
  with Journal(folder, trial_id(trial), trial.framework, joules) as journal:
    try:
      record, earlier = attempt(journal)
    except Stopped:
      journal.end(INTERRUPTED)
      raise
    journal.end(record.status)
  return dataclasses.replace(
    record,
    **accounting.attempted(journal.before, journal.now, earlier.windows),
    warnings=(*record.warnings, *journal.problems),
  )


@dataclasses.dataclass(frozen=True)
class Prepared:
  """A trial that is ready to train.

  Attributes:
    placed: Its data.
    cached: What an earlier trial had compiled; None where it compiled itself.
    programs: Those of its spec.
    state: Initial, or that of a checkpoint.
    parameters: How many it trains or keeps.
    earlier: What earlier attempts had done.
    seen: What training and its evaluations see: data, or their features.
  """

  placed: Placed
  cached: Compiled | None
  programs: Any
  state: Any
  parameters: int
  earlier: Part
  seen: Placed


def _prepare(
  context: Context, cache: dict[Any, Compiled], compile_repeats: int
) -> Prepared:
  """Goes through the phases before training."""
  trial, wing, monitor = context.trial, context.wing, context.monitor
  context.prepare("setup")
  placed = monitor.measure("setup", _place_data, wing, trial)
  if context.idle is None:
    context.prepare("idle")
    monitor.measure("idle", time.sleep, trial.idle_seconds)
  context.prepare("compile")
  cached = cache.get(placed.spec)
  programs = compiling.compiled(
    wing, placed.spec, cached, monitor, compile_repeats
  )
  backbone = _backbone(trial, context.folder)
  state = monitor.measure("setup", wing.start, placed, backbone)
  parameters = wing.count_parameters(state)
  state, earlier = _taken_up(context, state)
  context.prepare("warmup")
  seen = _seen(context, programs, state, placed)
  copy = wing.copy(state)  # training may use up what it is given
  monitor.measure("warmup", _warm_up, trial, wing, programs, copy, seen)
  return Prepared(placed, cached, programs, state, parameters, earlier, seen)


def _run(
  context: Context,
  varied: dict[str, Any],
  cache: dict[Any, Compiled],
  provenance: dict[str, Any],
  compile_repeats: int,
) -> tuple[TrialRecord, Part]:
  """Goes through the phases of a trial.

  Returns its record without what is in the ledger, and what earlier attempts
  had done of it.
  """
  trial, wing, monitor = context.trial, context.wing, context.monitor
  started = read_clocks()
  prepared = _prepare(context, cache, compile_repeats)
  placed, programs = prepared.placed, prepared.programs
  state, done = _train(context, prepared)
  peak = wing.peak_memory_bytes(programs, placed)
  last = done.results[-1].accuracy
  context.say("test", last)
  test = _test(context, programs, state, placed)
  context.say("infer", last)
  inferred = monitor.measure(
    "infer", _infer, wing, programs, state, placed, _infer_seconds(monitor)
  )
  context.say("checkpoint", last)
  saved = weights.folder_of(trial_id(trial))
  monitor.measure("checkpoint", wing.save, context.folder / saved, state)

  compiled = prepared.cached or compiling.noted(
    wing, placed.spec, programs, monitor
  )
  own, before = monitor.windows(), prepared.earlier.all_windows()
  windows = _in_order(own, before)
  timeline = context.folder / "timelines" / f"{trial_id(trial)}.parquet"
  times, devices = span(started, read_clocks()), billing.devices_of(trial)
  timelines.write(timeline, monitor.timeline().chunks(), windows, times)
  cache[placed.spec] = compiled
  took = time.monotonic() - started.monotonic_seconds
  warnings = (
    *prepared.earlier.warnings,
    *_warnings(monitor, windows, devices),
    *data.describe(trial.data).cautions,
  )
  record = accounting.record(
    trial,
    varied,
    done.results,
    windows,
    dataclasses.replace(
      compiled.compilation, cache_hit=prepared.cached is not None
    ),
    **times,
    wall_seconds=took + accounting.total(before).seconds,
    warnings=tuple(dict.fromkeys(warnings)),
    data_wait_seconds=math.fsum(done.waits),
    batch_size_per_device=trial.batch_size // len(devices),
    validation_examples=placed.examples.get("validation", 0),
    test_examples=placed.examples["test"],
    **test,
    **accounting.inferred(windows, inferred),
    joules_by_host=accounting.by_host(
      windows, [*(provenance.get("hosts") or {})]
    ),
    **_idle_before(context.idle, started.monotonic_seconds),
    meter=monitor.describe(),
    flops_per_step=compiled.flops_per_step,
    parameters=prepared.parameters,
    pretrained=_pretrained(trial),
    peak_memory_bytes=peak,
    numerics=wing.numerics(placed) | _cores(devices),
    checkpoint=str(saved),
    provenance=provenance | {"devices": [d.describe() for d in devices]},
  )
  return record, prepared.earlier


def _idle_before(idle: Idle | None, began_seconds: float) -> dict[str, Any]:
  """Returns the idle power that an earlier trial measured, for the record."""
  if idle is None:
    return {}
  ago = began_seconds - idle.monotonic_seconds
  return {"idle_watts": idle.watts, "idle_seconds_ago": ago}


def _taken_up(context: Context, state: Any) -> tuple[Any, Part]:
  """Returns the state of the newest usable checkpoint and what was done by it.

  Without one: the state that is given, and nothing done.
  """
  for path, part in context.checkpoints.found():
    if isinstance(part, Part):
      restored = context.monitor.measure(
        "setup", context.wing.restore, path, state
      )
      context.checkpoints.taken_up(path)
      context.journal.resumes(part.results[-1].examples)
      return restored, part
    context.journal.note("checkpoint_not_used", reason=part)
  return state, Part()


def _seen(
  context: Context, programs: Any, state: Any, placed: Placed
) -> Placed:
  """Returns what training and its evaluations see: data, or their features."""
  trial, wing, monitor = context.trial, context.wing, context.monitor
  if trial.transfer.features != "once":
    return placed
  split = deciding_split(trial)
  monitor.measure("warmup", wing.evaluate, programs, state, placed, split)
  context.prepare(accounting.FEATURES)
  return monitor.measure(
    accounting.FEATURES, wing.on_features, programs, state, placed, split
  )


def _test(
  context: Context, programs: Any, state: Any, placed: Placed
) -> dict[str, Any]:
  """Evaluates the test set once; nothing where it decided in training."""
  trial = context.trial
  if deciding_split(trial) == "test":
    return {}
  evaluate = context.monitor.measured("test", steps=placed.passes["test"])
  metrics = evaluate(context.wing.evaluate)(programs, state, placed, "test")
  return accounting.tested(
    float(metrics["accuracy"]),
    _by_task(trial, metrics),
    _independent_examples(trial, placed),
  )


def _train(context: Context, prepared: Prepared) -> tuple[Any, Part]:
  """Trains and evaluates in turn until the trial is over.

  Returns the state, and what was done with what earlier attempts had done; the
  windows are those of the earlier ones alone.
  """
  trial, monitor, wing = context.trial, context.monitor, context.wing
  programs, placed, state = prepared.programs, prepared.seen, prepared.state
  steps = trial.evaluate_every_examples // trial.batch_size
  segments = trial.budget_examples // (steps * trial.batch_size)
  split = deciding_split(trial)
  # Equal steps, whose rhythm a power sensor might be in resonance with.
  train = monitor.measured("train", steps=steps)(wing.train)
  evaluate = monitor.measured("eval", steps=placed.passes[split])(wing.evaluate)
  done, loss, saved = prepared.earlier, math.nan, time.monotonic()
  trained = 0.0  # seconds, of this attempt
  while not _is_over(trial, done, segments):
    segment, waits = len(done.results), done.waits
    if segment > 0:
      began = time.monotonic()
      state, loss, waited = train(programs, state, placed, segment - 1)
      waits, trained = (*waits, waited), trained + time.monotonic() - began
    metrics = evaluate(programs, state, placed, split)
    result = EvalResult(
      examples=segment * steps * trial.batch_size,
      steps=segment * steps,
      train_loss=float(loss),
      loss=float(metrics["loss"]),
      accuracy=float(metrics["accuracy"]),
      accuracies=_by_task(trial, metrics),
    )
    results = (*done.results, result)
    done = dataclasses.replace(done, results=results, waits=waits)
    _look(context, result, trained)
    if context.stop():
      _save(context, state, done)
      raise Stopped
    due = 0 < context.checkpoint_seconds <= time.monotonic() - saved
    if due and not _is_over(trial, done, segments):
      _save(context, state, done)
      saved = time.monotonic()
  return state, done


def _is_over(trial: Trial, done: Part, segments: int) -> bool:
  """Whether training is over, after the looks of `done`."""
  if not done.results:
    return False
  return len(done.results) > segments or accounting.is_over(trial, done.results)


def _look(context: Context, result: EvalResult, seconds: float) -> None:
  """Tells what a look at training saw, after so many seconds of training."""
  context.journal.look(result.examples, accuracy=result.accuracy)
  context.tell(
    Progress(
      phase="train",
      examples=result.examples,
      accuracy=result.accuracy,
      joules=context.monitor.joules_so_far("train"),
      seconds=seconds,
    )
  )


def _save(context: Context, state: Any, done: Part) -> None:
  """Writes a checkpoint inside the trial; where it cannot, the trial goes on.

  Done is with the windows of earlier attempts; this one's are added.
  """
  monitor, journal = context.monitor, context.journal
  own = tuple(w for w in monitor.windows() if w.name in resume.COUNTED)
  part = dataclasses.replace(
    done,
    windows={**done.windows, journal.now.attempt: own},
    warnings=tuple(dict.fromkeys((*done.warnings, *monitor.warnings))),
  )
  try:
    monitor.measure("checkpoint", context.checkpoints.save, state, part)
  except Exception as error:  # noqa: BLE001 - never ends the training
    reason = f"{type(error).__name__}: {error}"
    journal.note("checkpoint_not_written", reason=reason)
    journal.problems.append(f"a checkpoint could not be written: {reason}")
  else:
    journal.note("checkpoint")


def _cores(devices: Sequence[billing.Device]) -> dict[str, int]:
  """Returns how many cores a trial had, for the record; none on GPUs."""
  on_cpu = all(device.facts["platform"] == "cpu" for device in devices)
  return {"cores": usable_cores()} if on_cpu else {}


def _in_order(
  own: Sequence[Window], earlier: Sequence[Window]
) -> tuple[Window, ...]:
  """Puts the windows of earlier attempts after what came before training."""
  names = [window.name for window in own]
  after = ("eval", "train", "test", "infer")
  first = next((i for i, name in enumerate(names) if name in after), len(own))
  return (*own[:first], *earlier, *own[first:])


def _setting(
  trial: Trial, monitor: Monitor, provenance: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns what has to be as it was for a trial to go on in another process.

  The same arithmetic, to the bit, and joules of the same kind.
  """
  devices = wing_of(trial.framework).devices(trial)
  versions = provenance.get("versions", {})
  names = ("jax", "jaxlib", "flax", "optax", "numpy", "torch")
  return {
    "versions": {name: versions.get(name) for name in names}
    | {name: versions[name] for name in GPU_PACKAGES if name in versions},
    "environment": arithmetic_environment(provenance),
    # With the cores that a batch is divided over, where it is.
    "devices": [
      [d["platform"], d["kind"], *([d["cores"]] if "cores" in d else [])]
      for d in devices
    ],
    "meter": [[d.kind, d.method] for d in monitor.domains if d.counted],
  }


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
  found = dataset.facts.fingerprint
  if trial.data_fingerprint not in ("", found):
    raise data.DataError(
      f"{trial.data} has other arrays than when the sweep was planned; a"
      " function has to return the same ones each time (seed what it draws)"
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


def _warm_up(
  trial: Trial, wing: Wing, programs: Any, state: Any, placed: Placed
) -> Any:
  """Trains and evaluates once on a state that is thrown away."""
  state, loss, _ = wing.train(programs, state, placed, 0)
  return loss, wing.evaluate(programs, state, placed, deciding_split(trial))


def _infer_seconds(monitor: Monitor) -> float:
  """Returns how long inference is measured, by the sensors of the meter."""
  periods = [QUICKEST_SECONDS]
  for domain in monitor.describe()["domains"]:
    if domain["counted"] and domain["kind"] == "gpu":
      period = (domain.get("sensor") or {}).get("counter_period_seconds")
      periods.append(period or SLOWEST_SECONDS)
  return INFER_PERIODS * max(periods)


def _infer(
  wing: Wing, programs: Any, state: Any, placed: Placed, seconds: float
) -> int:
  """Evaluates repeatedly for so long; returns the examples seen."""
  began, passes = time.monotonic(), 0
  while time.monotonic() - began < seconds:
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
