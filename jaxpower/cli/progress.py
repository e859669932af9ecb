"""Shows a sweep while it runs.

On a terminal or in a notebook the running trials are live, a line each;
elsewhere (a log file, CI) each trial is a line when it ends.
"""

import os
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console

from jaxpower import forecast
from jaxpower.cli.live import (
  Running,
  Sum,
  budget_of,
  cheapest,
  counted,
  ended_line,
  lines,
  sum_line,
  time_left,
)
from jaxpower.cli.report import unreadable
from jaxpower.cli.surface import surface_on
from jaxpower.config import COMMAND, Trial, trial_id
from jaxpower.machine import look, unused_gpus
from jaxpower.messages import Progress, Ready
from jaxpower.records import TrialRecord
from jaxpower.sweep import Plan
from jaxpower.wording import setting

BOARD = ", index "  # in a GPU's description, after its model (power.sources)
ROWS_LEFT = 2  # of a terminal, for the sweep's own line and the cursor


class Display:
  """Shows the trials of a plan on a console; a context manager.

  What is drawn is made from values that are replaced and never changed, since
  a thread may draw at any time.
  """

  def __init__(self, plan: Plan, console: Console):
    self._surface = surface_on(console)
    self._estimated = False
    self._running: Mapping[int, Running] = {}  # by number
    self._prepared: frozenset[int] = frozenset()  # settings that have run
    self._follow(plan)

  def _follow(self, plan: Plan) -> None:
    """Takes the trials and records of a plan for those of the sweep."""
    self._plan = plan
    self._recorded = dict(plan.recorded)
    self._left = plan.ids_left
    self._settings = settings_of(plan)
    self._take_in()

  def _take_in(self) -> None:
    """Judges anew what trials cost, where a trial has ended."""
    own = [r for n, r in self._recorded.items() if n in self._settings.numbers]
    tried = [r for r in own if r.trial_id not in self._plan.pretrainings]
    spent = [forecast.joules_of(record) for record in own]
    known = [joules for joules in spent if joules is not None]
    total = len(self._plan.trials) - len(self._plan.unfit)
    self._forecast = forecast.forecast(self._settings, own)
    self._sum = Sum(
      done=total - len(self._left),
      total=total,
      spent=sum(known) if len(known) == len(spent) else None,
      cheapest=cheapest(tried),
      estimated=self._estimated or any(record.estimated for record in own),
    )
    self._wait()

  def _wait(self) -> None:
    """Adds up what the trials that have not begun will cost."""
    running = {self._plan.ids[number - 1] for number in self._running}
    self._waiting = self._forecast.together(
      self._left - running, self._prepared
    )

  def __enter__(self) -> "Display":
    self._surface.start(self.draw)
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self._surface.stop()

  def greet(self, ready: Ready, plan: Plan) -> None:
    """Prints the devices, what is metered, and the warnings before a sweep.

    `plan` is the one that is run: another run may have written records since,
    and what this machine cannot run is left out.
    """
    domains = counted(
      d["description"].partition(BOARD)[0]
      + (" (estimated)" if d["estimated"] else "")
      for d in ready.meter["domains"]
      if d["counted"]
    )
    self._estimated = self._estimated or ready.meter["estimated"]
    self._follow(plan)
    if ready.platform == COMMAND:  # on which GPUs, its processes will tell
      self.show(f"running commands; metering {domains}")
    else:
      self._say_devices(ready, domains)
    for warning in ready.warnings:
      self.tell(warning)
    for problem in self._plan.unusable.values():
      self.tell(f"{problem}; that trial is run again")
    for line in unreadable(self._plan.folder, self._plan.rejected):
      self.tell(line)

  def _say_devices(self, ready: Ready, domains: str) -> None:
    """Prints on what trials train, and which GPUs are not used, and why."""
    left, all_here = self._plan.left, ready.devices
    used = max((t.devices or all_here for t in left), default=all_here)
    number = f"{used} of {all_here}" if used < all_here else str(all_here)
    own = (
      "; of the GPUs those that a trial trains on"
      if used < all_here and ready.platform != "cpu"
      else ""
    )
    self.show(
      f"training on {number} x {ready.device_kind}; metering {domains}{own}"
    )
    framework = left[0].framework if left else "jax"
    unused = unused_gpus(ready.platform, framework, used, look(), os.environ)
    if unused is not None:
      self.show(
        f"warning: {unused}" if ready.platform == "cpu" else str(unused)
      )

  def watch(
    self, index: int, trial: Trial, news: Progress | TrialRecord
  ) -> None:
    """Takes in how far a trial is, or prints how one ended."""
    if isinstance(news, TrialRecord):
      self._ended(index, trial, news)
      return
    before = self._running.get(index)
    running = before or self._begun(index, trial)
    self._running = {**self._running, index: running.heard(news)}
    if before is None:
      self._wait()
    self._surface.refresh()

  def tell(self, line: str) -> None:
    """Prints a line that whoever runs the sweep should read at once."""
    self.show(f"warning: {line}")

  def show(self, line: str) -> None:
    """Prints a line above what is live."""
    self._surface.say(line)

  def draw(self, columns: int, rows: int) -> list[str]:
    """Makes the lines that are live: each running trial, then the sweep."""
    running, now = self._running, time.monotonic()
    if not running:
      return []
    expected = [
      (each, self._forecast.of(self._plan.ids[n - 1], each.prepared).seconds)
      for n, each in running.items()
    ]
    left = time_left(self._waiting, expected, now)
    told = lines(running, self._estimated, columns, max(rows - ROWS_LEFT, 1))
    return [*told, sum_line(self._sum, left, columns)]

  def _begun(self, index: int, trial: Trial) -> Running:
    """Notes that a trial runs, and that its setting is prepared by it."""
    setting = self._settings.numbers[self._plan.ids[index - 1]]
    prepared, self._prepared = self._prepared, self._prepared | {setting}
    return Running(
      self._place(index),
      trial_name(self._plan, trial),
      budget_of(trial),
      time.monotonic(),
      setting in prepared,
    )

  def _ended(self, index: int, trial: Trial, record: TrialRecord) -> None:
    """Prints how a trial ended, and judges anew what the others will cost."""
    running = {n: r for n, r in self._running.items() if n != index}
    self._running = running
    self._recorded[record.trial_id] = record
    self._left -= {record.trial_id}
    self._take_in()
    name = trial_name(self._plan, trial)
    line = ended_line(
      self._place(index), name, record, self._estimated, self._surface.columns
    )
    self.show(line)

  def _place(self, index: int) -> str:
    return f"trial {index:>2} of {len(self._plan.trials)}"


def trial_name(plan: Plan, trial: Trial) -> str:
  """Names a trial: "batch 64, seed 1", "pretraining imu, seed 1"."""
  if plan.pretrainings and trial_id(trial) in plan.pretrainings:
    return f"pretraining {trial.data}, seed {trial.seed}"
  return setting(plan.varied(trial) | {"seed": trial.seed})


def settings_of(plan: Plan) -> forecast.Settings:
  """Finds the settings of the trials of a plan."""
  trials = dict(zip(plan.ids, plan.trials, strict=True))
  varied = {name: plan.varied(trial) for name, trial in trials.items()}
  return forecast.settings_of(trials, varied, plan.pretrainings)
