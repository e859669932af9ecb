"""`measure -- COMMAND`: a command under the meter, itself untouched.

The command must not notice: its streams are its own, signals sent to us are
handed on, and we exit with its code or die of its signal. The meter's thread is
started with those signals blocked, so that the main thread alone takes them.
"""

import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxpower.cli.measurement import Measurement, document, measurement
from jaxpower.cli.output import say
from jaxpower.cli.repeats import Repeats, repeats_document, repeats_table
from jaxpower.cli.table import broken, table
from jaxpower.power import MeterError, Monitor
from jaxpower.power.clocks import read_clocks
from jaxpower.wording import on_one_line, printable

PASSED_ON = (
  signal.SIGINT,
  signal.SIGTERM,
  signal.SIGHUP,
  signal.SIGQUIT,
  signal.SIGUSR1,
  signal.SIGUSR2,
)
# si_code of a signal from the kernel, as the terminal's Ctrl-C: it went to the
# whole process group, so the command has got it already.
SENT_BY_KERNEL = 0x80
POLL_SECONDS = 0.5  # between two looks for a command whose SIGCHLD was lost
# As shells have it: not found, and found but not to be run.
NOT_FOUND, NOT_EXECUTABLE = 127, 126


# With one of these somebody wants it all to end, not this run alone.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def run(
  command: Sequence[str],
  meter: str,
  gpus: Sequence[str] | None,
  interval: float | None,
  idle_seconds: float,
  json_path: Path | None,
  repeat: int = 1,
) -> int:
  """Runs the command, reports on stderr; exits as the command did.

  With `repeat` it runs so often, until a run fails or a signal ends it.
  """
  if json_path is not None:
    _check_writable(json_path)
  if not hasattr(signal, "sigtimedwait"):
    raise MeterError("measure needs Linux", "use Monitor in Python")
  monitor = Monitor(meter, gpus=gpus, interval_seconds=interval)
  # Blocked here, before the sampler's thread starts, so that it inherits the
  # mask; the command gets the original one.
  handed_on = {*PASSED_ON, signal.SIGCHLD}
  mask = signal.pthread_sigmask(signal.SIG_BLOCK, handed_on)
  runs: list[Measurement] = []
  status, ended = 0, False
  try:
    with monitor:
      if idle_seconds:
        _measure_idle(monitor, idle_seconds)
      while len(runs) < repeat and status == 0 and not ended:
        try:
          measured, status, ended = _run_once(command, monitor, mask)
        except OSError as error:
          return _report_not_started(command[0], error)
        runs.append(measured)
        monitor.forget()  # or every repeat would search all before it
    if repeat == 1:
      _report(table(runs[0]), document(runs[0]), json_path)
    else:
      repeats = Repeats(repeat, tuple(runs))
      _report(repeats_table(repeats), repeats_document(repeats), json_path)
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
  return _exit_like(status)


def _measure_idle(monitor: Monitor, seconds: float) -> None:
  """Measures idle power; a model's is what it assumes, and takes no time."""
  described = monitor.describe()["domains"]
  modelled = {
    entry["domain"]: entry["assumptions"]
    for entry in described
    if entry["estimated"] and "assumptions" in entry
  }
  if len(modelled) < len(described):
    monitor.measure_idle(seconds)
    return
  for domain, assumed in modelled.items():
    watts = assumed["idle_watts_per_core"] * assumed["cores"]
    monitor.idle_watts[domain] = watts


def _run_once(
  command: Sequence[str], monitor: Monitor, mask: set[int]
) -> tuple[Measurement, int, bool]:
  """Runs the command in a window, with this signal mask.

  Returns its measurement, its wait status, and whether a signal came that ends
  what it is sent to. Raises OSError if it cannot be started.
  """
  started = read_clocks()
  with monitor.window("command") as handle:
    pid = os.posix_spawnp(
      command[0],
      list(command),
      os.environ,
      setsigmask=mask,
      setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
    )
    status, usage, ended = _wait_for(pid, {*PASSED_ON, signal.SIGCHLD})
  window = handle.result()
  measured = measurement(command, status, started, window, monitor, usage)
  return measured, status, ended


def _check_writable(path: Path) -> None:
  """Raises MeterError before the command runs, not after hours of it."""
  if path.is_dir() or not path.parent.is_dir():
    raise MeterError(f"cannot write {path}", "name a file in a folder")
  if not os.access(path if path.exists() else path.parent, os.W_OK):
    raise MeterError(f"cannot write {path}", "check its permissions")


def _report_not_started(name: str, error: OSError) -> int:
  reason = error.strerror or str(error)
  line = on_one_line(f"python -m jaxpower measure: {name}: {reason}")
  print(line, file=sys.stderr)
  not_found = isinstance(error, FileNotFoundError)
  return NOT_FOUND if not_found else NOT_EXECUTABLE


def _wait_for(
  pid: int, signals: set[signal.Signals]
) -> tuple[int, resource.struct_rusage, bool]:
  """Hands signals on until the command ends.

  Returns its wait status, its usage, and whether one of ENDING came.
  """
  ending = False
  while True:
    info = signal.sigtimedwait(signals, POLL_SECONDS)
    ending = ending or (info is not None and info.si_signo in ENDING)
    ended, status, usage = os.wait4(pid, os.WNOHANG)
    if ended:
      return status, usage, ending
    if info is None or info.si_signo == signal.SIGCHLD:
      continue
    if info.si_code != SENT_BY_KERNEL:
      os.kill(pid, info.si_signo)


def _report(text: str, facts: dict[str, Any], json_path: Path | None) -> None:
  text = printable(text)
  if sys.stderr.isatty():
    text = broken(text, shutil.get_terminal_size().columns)
  say(text)
  if json_path is None:
    return
  try:
    json_path.write_text(json.dumps(facts, indent=1) + "\n")
  except OSError as error:
    say(f"jaxpower: {json_path}: {error.strerror}")


def _exit_like(status: int) -> int:
  """Returns the command's exit code, or dies of the signal that ended it."""
  if not os.WIFSIGNALED(status):
    return os.WEXITSTATUS(status)
  number = os.WTERMSIG(status)
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the command's is enough
  if number not in (signal.SIGKILL, signal.SIGSTOP):
    signal.signal(number, signal.SIG_DFL)
  sys.stdout.flush()
  os.kill(os.getpid(), number)
  return 128 + number
