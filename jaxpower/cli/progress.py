"""Shows a sweep before and while it runs.

On a terminal the running trials are live, a line each; elsewhere (a log file,
CI) each trial is a line when it ends, since a live line would fill the file.
"""

import contextlib
import os
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jaxpower.cli.report import unreadable
from jaxpower.config import COMMAND, Trial, trial_id
from jaxpower.machine import look, unused_gpus
from jaxpower.messages import Progress, Ready
from jaxpower.records import TrialRecord
from jaxpower.sweep import Plan
from jaxpower.wording import (
  duration,
  energy,
  number,
  percent,
  printable,
  setting,
)


class Display:
  """Shows the trials of a plan on a console; a context manager."""

  def __init__(self, plan: Plan, console: Console):
    self._plan = plan
    self._console = console
    self._live = Live(console=console, transient=True, refresh_per_second=8)
    self._began = time.monotonic()
    self._done = 0
    self._estimated = False
    self._names: dict[int, str] = {}  # of the running trials, by number
    self._texts: dict[int, str] = {}  # how far each of them is

  def __enter__(self) -> "Display":
    if self._console.is_terminal:
      with contextlib.suppress(OSError):  # a terminal that is gone
        self._live.start()
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    with contextlib.suppress(OSError):
      self._live.stop()

  def greet(self, ready: Ready) -> None:
    """Prints the devices, what is metered, and the warnings before a sweep."""
    domains = ", ".join(
      d["description"] + (" (estimated)" if d["estimated"] else "")
      for d in ready.meter["domains"]
      if d["counted"]
    )
    if ready.meter["estimated"]:
      self._estimated = True
    if ready.platform == COMMAND:  # on which GPUs, its processes will tell
      self._say(f"running commands; metering {domains}")
    else:
      self._say_devices(ready, domains)
    for warning in ready.warnings:
      self._say(f"warning: {warning}")
    for problem in self._plan.unusable.values():
      self._say(f"warning: {problem}; that trial is run again")
    for line in unreadable(self._plan.folder, self._plan.rejected):
      self._say(f"warning: {line}")

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
    self._say(
      f"training on {number} x {ready.device_kind}; metering {domains}{own}"
    )
    framework = left[0].framework if left else "jax"
    unused = unused_gpus(ready.platform, framework, used, look(), os.environ)
    if unused is not None:
      self._say(
        f"warning: {unused}" if ready.platform == "cpu" else str(unused)
      )

  def watch(
    self, index: int, trial: Trial, news: Progress | TrialRecord
  ) -> None:
    """Shows how far the running trials are, or prints how one ended."""
    if isinstance(news, TrialRecord):
      self._done += 1
      self._say(self._line(index, trial, _outcome(news, self._estimated)))
      self._texts.pop(index, None)
      self._names.pop(index, None)
    elif self._console.is_terminal:
      self._texts[index] = self._line(index, trial, self._running(news))
      *others, last = (self._texts[number] for number in sorted(self._texts))
      self._live.update(self._frame([*others, f"{last}   {self._time_left()}"]))

  def tell(self, line: str) -> None:
    """Prints a line that whoever runs the sweep should read at once."""
    self._say(f"warning: {line}")

  def show(self, line: str) -> None:
    """Prints a line of a command's output, above what is live."""
    self._say(line)

  def _say(self, text: str) -> None:
    self._console.print(
      printable(text), highlight=False, markup=False, soft_wrap=True
    )

  def _line(self, index: int, trial: Trial, text: str) -> str:
    place = f"trial {index:>2} of {len(self._plan.trials)}"
    if index not in self._names:  # naming it takes longer than all the rest
      self._names[index] = _trial_name(self._plan, trial)
    return f"{place}   {self._names[index]}   {text}"

  def _running(self, news: Progress) -> str:
    if news.accuracy is None:
      return news.phase
    text = f"{news.phase}   accuracy {percent(news.accuracy)}"
    if news.joules is not None:
      text += f"   {energy(news.joules, self._estimated)}"
    return text

  def _time_left(self) -> str:
    left = len(self._plan.left) - self._done
    if self._done:
      seconds = left * (time.monotonic() - self._began) / self._done
    elif self._plan.expected_seconds is not None:
      seconds = self._plan.expected_seconds / len(self._texts)
    else:
      return ""
    return f"{duration(seconds)} left"

  def _frame(self, texts: Sequence[str]) -> Table:
    total = len(self._plan.trials)
    done = total - len(self._plan.left) + self._done
    frame = Table.grid()
    for text in texts:
      frame.add_row(Text(printable(text.replace("\n", " "))))
    frame.add_row(ProgressBar(total=total, completed=done, width=40))
    return frame


def _trial_name(plan: Plan, trial: Trial) -> str:
  """Names a trial: "batch 64, seed 1", "pretraining imu, seed 1"."""
  if trial_id(trial) in plan.pretrainings:
    return f"pretraining {trial.data}, seed {trial.seed}"
  return setting(plan.varied(trial) | {"seed": trial.seed})


def _outcome(record: TrialRecord, estimated: bool) -> str:
  """Says how a trial ended: status, accuracy, joules and seconds."""
  if record.status == "failed":
    return f"failed: {record.error}"
  joules = record.train_joules
  spent = "joules unknown"
  if joules is not None:
    spent = energy(joules, estimated)
  accuracy = percent(record.final_accuracy or 0.0)
  seconds = number(record.train_seconds or 0.0)
  return f"{record.status} {accuracy}   {spent}   {seconds} s of training"


def outline(plan: Plan) -> str:
  """Lists the trials of a plan, and the time that running them would take."""
  left = {trial_id(trial) for trial in plan.left}
  lines = []
  for index, trial in enumerate(plan.trials, start=1):
    name = trial_id(trial)
    state = "to run" if name in left else plan.recorded[name].status
    lines.append(f"{index:>4}  {name}  {state:8}  {_trial_name(plan, trial)}")
  expected = plan.expected_seconds
  time_needed = (
    "expected time: known once a trial is recorded"
    if expected is None
    else f"expected time: {duration(expected)}"
  )
  recorded = len(plan.trials) - len(left)
  beyond = len(plan.order) - len(plan.trials)
  more = f", {beyond} more recorded beyond them" if beyond else ""
  return "\n".join(
    [
      f"{len(plan.trials)} trials in {plan.folder}: {recorded} recorded,"
      f" {len(left)} to run{more}; {time_needed}",
      *lines,
      *(f"{p}; that trial is run again" for p in plan.unusable.values()),
      *unreadable(plan.folder, plan.rejected),
    ]
  )
