"""Workers taking turns: two frameworks never hold a device at once.

The process that trials run in: a dead worker costs one trial.

`Worker` is the sweep's end and imports no framework; `main` is the other end,
in a process of its own. They speak in `jaxpower.messages` over two pipes, so a
script or a notebook can start a sweep without being imported a second time.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from jaxpower import provenance
from jaxpower.config import Trial
from jaxpower.messages import Done, Progress, Ready, Refused, Task
from jaxpower.records import TrialRecord, identity

PATIENCE_SECONDS = 10.0

CHILD = "import sys; from jaxpower import worker; worker.main(sys.argv[1:])"


class WorkerError(Exception):
  """No worker can be had here: one line says why and how to mend."""


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
    """What the worker trains on and with which meter."""
    return self._ready

  @property
  def pid(self) -> int:
    """The child's process id."""
    return self._process.pid

  def run(
    self, trial: Trial, varied: dict[str, Any], folder: pathlib.Path
  ) -> Iterator[Progress | Done]:
    """Says how far a trial is, and at last `Done` with its record.

    A worker that dies gives a failed record and is replaced.
    """
    if self._process.poll() is not None:
      self._stop()
      self._start()
    try:
      self._to.send(Task(trial, varied, str(folder)))
      while not isinstance(message := self._from.recv(), Done):
        yield message
    except (EOFError, OSError):
      message = Done(self._failed(trial, varied))
    yield message

  def _start(self) -> None:
    inbox, self._to = _pipe()
    self._from, outbox = _pipe()
    self._stderr = tempfile.TemporaryFile()  # noqa: SIM115, closed in _stop
    ends = [inbox.fileno(), outbox.fileno()]
    package = pathlib.Path(__file__).parent.parent
    path = os.pathsep.join(
      filter(None, [str(package), os.environ.get("PYTHONPATH")])
    )
    environment = os.environ | {"PYTHONPATH": path}
    if self._framework != "jax":
      # There JAX draws the first weights, and is to leave the GPUs alone.
      environment["JAX_PLATFORMS"] = "cpu"
    self._process = subprocess.Popen(
      [
        *(sys.executable, "-c", CHILD),
        *(*map(str, ends), self._meter, self._framework),
      ],
      stdin=subprocess.DEVNULL,
      stdout=self._stderr,
      stderr=self._stderr,
      pass_fds=ends,
      env=environment,
    )
    inbox.close()
    outbox.close()
    try:
      answer = self._from.recv()
    except (EOFError, OSError):
      answer = Refused(f"the worker did not start: {self._last_words()}")
    if isinstance(answer, Refused):
      self._stop()
      raise WorkerError(answer.reason)
    self._ready: Ready = answer

  def _stop(self) -> None:
    """Lets the worker finish by closing its inbox, and makes sure of it."""
    self._to.close()
    self._from.close()
    try:
      self._process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    self._stderr.close()

  def terminate(self) -> None:
    """Ends the worker in the middle of what it does."""
    self._process.terminate()

  def _failed(self, trial: Trial, varied: dict[str, Any]) -> TrialRecord:
    code = self._process.wait()
    how = f"exit code {code}"
    if code < 0:
      how = f"signal {-code} ({signal.Signals(-code).name})"
    words = self._last_words()
    error = f"the worker died with {how}" + (f": {words}" if words else "")
    return failed_record(trial, varied, error)

  def _last_words(self) -> str:
    self._stderr.seek(0)
    lines = self._stderr.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def failed_record(
  trial: Trial, varied: dict[str, Any], error: str
) -> TrialRecord:
  """The record of a trial that ended before it could tell anything."""
  return TrialRecord(
    **identity(trial, varied),
    status="failed",
    error=error,
    partial=True,
    reasons=("the trial failed: its energy is unknown",),
    provenance=provenance.collect(),
  )


def _pipe() -> tuple[Connection, Connection]:
  """A reading and a writing end."""
  reading, writing = os.pipe()
  return (
    Connection(reading, writable=False),
    Connection(writing, readable=False),
  )


def serve(
  inbox: Connection, outbox: Connection, meter: str, framework: str
) -> None:
  """The child's life: says that it is ready, then runs what it is given."""
  from jaxpower import trial
  from jaxpower.power import MeterError, Monitor
  from jaxpower.wings import wing_of

  def monitor_of(asked: Trial) -> Monitor:
    return Monitor(meter, wait=wing.wait, gpus=trial.gpus_of(asked))

  any_trial = Trial(framework=framework)
  try:
    wing = wing_of(framework)
    devices = wing.devices(any_trial)
    with monitor_of(any_trial) as monitor:
      described, warnings = monitor.describe(), monitor.warnings
  except (MeterError, RuntimeError) as error:
    outbox.send(Refused(str(error)))
    return
  outbox.send(
    Ready(
      platform=devices[0]["platform"],
      device_kind=devices[0]["kind"],
      devices=len(devices),
      meter=described,
      warnings=warnings,
    )
  )
  origin = provenance.collect() | {"meter_asked_for": meter}
  made: dict[Any, trial.Made] = {}
  while True:
    try:
      task: Task = inbox.recv()
    except EOFError:
      return
    folder = pathlib.Path(task.folder)
    try:
      with monitor_of(task.trial) as monitor:
        record = trial.run(
          task.trial,
          task.varied,
          monitor=monitor,
          made=made,
          folder=folder,
          provenance=origin,
          tell=outbox.send,
        )
    except BrokenPipeError:  # the sweep is gone
      return
    except Exception as error:  # noqa: BLE001, one trial must not end the rest
      record = failed_record(
        task.trial, task.varied, f"{type(error).__name__}: {error}"
      )
      trace = folder / "errors" / f"{record.trial_id}.txt"
      trace.parent.mkdir(parents=True, exist_ok=True)
      trace.write_text(traceback.format_exc())
    outbox.send(Done(record))


def main(arguments: list[str]) -> None:
  """The child's beginning: two file descriptors, a meter, a framework."""
  # An interrupt from the terminal reaches the sweep, which decides.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  inbox, outbox, meter, framework = arguments
  serve(
    Connection(int(inbox), writable=False),
    Connection(int(outbox), readable=False),
    meter,
    framework,
  )


class Shift:
  """At most one worker at a time; a context manager."""

  def __init__(self, meter: str):
    self._meter = meter
    self._framework: str | None = None
    self._on_duty = contextlib.ExitStack()
    self._worker: Worker | None = None

  def __enter__(self) -> "Shift":
    return self

  def __exit__(self, *_: object) -> None:
    self._on_duty.close()

  def worker(self, framework: str) -> Worker:
    """The worker of a framework; that of another one is ended before.

    Raises WorkerError as a worker does when it is started.
    """
    if self._worker is None or self._framework != framework:
      self._worker = None
      self._on_duty.close()
      worker = Worker(self._meter, framework)
      self._worker = self._on_duty.enter_context(worker)
      self._framework = framework
    return self._worker
