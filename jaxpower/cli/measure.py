"""`measure -- COMMAND`: a command under the meter, itself untouched.

The command must not notice: its streams are its own, signals sent to us are
handed on, and we exit with its code or die of its signal. The meter's thread is
started with those signals blocked, so that the main thread alone takes them.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from jaxpower.cli.measurement import Measurement, document, measurement
from jaxpower.cli.output import say
from jaxpower.cli.table import table
from jaxpower.power import MeterError, Monitor
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


def run(
  command: Sequence[str],
  meter: str,
  gpus: Sequence[str] | None,
  interval: float | None,
  idle_seconds: float,
  json_path: Path | None,
) -> int:
  """Runs the command, reports on stderr; exits as the command did."""
  if json_path is not None:
    _check_writable(json_path)
  if not hasattr(signal, "sigtimedwait"):
    raise MeterError("measure needs Linux", "use Monitor in Python")
  monitor = Monitor(meter, gpus=gpus, interval_seconds=interval)
  # Blocked here, before the sampler's thread starts, so that it inherits the
  # mask; the command gets the original one.
  handed_on = {*PASSED_ON, signal.SIGCHLD}
  mask = signal.pthread_sigmask(signal.SIG_BLOCK, handed_on)
  try:
    with monitor:
      if idle_seconds:
        monitor.measure_idle(idle_seconds)
      started = time.time()
      with monitor.window("command") as handle:
        try:
          pid = os.posix_spawnp(
            command[0],
            list(command),
            os.environ,
            setsigmask=mask,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
          )
        except OSError as error:
          return _report_not_started(command[0], error)
        status, usage = _wait_for(pid, handed_on)
      window = handle.result()
    _report(
      measurement(command, status, started, window, monitor, usage), json_path
    )
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
  return _exit_like(status)


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
) -> tuple[int, resource.struct_rusage]:
  """Hands signals on until the command ends; its wait status and usage."""
  while True:
    info = signal.sigtimedwait(signals, POLL_SECONDS)
    ended, status, usage = os.wait4(pid, os.WNOHANG)
    if ended:
      return status, usage
    if info is None or info.si_signo == signal.SIGCHLD:
      continue
    if info.si_code != SENT_BY_KERNEL:
      os.kill(pid, info.si_signo)


def _report(measured: Measurement, json_path: Path | None) -> None:
  say(printable(table(measured)))
  if json_path is None:
    return
  try:
    json_path.write_text(json.dumps(document(measured), indent=1) + "\n")
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
