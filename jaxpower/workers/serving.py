"""The worker's end of the pipes: runs trials as they are sent.

Three threads. The main one runs the trials. One reads the inbox, so that a
request to stop is heard in the middle of a trial, and so that the end of the
sweep, which closes the inbox, ends this process even where its main thread is
busy or hangs. One sends a sign of life.
"""

import contextlib
import dataclasses
import gc
import os
import pathlib
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from jaxpower import attempts, machine, provenance
from jaxpower.config import COMMAND, ConfigError, Trial, trial_id
from jaxpower.hosts.part import followed_part_of
from jaxpower.idle import Idle, measured_by
from jaxpower.messages import (
  Alive,
  Check,
  Checked,
  Done,
  Progress,
  Ready,
  Refused,
  Stop,
  Stopped,
  Task,
  TrialError,
)
from jaxpower.power import board_settings
from jaxpower.power.board_settings import BoardSettings
from jaxpower.power.clocks import read_clocks
from jaxpower.records import TrialRecord
from jaxpower.workers import lifeline
from jaxpower.workers.program_cache import ProgramCache
from jaxpower.workers.rank_process import gpu_of
from jaxpower.workers.worker import PREPARE, failed_record

ALIVE_SECONDS = 10.0  # between two signs of life; chosen
# From the end of the sweep to the end of this process, where the kernel does
# not see to it; less than the ten seconds that a worker may outlive its sweep.
LEAVE_SECONDS = 5.0  # chosen


def main(arguments: list[str]) -> None:
  """Starts serving.

  Args:
    arguments: The meter, the framework, the number of processes over which
      trials are divided, the process id of the sweep; then file descriptors:
      the inbox, the outbox, and others that are only held.
  """
  meter, framework, processes, parent, *held = arguments
  lifeline.shield()
  lifeline.die_with(int(parent))
  descriptors = tuple(map(int, held))
  lifeline.keep_to_oneself(descriptors)
  inbox, outbox, *_ = descriptors
  orders = Orders(Connection(inbox, writable=False))
  sender = Sender(Connection(outbox, readable=False))
  with _left_at_once() if int(processes) > 1 else contextlib.nullcontext():
    serve(orders, sender, meter, framework, int(processes))


@contextlib.contextmanager
def _left_at_once() -> Iterator[None]:
  """Ends this process after the body, whatever it raised.

  Python's own exit would have JAX wait for the other processes of a trial;
  the kernel kills those with this one.
  """
  code = 1
  try:
    yield
    code = 0
  except BaseException:  # noqa: BLE001, no other would be told
    traceback.print_exc()
  finally:
    sys.stderr.flush()
    os._exit(code)


class Orders:
  """What the sweep sends, read by a thread of its own.

  Attributes:
    stop: Set where the running trial is to end at the next point where it can.
  """

  def __init__(self, inbox: Connection):
    self.stop = threading.Event()
    self._inbox = inbox
    self._tasks: queue.SimpleQueue[Task | Check | None] = queue.SimpleQueue()
    threading.Thread(target=self._read, name="orders", daemon=True).start()

  def next(self) -> Task | Check | None:
    """Waits for what to do; None once the sweep is gone."""
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


def serve(
  orders: Orders,
  sender: Sender,
  meter: str,
  framework: str,
  processes: int = 1,
) -> None:
  """Says that the worker is ready, or refuses; then runs trials as they come.

  Args:
    orders: Where tasks come from.
    sender: Where messages go to.
    meter: auto, nvml, rapl or estimate.
    framework: That of all trials of this process.
    processes: Over which JAX divides each of them, this one included.
  """
  from jaxpower.power import MeterError

  try:
    kind = CommandHost if framework == COMMAND else Host
    host = kind(meter, framework, processes)
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
      if isinstance(task, Check):
        sender.send(host.check(task))
        continue
      end = host.run(task, orders, sender)
      sender.send(end)
      if isinstance(end, Done) and end.renew:
        return


class Host:
  """What the trials of this process share: framework, meter, programs."""

  def __init__(self, meter: str, framework: str, processes: int):
    from jaxpower.wings import wing_of

    self._processes = processes
    self._part, self._hosts = followed_part_of(os.environ), None
    if self._part is not None:
      from jaxpower.hosts.lead import Hosts

      self._hosts = Hosts(self._part, framework, meter)
      if framework != "jax":
        os.environ["JAXPOWER_LAUNCHED"] = str(self._part.world_size)
      elif processes > 1:
        self._hosts.start(processes)
    elif processes > 1:
      from jaxpower.learn.distributed import coordinator

      coordinator.start(processes, gpus_of_ranks(processes))
    if framework == "jax":
      from jaxpower.learn import cores

      cores.start()
    self._meter = meter
    self._framework = framework
    self._wing = wing_of(framework)
    self._cache = ProgramCache()
    self._prepared = False
    self._idle: Idle | None = None

  def ready(self) -> Ready:
    """Describes devices and meter. Raises MeterError or RuntimeError."""
    from jaxpower import billing

    any_trial = Trial(framework=self._framework, devices=0)
    devices = billing.devices_of(any_trial)
    with self._monitor(any_trial) as monitor:
      description = monitor.describe()
      cautions = (*monitor.cautions, *billing.cautions_of(devices))
    collected = provenance.collect()
    # With the driver's, NVML's and the newest CUDA that the driver knows.
    versions = collected["versions"] | machine.versions_of(machine.look())
    self._origin = collected | {
      "versions": versions,
      "meter_asked_for": self._meter,
      "processes": self._processes,
    }
    return Ready(
      platform=devices[0].facts["platform"],
      device_kind=devices[0].facts["kind"],
      devices=len(devices) if self._part is None else self._part.world_size,
      launched=self._part is not None,
      meter=description,
      warnings=tuple(map(str, cautions)),
    )

  def check(self, asked: Check) -> Checked:
    """Says what is wrong with a user's network, before anything is trained."""
    trial, facts = asked.trial, asked.facts
    try:
      classes = [facts.labels[task] for task in trial.tasks]
      text = facts.kind == "tokens" and classes == [facts.vocabulary]
      self._wing.check(trial, facts, sum(classes), text)
    except ConfigError as error:
      return Checked(str(error))
    return Checked("")

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
    # What several processes were in together cannot be entered again.
    renew = self._processes > 1 or _lacks_memory(reason)
    return Done(record, renew=renew)

  def _record(self, task: Task, orders: Orders, sender: Sender) -> Any:
    from jaxpower import billing, trial

    began = time.monotonic()
    if not self._prepared:
      sender.send(Progress(phase=PREPARE))
      self._wing.prepare_compiler(self._framework)
      self._prepared = True
    origin = _on_cores(self._origin, task)
    if self._hosts is not None:
      assert self._part is not None
      if self._framework != "jax":
        self._hosts.start(task.trial.devices or self._part.world_size)
      origin = origin | {"hosts": self._hosts.ranks}
    asked = BoardSettings(task.trial.power_limit_watts, task.trial.sm_clock_mhz)
    gpus = billing.gpus_of(billing.devices_of(task.trial)) if asked else []
    # Set before the meter looks at the cards, and put back after it.
    with (
      board_settings.applied(asked, gpus) as facts,
      self._monitor(task.trial, *_shares(task)) as monitor,
    ):
      record = trial.run(
        task.trial,
        task.varied,
        monitor=monitor,
        cache=self._cache,
        folder=pathlib.Path(task.folder),
        provenance=origin,
        tell=sender.send,
        stop=orders.stop.is_set,
        compile_repeats=task.compile_repeats,
        checkpoint_minutes=task.checkpoint_minutes,
        idle=self._idle,
      )
    self._idle = measured_by(task.trial, record, began) or self._idle
    return _with_settings(record, asked, facts) if asked else record

  def _monitor(
    self,
    metered: Trial,
    at_once: int = 1,
    own_cores: bool = False,
    cores: int = 0,
  ) -> Any:
    from jaxpower import billing
    from jaxpower.power import Monitor

    gpus = billing.gpus_of(billing.devices_of(metered))
    if self._hosts is not None:
      return self._hosts.monitor(self._wing.wait, gpus)
    return Monitor(
      self._meter,
      wait=self._wing.wait,
      gpus=gpus,
      at_once=at_once,
      own_cores=own_cores,
      cores=cores,
    )


class CommandHost(Host):
  """What trials share that are commands: the meter. It loads no framework."""

  def __init__(self, meter: str, framework: str, processes: int):
    del framework
    self._processes = processes
    self._meter = meter
    self._cache = ProgramCache()  # of which nothing is compiled

  def ready(self) -> Ready:
    """Describes the meter. Raises MeterError."""
    with self._monitor(Trial()) as monitor:
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

    trial = task.trial
    with self._monitor(trial, *_shares(task)) as monitor:
      return run.run(
        task,
        monitor=monitor,
        provenance=_on_cores(self._origin, task),
        tell=sender.send,
        stop=orders.stop.is_set,
      )

  def _monitor(
    self,
    metered: Trial,
    at_once: int = 1,
    own_cores: bool = False,
    cores: int = 0,
  ) -> Any:
    from jaxpower.power import Monitor

    del metered  # which GPUs it uses is seen when it runs
    return Monitor(
      self._meter, at_once=at_once, own_cores=own_cores, cores=cores
    )


def _shares(task: Task) -> tuple[int, bool, int]:
  """Returns what a trial has of the machine's parts that others share."""
  return task.at_once, task.own_cores, task.cores


def _on_cores(origin: dict[str, Any], task: Task) -> dict[str, Any]:
  """Tells as usable the cores that a trial might have used, were it to."""
  return origin | {"cpus_usable": task.cores} if task.cores else origin


def _with_settings(
  record: TrialRecord, asked: BoardSettings, facts: dict[str, Any]
) -> TrialRecord:
  """Adds to a record what the cards were set to, and where they were not."""
  told = board_settings.unlike(asked, record.meter.get("gpus") or {})
  if not facts["restored"]:
    told.append("the GPUs' settings could not be put back: see nvidia-smi -q")
  return dataclasses.replace(
    record, board_settings=facts, warnings=(*record.warnings, *told)
  )


def gpus_of_ranks(processes: int) -> list[str]:
  """Returns CUDA_VISIBLE_DEVICES of each rank; nothing on CPUs.

  By UUID where CUDA tells it, else by the place among those visible here.
  """
  from jaxpower.power import MeterError
  from jaxpower.power.cuda import cuda_devices

  if os.environ.get("JAX_PLATFORMS", "").lower() == "cpu":
    return []
  try:
    found = cuda_devices()
  except MeterError:
    return []
  names = [gpu_of(os.environ, place) for place in range(len(found))]
  # CUDA's word for a part of a board has no prefix that says so.
  return [
    name if d.uuid is None or name.startswith("MIG-") else f"GPU-{d.uuid}"
    for d, name in zip(found[:processes], names, strict=False)
    if name is not None
  ]


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
