"""The worker's end of the pipes: runs trials as they are sent.

Three threads. The main one runs the trials. One reads the inbox, so that a
request to stop is heard in the middle of a trial, and so that the end of the
sweep, which closes the inbox, ends this process even where its main thread is
busy or hangs. One sends a sign of life.
"""

import contextlib
import gc
import os
import pathlib
import queue
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

from jaxpower import attempts, machine, provenance
from jaxpower.config import COMMAND, Trial, trial_id
from jaxpower.messages import (
  Alive,
  Done,
  Progress,
  Ready,
  Refused,
  Stop,
  Stopped,
  Task,
  TrialError,
)
from jaxpower.power.clocks import read_clocks
from jaxpower.workers import lifeline
from jaxpower.workers.program_cache import ProgramCache
from jaxpower.workers.worker import PREPARE, failed_record

ALIVE_SECONDS = 10.0  # between two signs of life; chosen
# From the end of the sweep to the end of this process, where the kernel does
# not see to it; less than the ten seconds that a worker may outlive its sweep.
LEAVE_SECONDS = 5.0  # chosen


def main(arguments: list[str]) -> None:
  """Starts serving.

  Args:
    arguments: The meter, the framework, the process id of the sweep; then file
      descriptors: the inbox, the outbox, and others that are only held.
  """
  meter, framework, parent, *held = arguments
  lifeline.shield()
  lifeline.die_with(int(parent))
  descriptors = tuple(map(int, held))
  lifeline.keep_to_oneself(descriptors)
  inbox, outbox, *_ = descriptors
  orders = Orders(Connection(inbox, writable=False))
  sender = Sender(Connection(outbox, readable=False))
  serve(orders, sender, meter, framework)


class Orders:
  """What the sweep sends, read by a thread of its own.

  Attributes:
    stop: Set where the running trial is to end at the next point where it can.
  """

  def __init__(self, inbox: Connection):
    self.stop = threading.Event()
    self._inbox = inbox
    self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
    threading.Thread(target=self._read, name="orders", daemon=True).start()

  def next(self) -> Task | None:
    """Waits for a task; None once the sweep is gone."""
    return self._tasks.get()

  def _read(self) -> None:
    with contextlib.suppress(EOFError, OSError):
      while True:
        order = self._inbox.recv()
        if isinstance(order, Stop):
          self.stop.set()
        else:
          self.stop.clear()
          self._tasks.put(order)
    self._tasks.put(None)
    time.sleep(LEAVE_SECONDS)
    os._exit(0)


class Sender:
  """Sends messages to the sweep, and a sign of life every few seconds."""

  def __init__(self, outbox: Connection):
    self._outbox = outbox
    self._lock = threading.Lock()
    threading.Thread(target=self._live, name="alive", daemon=True).start()

  def send(self, message: Any) -> None:
    """Sends a message; raises BrokenPipeError where the sweep is gone."""
    with self._lock:
      self._outbox.send(message)

  def _live(self) -> None:
    with contextlib.suppress(OSError):
      while True:
        self.send(Alive())
        time.sleep(ALIVE_SECONDS)


def serve(orders: Orders, sender: Sender, meter: str, framework: str) -> None:
  """Says that the worker is ready, or refuses; then runs trials as they come.

  Args:
    orders: Where tasks come from.
    sender: Where messages go to.
    meter: auto, nvml, rapl or estimate.
    framework: That of all trials of this process.
  """
  from jaxpower.power import MeterError

  try:
    host = (CommandHost if framework == COMMAND else Host)(meter, framework)
    ready = host.ready()
  except MeterError as error:
    sender.send(Refused(f"{error}{_unused(framework)}"))
    return
  except RuntimeError as error:
    sender.send(Refused(_without_devices(str(error), framework)))
    return
  sender.send(ready)
  with contextlib.suppress(BrokenPipeError):  # the sweep is gone
    while (task := orders.next()) is not None:
      end = host.run(task, orders, sender)
      sender.send(end)
      if isinstance(end, Done) and end.renew:
        return


class Host:
  """What the trials of this process share: framework, meter, programs."""

  def __init__(self, meter: str, framework: str):
    from jaxpower.wings import wing_of

    self._meter = meter
    self._framework = framework
    self._wing = wing_of(framework)
    self._cache = ProgramCache()
    self._prepared = False

  def ready(self) -> Ready:
    """Describes devices and meter. Raises MeterError or RuntimeError."""
    from jaxpower import billing

    any_trial = Trial(framework=self._framework)
    devices = billing.devices_of(any_trial)
    with self._monitor(any_trial) as monitor:
      description = monitor.describe()
      cautions = (*monitor.cautions, *billing.cautions_of(devices))
    self._origin = provenance.collect() | {"meter_asked_for": self._meter}
    return Ready(
      platform=devices[0].facts["platform"],
      device_kind=devices[0].facts["kind"],
      devices=len(devices),
      meter=description,
      warnings=tuple(map(str, cautions)),
    )

  def run(self, task: Task, orders: Orders, sender: Sender) -> Done | Stopped:
    """Runs a trial; an error in it makes a failed record.

    Raises BrokenPipeError where the sweep is gone.
    """
    from jaxpower import trial

    folder, started = pathlib.Path(task.folder), read_clocks()
    try:
      record = self._record(task, orders, sender)
      return Done(record, renew=self._cache.worn)
    except BrokenPipeError:
      raise
    except trial.Stopped:
      return Stopped()
    except Exception as error:  # noqa: BLE001, one trial must not end the rest
      told = isinstance(error, TrialError)
      reason = str(error) if told else f"{type(error).__name__}: {error}"
      tried = attempts.end(folder, trial_id(task.trial), attempts.FAILED)
      record = failed_record(task.trial, task.varied, reason, started, tried)
      if not told:
        _write_trace(folder, record.trial_id)
    gc.collect()  # what the frames of the error held
    return Done(record, renew=_lacks_memory(reason))

  def _record(self, task: Task, orders: Orders, sender: Sender) -> Any:
    from jaxpower import trial

    if not self._prepared:
      sender.send(Progress(phase=PREPARE))
      self._wing.prepare_compiler(self._framework)
      self._prepared = True
    with self._monitor(task.trial) as monitor:
      return trial.run(
        task.trial,
        task.varied,
        monitor=monitor,
        cache=self._cache,
        folder=pathlib.Path(task.folder),
        provenance=self._origin,
        tell=sender.send,
        stop=orders.stop.is_set,
        compile_repeats=task.compile_repeats,
        checkpoint_minutes=task.checkpoint_minutes,
      )

  def _monitor(self, metered: Trial) -> Any:
    from jaxpower import billing
    from jaxpower.power import Monitor

    gpus = billing.gpus_of(billing.devices_of(metered))
    return Monitor(self._meter, wait=self._wing.wait, gpus=gpus)


class CommandHost(Host):
  """What trials share that are commands: the meter. It loads no framework."""

  def __init__(self, meter: str, framework: str):
    del framework
    self._meter = meter
    self._cache = ProgramCache()  # of which nothing is compiled

  def ready(self) -> Ready:
    """Describes the meter. Raises MeterError."""
    with self._monitor() as monitor:
      description, cautions = monitor.describe(), monitor.cautions
    self._origin = provenance.collect() | {"meter_asked_for": self._meter}
    return Ready(
      platform=COMMAND,
      device_kind=str(self._origin["cpu"]),
      devices=1,
      meter=description,
      warnings=tuple(map(str, cautions)),
    )

  def _record(self, task: Task, orders: Orders, sender: Sender) -> Any:
    from jaxpower.script import run

    with self._monitor() as monitor:
      return run.run(
        task,
        monitor=monitor,
        provenance=self._origin,
        tell=sender.send,
        stop=orders.stop.is_set,
      )

  def _monitor(self, metered: Trial | None = None) -> Any:
    from jaxpower.power import Monitor

    del metered  # which GPUs it uses is seen when it runs
    return Monitor(self._meter)


def _unused(framework: str) -> str:
  """Says which GPUs a worker does not use, where it trains on a CPU."""
  if framework == COMMAND:
    return ""
  from jaxpower.wings import wing_of

  device = wing_of(framework).devices(Trial(framework=framework))[0]
  if device["platform"] != "cpu":
    return ""
  why = machine.unused_gpus("cpu", framework, 0, machine.look(), os.environ)
  return "" if why is None else f"; {why}"


def _without_devices(reason: str, framework: str) -> str:
  """Says in one line why a framework has no devices, and the fix."""
  line = " ".join(reason.split())
  asked = os.environ.get("JAX_PLATFORMS")
  if framework == "jax" and asked:
    return (
      f"JAX_PLATFORMS={asked} asks for devices that this JAX does not have"
      f" ({line}); unset it, or install JAX for them (for NVIDIA GPUs: pip"
      " install 'jax[cuda12]')"
    )
  return line


def _lacks_memory(reason: str) -> bool:
  """Whether an error says that a device's or the host's memory was too small.

  As Python, XLA and PyTorch say it.
  """
  signs = ("MemoryError", "OutOfMemoryError", "RESOURCE_EXHAUSTED")
  return any(sign in reason for sign in signs)


def _write_trace(folder: pathlib.Path, trial_id: str) -> None:
  """Writes the traceback of the error being handled into a run folder."""
  path = folder / "errors" / f"{trial_id}.txt"
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(traceback.format_exc())
