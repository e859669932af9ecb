"""Runs trials in a process of their own, one worker at a time.

Why a process: the sweep's own process, perhaps a notebook's kernel, then
loads no framework and holds no GPU, and a trial that kills its process costs
one failed record and not the sweep.

Why one process for all trials of a framework: one for each would pay start,
import and compilation each time and share no executables.

Why two pipes and a command, not `multiprocessing`: its spawn imports the
user's script a second time, which a notebook or a script without a `__main__`
guard does not survive. What is sent is in `jaxpower.messages`; the other end
is `jaxpower.workers.serving`. The worker's inbox closes when the sweep's
process ends, however it ends, and a closed inbox ends the worker: none is left
behind.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from jaxpower import attempts, heap, provenance, python_path
from jaxpower.attempts import Attempt
from jaxpower.config import COMMAND as A_COMMAND
from jaxpower.config import ConfigError, Trial, processes_of, trial_id
from jaxpower.messages import (
  Check,
  Checked,
  Done,
  Notice,
  Progress,
  Ready,
  Refused,
  Stop,
  Stopped,
  Task,
)
from jaxpower.power.clocks import Instant, read_clocks, span
from jaxpower.records import TrialRecord, identity
from jaxpower.workers import cores, host_memory, lifeline, streams
from jaxpower.workers.patience import (
  DEFAULT_LIMITS,
  START,
  TICK_SECONDS,
  Limits,
  Patience,
)
from jaxpower.workers.places import WHOLE, Place

EXIT_SECONDS = 10.0  # for a worker to end by itself, then it is killed; chosen
PREPARE = "prepare"  # the phase before a worker's first trial

COMPILED = "compiled"  # the folder of JAX's cache in a run folder

# The variable with those variables of the sweep that a worker has otherwise.
GIVEN = "JAXPOWER_GIVEN"

COMMAND = (
  "import sys; from jaxpower.workers import serving; serving.main(sys.argv[1:])"
)


class WorkerError(Exception):
  """A worker cannot be started here: one line says why and the fix."""


@dataclasses.dataclass(frozen=True)
class Died:
  """How a worker ended in the middle of a trial; `again`: it may be chance.

  `ended` is what the ledger says of it.
  """

  how: str
  again: bool
  ended: str = attempts.KILLED


class Workers:
  """Starts workers of several frameworks in turn; a context manager.

  At most one is alive: two would share the GPU's memory and its idle watts.

  Args:
    meter: auto, nvml, rapl or estimate.
    limits: How long each of them is waited for.
    held: Descriptors that a worker keeps open while it lives, such as a lock.
    place: Where they run.
    compiled: A folder for what JAX compiles, kept for later workers; None: no
      worker knows what another compiled.
  """

  def __init__(
    self,
    meter: str,
    limits: Limits = DEFAULT_LIMITS,
    held: Sequence[int] = (),
    place: Place = WHOLE,
    compiled: pathlib.Path | None = None,
  ):
    self._compiled = compiled
    self._meter = meter
    self._limits = limits
    self._held = tuple(held)
    self._place = place
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
      worker = Worker(
        self._meter,
        framework,
        self._limits,
        self._held,
        self._place,
        self._compiled,
      )
      self._worker = self._open.enter_context(worker)
      self._framework = framework
    return self._worker

  def renew(self, framework: str) -> "Worker":
    """Returns a new worker of a framework; raises WorkerError as `of`."""
    self.stop()
    return self.of(framework)

  def stop(self) -> None:
    """Ends the worker, if there is one, and waits for its end."""
    self._worker = None
    self._open.close()

  def terminate(self) -> None:
    """Ends the worker at once, if there is one; from any thread."""
    if (worker := self._worker) is not None:
      worker.terminate()


class Worker:
  """A child process that runs one trial at a time; a context manager.

  Raises WorkerError on entering when the machine or the meter refuses.
  """

  def __init__(
    self,
    meter: str,
    framework: str = "jax",
    limits: Limits = DEFAULT_LIMITS,
    held: Sequence[int] = (),
    place: Place = WHOLE,
    compiled: pathlib.Path | None = None,
  ):
    self._compiled = compiled
    self._meter = meter
    self._framework = framework
    self._limits = limits
    self._held = tuple(held)
    self._processes = 1  # over which it divides a trial
    self._cores = 0  # that it may use; 0: those of its place
    self._place = place
    self._terminated = False

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

  def check(self, trial: Trial, facts: Any) -> None:
    """Raises ConfigError where a trial's own network cannot be trained.

    `facts` are those of its data set.
    """
    patience = Patience(self._limits, START)
    try:
      self._inbox.send(Check(trial, facts))
      while not isinstance(answer := self._next(patience), Checked):
        pass
    except TimeoutError as error:
      raise WorkerError(f"{trial.model.name}: the worker {error}") from None
    except (EOFError, OSError):
      raise WorkerError(
        f"{trial.model.name}: the worker died of it: {self._last_line()}"
      ) from None
    if answer.reason:
      raise ConfigError(answer.reason)

  def run(
    self,
    trial: Trial,
    varied: dict[str, Any],
    folder: pathlib.Path,
    compile_repeats: int = 1,
    stop: Callable[[], bool] = lambda: False,
    checkpoint_minutes: float = Task.checkpoint_minutes,
    timeout_seconds: float = Task.timeout_seconds,
  ) -> Iterator[Progress | Notice | Done | Stopped]:
    """Runs a trial; yields its progress, and at last its end.

    That is `Done` with its record or, where `stop` became true while it ran,
    perhaps `Stopped`. A worker that died is replaced. Where a signal ended it,
    which may be chance, the trial is begun once more; else, or where that
    happens twice, its record is failed. A worker that hangs is killed.
    """
    task = Task(
      trial,
      varied,
      str(folder),
      compile_repeats,
      checkpoint_minutes,
      at_once=self._place.at_once,
      own_cores=bool(self._place.cores),
      cores=self._place.cores_usable if trial.cores else 0,
      timeout_seconds=timeout_seconds,
    )
    started = read_clocks()
    end = yield from self._attempt(task, stop)
    if isinstance(end, Died) and end.again and not stop():
      line = f"{end.how}; its trial was begun once more"
      yield Notice(f"{trial_id(trial)}: {line}")
      end = yield from self._attempt(task, stop)
      if isinstance(end, Done):
        warnings = (*end.record.warnings, line)
        record = dataclasses.replace(end.record, warnings=warnings)
        end = dataclasses.replace(end, record=record)
      elif isinstance(end, Died) and end.again:
        end = dataclasses.replace(end, how=f"{end.how}, twice", again=False)
    if isinstance(end, Died):
      tried = attempts.end(folder, trial_id(trial), end.ended)
      end = Done(failed_record(trial, varied, end.how, started, tried))
    yield end

  def terminate(self) -> None:
    """Ends the worker at once, in the middle of a trial."""
    self._terminated = True
    self._process.kill()

  def _attempt(
    self, task: Task, stop: Callable[[], bool]
  ) -> Generator[Progress, None, Done | Stopped | Died]:
    """Has a task run by a living worker; yields progress, returns the end."""
    usable = self._place.cores_usable
    if task.trial.cores > usable:
      return Died(f"it asks for {task.trial.cores} cores of {usable}", False)
    try:
      self._suit(task.trial)
    except WorkerError as error:
      if self._processes == 1:
        raise
      return Died(str(error), again=False)
    killed_before = host_memory.processes_killed()
    patience, asked = Patience(self._limits, PREPARE), False
    try:
      self._inbox.send(task)
      while True:
        if stop() and not asked:
          self._inbox.send(Stop())
          asked = True
        message = self._next(patience)
        if isinstance(message, Done | Stopped):
          break
        if isinstance(message, Progress):
          yield message
    except TimeoutError as error:
      self._process.kill()
      return Died(str(error), again=False, ended=attempts.HUNG)
    except (EOFError, OSError):
      return self._death(killed_before)
    if isinstance(message, Done) and message.renew:
      self._stop()
    return message

  def _suit(self, trial: Trial) -> None:
    """Starts another worker where this one is gone, or not for this trial.

    JAX joins its processes once, so each number of them has a worker; and
    frameworks count the cores when they start.
    """
    ready = self._ready
    processes = processes_of(trial, ready.platform, ready.devices)
    if ready.launched and trial.framework == "jax":
      processes = trial.devices or ready.devices
    gone = self._process.poll() is not None
    if gone or (processes, trial.cores) != (self._processes, self._cores):
      self._stop()
      self._processes, self._cores = processes, trial.cores
      self._start()

  def _next(self, patience: Patience) -> Any:
    """Returns the next message, or None after a while without one.

    Raises TimeoutError with the reason where the patience is exhausted,
    EOFError or OSError where the worker is gone.
    """
    heard = self._outbox.poll(TICK_SECONDS)
    message = self._outbox.recv() if heard else None
    if heard:
      phase = message.phase if isinstance(message, Progress) else None
      patience.hears(phase)
    if reason := patience.exhausted():
      raise TimeoutError(reason)
    return message

  def _start(self) -> None:
    """Starts the process and waits until it is ready or refuses.

    One that a signal ended before, which may be chance, is started once more.
    Raises WorkerError with the reason where there is no worker.
    """
    answer = self._spawn()
    if isinstance(answer, Died) and answer.again and not self._terminated:
      self._stop()
      answer = self._spawn()
    if isinstance(answer, Died):
      answer = Refused(f"before it was ready {answer.how}")
    if isinstance(answer, Refused):
      self._stop()
      raise WorkerError(answer.reason)
    switches = provenance.debug_switches(os.environ)
    left_out = tuple(
      f"{name}={value} is left out: trials run without a debugger's switches"
      for name, value in switches.items()
    )
    if self._processes == 1:  # else it sees a trial's devices alone
      self._ready: Ready = dataclasses.replace(
        answer, warnings=left_out + answer.warnings
      )

  def _spawn(self) -> Ready | Refused | Died:
    """Starts the process; returns what it says first, or how it ended."""
    streams.open_missing()
    inbox, self._inbox = _pipe()
    self._outbox, outbox = _pipe()
    self._output = tempfile.TemporaryFile()  # noqa: SIM115, closed in _stop
    ends = [inbox.fileno(), outbox.fileno(), *self._held]
    place = self._place.narrowed(self._cores)
    with lifeline.held_back(), place.held():
      self._process = subprocess.Popen(
        [
          *(sys.executable, "-P", "-c", COMMAND),
          *(self._meter, self._framework, str(self._processes)),
          *(str(os.getpid()), *map(str, ends)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=self._output,
        stderr=self._output,
        pass_fds=ends,
        env=environment(os.environ, self._framework, self._compiled)
        | place.environment
        | self._as_devices(place),
      )
    # The child has its copies; with ours open its death would not be seen.
    inbox.close()
    outbox.close()
    try:
      return self._answer()
    except BaseException:  # an interrupt
      self._process.kill()
      self._stop()
      raise

  def _as_devices(self, place: Place) -> dict[str, str]:
    """Returns the variables by which JAX sees each core of a place."""
    if self._framework != "jax" or self._processes > 1:
      return {}
    return cores.variables_for(place.cores_usable, os.environ)

  def _answer(self) -> Ready | Refused | Died:
    """Waits for what a worker says first, or for its death."""
    killed_before = host_memory.processes_killed()
    patience = Patience(self._limits, START)
    try:
      while not isinstance(answer := self._next(patience), Ready | Refused):
        pass
    except TimeoutError as error:
      self._process.kill()
      return Refused(
        f"the worker {error}; a driver that hangs is told in the kernel's log"
        " (dmesg)"
      )
    except (EOFError, OSError):
      return self._death(killed_before)
    return answer

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

  def _death(self, killed_before: int | None) -> Died:
    """Says how the process ended: exit code or signal, and its last line.

    Args:
      killed_before: `host_memory.processes_killed` before the trial, or the
        start.
    """
    code = self._process.wait()
    how = f"exit code {code}"
    if code < 0:
      how = f"signal {-code} ({signal.Signals(-code).name})"
    line = self._last_line()
    how = f"the worker died with {how}" + (f": {line}" if line else "")
    if code == -signal.SIGKILL and host_memory.killed_since(killed_before):
      # It would need as much again.
      return Died(f"{how}: {host_memory.KILLED}", again=False)
    return Died(how, again=code < 0)

  def _last_line(self) -> str:
    """Reads the last line that the process printed."""
    self._output.seek(0)
    lines = self._output.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def environment(
  variables: Mapping[str, str],
  framework: str,
  compiled: pathlib.Path | None = None,
) -> dict[str, str]:
  """Returns the environment of a worker, from that of the sweep.

  What JAX is told by variables is as far as it can be the same for all: no
  switches of a debugger, and no cache of compiled programs on disk, which would
  make the cost of compiling depend on what ran before; unless a folder for what
  is `compiled` is given, which is then of this run alone.
  """
  own = {
    **python_path.of_child(variables),
    "PYTHONSAFEPATH": "1",  # nothing of a user's folder, in children as well
    "JAX_ENABLE_COMPILATION_CACHE": "false",
    "JAXPOWER_WORKER": "1",  # reads data itself (`jaxpower.data.own`)
    **heap.KEPT,
  }
  if compiled is not None:
    own |= {
      "JAX_ENABLE_COMPILATION_CACHE": "true",
      "JAX_COMPILATION_CACHE_DIR": str(compiled.absolute()),
      # Small programs too, and what XLA's autotuning found.
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
      "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
      "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "all",
    }
  if framework == A_COMMAND:
    # A command gets back what was given, and JAX is not loaded here.
    own[GIVEN] = json.dumps({name: variables.get(name) for name in own})
  elif framework != "jax":
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
  tried: Sequence[Attempt] = (),
) -> TrialRecord:
  """Makes the record of a trial that failed before it had one.

  `tried` are the attempts at it; none where it could not be begun.
  """
  ended = read_clocks()
  return TrialRecord(
    **identity(trial, varied),
    status="failed",
    error=error,
    partial=True,
    reasons=("the trial failed: its energy is unknown",),
    **(attempts.facts_of(tried) if tried else {}),
    **span(started or ended, ended),
    provenance=provenance.collect(),
  )
