"""Runs trials in a process of their own, one worker at a time.

Why a process: the sweep's own process, perhaps a notebook's kernel, then
loads no framework and holds no GPU, and a trial that kills its process costs
one failed record and not the sweep.

Why one process for all trials of a framework: one for each would pay start,
import and compilation each time and share no executables.

Why two pipes and a command, not `multiprocessing`: its spawn imports the
user's script a second time, which a notebook or a script without a `__main__`
guard does not survive. What is sent is in `jaxpower.messages`. The worker's
inbox closes when the sweep's process ends, however it ends, and a closed inbox
ends the worker: none is left behind.

`Workers` and `Worker` are the sweep's end and import no framework; `main` and
`serve` are the other end, in the worker's process.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from jaxpower import provenance
from jaxpower.config import Trial
from jaxpower.messages import Done, Progress, Ready, Refused, Task
from jaxpower.power.clocks import Instant, read_clocks, span
from jaxpower.records import TrialRecord, identity

EXIT_SECONDS = 10.0  # for a worker to end by itself, then it is killed; chosen

COMMAND = "import sys; from jaxpower import worker; worker.main(sys.argv[1:])"


class WorkerError(Exception):
  """A worker cannot be started here: one line says why and the fix."""


# The sweep's end


class Workers:
  """Starts workers of several frameworks in turn; a context manager.

  At most one is alive: two would share the GPU's memory and its idle watts.
  """

  def __init__(self, meter: str):
    self._meter = meter
    self._framework: str | None = None
    self._worker: Worker | None = None
    self._open = contextlib.ExitStack()

  def __enter__(self) -> "Workers":
    return self

  def __exit__(self, *_: object) -> None:
    self._open.close()

  def of(self, framework: str) -> "Worker":
    """Returns the worker of a framework, after stopping that of another one.

    Raises WorkerError where it cannot be started.
    """
    if self._worker is None or self._framework != framework:
      self._worker = None
      self._open.close()
      worker = Worker(self._meter, framework)
      self._worker = self._open.enter_context(worker)
      self._framework = framework
    return self._worker


class Worker:
  """A child process that runs one trial at a time; a context manager.

  Raises WorkerError on entering when the machine or the meter refuses.
  """

  def __init__(self, meter: str, framework: str = "jax"):
    self._meter = meter
    self._framework = framework

  def __enter__(self) -> "Worker":
    self._start()
    return self

  def __exit__(self, *_: object) -> None:
    self._stop()

  @property
  def ready(self) -> Ready:
    """The devices and the meter of the worker."""
    return self._ready

  @property
  def pid(self) -> int:
    """The process id of the child."""
    return self._process.pid

  def run(
    self,
    trial: Trial,
    varied: dict[str, Any],
    folder: pathlib.Path,
    compile_repeats: int = 1,
  ) -> Iterator[Progress | Done]:
    """Runs a trial; yields its progress, and at last `Done` with its record.

    A worker that dies gives a failed record and is replaced at the next trial.
    """
    if self._process.poll() is not None:
      self._stop()
      self._start()
    started = read_clocks()
    try:
      self._inbox.send(Task(trial, varied, str(folder), compile_repeats))
      while not isinstance(message := self._outbox.recv(), Done):
        yield message
    except (EOFError, OSError):
      cause = self._cause_of_death()
      message = Done(failed_record(trial, varied, cause, started))
    yield message

  def terminate(self) -> None:
    """Ends the worker in the middle of a trial."""
    self._process.terminate()

  def _start(self) -> None:
    """Starts the process and waits until it is ready or refuses."""
    inbox, self._inbox = _pipe()
    self._outbox, outbox = _pipe()
    self._output = tempfile.TemporaryFile()  # noqa: SIM115, closed in _stop
    ends = [inbox.fileno(), outbox.fileno()]
    self._process = subprocess.Popen(
      [
        *(sys.executable, "-c", COMMAND),
        *(*map(str, ends), self._meter, self._framework),
      ],
      stdin=subprocess.DEVNULL,
      stdout=self._output,
      stderr=self._output,
      pass_fds=ends,
      env=environment(os.environ, self._framework),
    )
    # The child has its copies; with ours open its death would not be seen.
    inbox.close()
    outbox.close()
    try:
      answer = self._outbox.recv()
    except (EOFError, OSError):
      answer = Refused(f"the worker did not start: {self._last_line()}")
    if isinstance(answer, Refused):
      self._stop()
      raise WorkerError(answer.reason)
    switches = provenance.debug_switches(os.environ)
    left_out = tuple(
      f"{name}={value} is left out: trials run without a debugger's switches"
      for name, value in switches.items()
    )
    self._ready: Ready = dataclasses.replace(
      answer, warnings=left_out + answer.warnings
    )

  def _stop(self) -> None:
    """Closes the worker's inbox, which ends it, and kills it if it stays."""
    self._inbox.close()
    self._outbox.close()
    try:
      self._process.wait(EXIT_SECONDS)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    self._output.close()

  def _cause_of_death(self) -> str:
    """Says how the process ended: exit code or signal, and its last line."""
    code = self._process.wait()
    how = f"exit code {code}"
    if code < 0:
      how = f"signal {-code} ({signal.Signals(-code).name})"
    line = self._last_line()
    return f"the worker died with {how}" + (f": {line}" if line else "")

  def _last_line(self) -> str:
    """Reads the last line that the process printed."""
    self._output.seek(0)
    lines = self._output.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def environment(variables: Mapping[str, str], framework: str) -> dict[str, str]:
  """Returns the environment of a worker, from that of the sweep.

  What JAX is told by variables is as far as it can be the same for all: no
  switches of a debugger, and no cache of compiled programs on disk, which would
  make the cost of compiling depend on what ran before.
  """
  package = pathlib.Path(__file__).parent.parent
  path = filter(None, [str(package), variables.get("PYTHONPATH")])
  own = {
    "PYTHONPATH": os.pathsep.join(path),
    "JAX_ENABLE_COMPILATION_CACHE": "false",
  }
  if framework != "jax":
    # JAX only initialises weights here; keep it off the GPUs.
    own["JAX_PLATFORMS"] = "cpu"
  return provenance.without_debug_switches(variables) | own


def _pipe() -> tuple[Connection, Connection]:
  """Opens a pipe; returns its reading and its writing end."""
  reading, writing = os.pipe()
  return (
    Connection(reading, writable=False),
    Connection(writing, readable=False),
  )


def failed_record(
  trial: Trial,
  varied: dict[str, Any],
  error: str,
  started: Instant | None = None,
) -> TrialRecord:
  """Makes the record of a trial that failed before it had one."""
  ended = read_clocks()
  return TrialRecord(
    **identity(trial, varied),
    status="failed",
    error=error,
    partial=True,
    reasons=("the trial failed: its energy is unknown",),
    **span(started or ended, ended),
    provenance=provenance.collect(),
  )


# The worker's end


def main(arguments: list[str]) -> None:
  """Starts serving; arguments: two file descriptors, a meter, a framework."""
  # An interrupt from the terminal reaches the sweep, which decides.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  inbox, outbox, meter, framework = arguments
  serve(
    Connection(int(inbox), writable=False),
    Connection(int(outbox), readable=False),
    meter,
    framework,
  )


def serve(
  inbox: Connection, outbox: Connection, meter: str, framework: str
) -> None:
  """Says that the worker is ready, or refuses; then runs trials as they come.

  Args:
    inbox: Where tasks come from.
    outbox: Where messages go to.
    meter: auto, nvml, rapl or estimate.
    framework: That of all trials of this process.
  """
  from jaxpower import billing, frameworks, machine, trial
  from jaxpower.power import MeterError, Monitor
  from jaxpower.wings import wing_of

  def monitor_of(metered: Trial) -> Monitor:
    gpus = billing.gpus_of(billing.devices_of(metered))
    return Monitor(meter, wait=wing.wait, gpus=gpus)

  def unused() -> str:
    """Says which GPUs a worker on a CPU does not use, where any are here."""
    if any(device.name for device in devices):
      return ""
    here = machine.look()
    why = machine.unused_gpus("cpu", framework, 0, here, os.environ)
    return "" if why is None else f"; {why}"

  any_trial = Trial(framework=framework)
  devices: Sequence[billing.Device] = ()
  try:
    wing = wing_of(framework)
    devices = billing.devices_of(any_trial)
    with monitor_of(any_trial) as monitor:
      description = monitor.describe()
      cautions = (*monitor.cautions, *billing.cautions_of(devices))
  except MeterError as error:
    outbox.send(Refused(f"{error}{unused()}"))
    return
  except RuntimeError as error:
    reason = str(error)
    if framework == "jax":
      reason = frameworks.why_refused(reason, os.environ)
    outbox.send(Refused(reason))
    return
  outbox.send(
    Ready(
      platform=devices[0].facts["platform"],
      device_kind=devices[0].facts["kind"],
      devices=len(devices),
      meter=description,
      warnings=tuple(map(str, cautions)),
    )
  )
  origin = provenance.collect() | {"meter_asked_for": meter}
  cache: dict[Any, trial.Compiled] = {}
  prepared = False
  while True:
    try:
      task: Task = inbox.recv()
    except EOFError:
      return
    folder, started = pathlib.Path(task.folder), read_clocks()
    try:
      if not prepared:
        outbox.send(Progress(phase="prepare"))
        wing.prepare_compiler(framework)
        prepared = True
      with monitor_of(task.trial) as monitor:
        record = trial.run(
          task.trial,
          task.varied,
          monitor=monitor,
          cache=cache,
          folder=folder,
          provenance=origin,
          tell=outbox.send,
          compile_repeats=task.compile_repeats,
        )
    except BrokenPipeError:  # the sweep is gone
      return
    except Exception as error:  # noqa: BLE001, one trial must not end the rest
      record = failed_record(
        task.trial,
        task.varied,
        f"{type(error).__name__}: {error}",
        started,
      )
      _write_trace(folder, record.trial_id)
    outbox.send(Done(record))


def _write_trace(folder: pathlib.Path, trial_id: str) -> None:
  """Writes the traceback of the error being handled into a run folder."""
  path = folder / "errors" / f"{trial_id}.txt"
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(traceback.format_exc())
