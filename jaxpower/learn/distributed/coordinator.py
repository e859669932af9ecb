"""The coordinator: the first process's end of a trial over several.

The protocol is drawn at the head of this package. The main thread makes the
calls and may be in a collective when a worker dies or stops, which gloo or
NCCL may never tell; so a thread of its own hears the workers. Where the main
thread does not come back in time, that thread says the cause and ends the
process: the sweep makes a failed record of it and goes on.
"""

import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from multiprocessing import connection
from typing import Any, NoReturn

from jaxpower.learn.distributed import group, process
from jaxpower.learn.distributed.calls import (
  Call,
  Done,
  Failed,
  Join,
  Made,
  Said,
)
from jaxpower.learn.distributed.worker import kept_of, wait
from jaxpower.workers import rank_failure
from jaxpower.workers.rank_failure import DistributedError
from jaxpower.workers.rank_process import RankProcess

# How long a worker may give no sign of life; it gives one every 2 s. Chosen.
SILENT_SECONDS = 60.0

# How long one rank may be busy with a call after another is done with it: so
# long, and so many times what the first one took. Chosen, not fitted: all do
# the same work on equal devices, but may share the machine's cores and disk.
TIMEOUT_SECONDS = 120.0
MAX_SLOWDOWN = 10

# How long the main thread has to come back by itself from a call in which a
# worker failed. Chosen: gloo said so 0.1 s after a kill.
GRACE_SECONDS = 10.0

TICK_SECONDS = 0.5  # between two looks at the clock; chosen
GIVEN_UP = 1  # exit code of a process whose main thread did not come back


class Coordinator:
  """Starts, commands and kills the workers of a trial; joins them.

  Args:
    world_size: Number of processes that train, this one included.
    gpus: CUDA_VISIBLE_DEVICES of each rank; empty on CPUs.
    others: The other ranks where a launcher started them; else they are
      spawned here.
    address: How others reach this host.

  Attributes:
    here: How many ranks were spawned here, this one included.

  Raises DistributedError if a worker cannot be started.
  """

  def __init__(
    self,
    world_size: int,
    gpus: Sequence[str] = (),
    others: Sequence[Any] = (),
    address: str = group.LOOPBACK,
  ):
    self.world_size = world_size
    self.here = 1 if others else world_size
    self._lock = threading.Condition()
    self._number = 0  # of the last call
    self._began: float | None = time.monotonic()  # None: in no call
    self._first_done: float | None = None  # of a worker with that call
    self._failure = ""
    self._names: dict[int, tuple[int, weakref.finalize]] = {}
    self._forgotten: list[int] = []
    self._workers: list[RankProcess | Any] = list(others)
    self._answers: dict[Any, list[Any]] = {}
    with self._report_cause():
      for rank in range(1, world_size if not others else 1):
        gpu = gpus[rank] if gpus else None
        self._workers.append(process.spawn(rank, world_size, gpu))
      self._done = dict.fromkeys(self._workers, -1)
      threading.Thread(target=self._hear, name="ranks", daemon=True).start()
      meet_at = group.free_address(address)
      self._send(Join(meet_at))
      group.init(meet_at, 0, world_size)
      self._await_workers()

  @property
  def pids(self) -> list[int]:
    """The process ids of the workers."""
    return [worker.pid for worker in self._workers]

  def call(
    self, name: str, arguments: tuple[Any, ...], own: Callable[[], Any]
  ) -> Any:
    """Makes a call of the wing in every process; returns this one's result.

    All arrays are then computed, on every device.

    Args:
      name: Of the function.
      arguments: What workers call it with: small values, and what other calls
        returned.
      own: Makes the call here.

    Raises DistributedError if a worker dies, fails or hangs.
    """
    with self._report_cause():
      # Taken out one by one: a finalizer may add to it at any time.
      forget = [self._forgotten.pop() for _ in range(len(self._forgotten))]
      sent = tuple(self._named(argument) for argument in arguments)
      with self._lock:
        self._number += 1
        self._first_done, self._began = None, time.monotonic()
      self._send(Call(self._number, name, sent, tuple(forget)))
      result = own()
      wait(result)
      self._await_workers()
    self._remember(result)
    return result

  def ask(self, worker: Any, message: Any) -> Any:
    """Sends a worker a message that is no call; returns its answer.

    Raises DistributedError if it dies, fails or does not answer.
    """
    with self._report_cause():
      worker.send(message)
      deadline = time.monotonic() + TIMEOUT_SECONDS
      with self._lock:
        while not (answers := self._answers.get(worker)):
          if self._failure or not self._workers:
            raise DistributedError(self._failure or "the workers were stopped")
          if time.monotonic() > deadline:
            raise DistributedError(
              f"{worker.name}: no answer for {TIMEOUT_SECONDS:g} s"
            )
          self._lock.wait(TICK_SECONDS)
        return answers.pop(0)

  def stop(self) -> None:
    """Kills the workers and waits until they are gone."""
    with self._lock:
      workers, self._workers = self._workers, []
      self._began = None
    for worker in workers:
      worker.kill()
    for worker in workers:
      worker.wait_killed()

  def _named(self, argument: Any) -> Any:
    """Names what an earlier call made by its number; leaves all else."""
    known = self._names.get(id(argument))
    return argument if known is None else Made(known[0])

  def _remember(self, result: Any) -> None:
    """Notes what a call made for as long as anybody here has it."""
    kept = kept_of(result)
    if kept is None:
      return
    key, number = id(kept), self._number

    def forget() -> None:
      self._names.pop(key, None)
      self._forgotten.append(number)

    finalizer = weakref.finalize(kept, forget)
    finalizer.atexit = False
    self._names[key] = number, finalizer

  def _send(self, message: Join | Call) -> None:
    if not self._workers:
      raise DistributedError("the workers of this trial were stopped")
    for worker in self._workers:
      worker.send(message)

  def _await_workers(self) -> None:
    """Waits until every worker is done with the last call."""
    with self._lock:
      took = time.monotonic() - (self._began or 0)
      patience = TIMEOUT_SECONDS + MAX_SLOWDOWN * took
      deadline = time.monotonic() + patience
      while late := [w for w, n in self._done.items() if n < self._number]:
        if self._failure:
          raise DistributedError(self._failure)
        if time.monotonic() > deadline:
          names = ", ".join(worker.name for worker in late)
          raise DistributedError(f"{names}: not done after {patience:.0f} s")
        self._lock.wait(TICK_SECONDS)
      self._began = None

  def _hear(self) -> None:
    """Hears the workers, until they are stopped; runs in a thread."""
    silent = dict.fromkeys(self._workers, 0.0)
    failed_at, last = None, time.monotonic()
    while workers := {w.replies: w for w in self._workers}:
      heard = []
      with contextlib.suppress(OSError):  # stopped meanwhile
        if not self._failure:
          heard = connection.wait(list(workers), TICK_SECONDS)
        else:
          time.sleep(TICK_SECONDS)
      # What is beyond was no waiting: this process was stopped itself.
      now = time.monotonic()
      waited, last = min(now - last, 2 * TICK_SECONDS), now
      for worker in silent:
        silent[worker] += waited
      for pipe in heard:
        worker = workers[pipe]  # type: ignore[index]
        silent[worker] = 0.0
        self._take(worker)
      for worker, seconds in silent.items():
        if seconds > SILENT_SECONDS:
          self._fail(f"{worker.name}: no sign of life for {SILENT_SECONDS:g} s")
      with self._lock:
        if self._is_late(now):
          self._fail("this rank hangs in a call that another is done with")
        if not self._failure:
          continue
        failed_at = failed_at or now
        gone = self._began is None or not self._workers
        if now - failed_at > GRACE_SECONDS and not gone:
          self._give_up()

  def _take(self, worker: RankProcess) -> None:
    """Takes a worker's message, or notes its death."""
    try:
      message = worker.receive()
    except (EOFError, OSError):
      self._fail(self._death() or f"{worker.name}: its pipe was closed")
      return
    if isinstance(message, Failed):
      self._fail(self._death() or f"{worker.name}: {message.line}")
    elif isinstance(message, Said):
      with self._lock:
        self._answers.setdefault(worker, []).append(message.answer)
        self._lock.notify_all()
    elif isinstance(message, Done):
      with self._lock:
        self._done[worker] = message.number
        if message.number == self._number and self._first_done is None:
          self._first_done = time.monotonic()
        self._lock.notify_all()

  def _fail(self, line: str) -> None:
    """Notes the first failure, unless the workers are being stopped."""
    with self._lock:
      if self._workers and not self._failure:
        self._failure = line
      self._lock.notify_all()

  def _is_late(self, now: float) -> bool:
    """Whether this process is in a call that a worker left long ago."""
    if self._began is None or self._first_done is None:
      return False
    patience = TIMEOUT_SECONDS + MAX_SLOWDOWN * (self._first_done - self._began)
    # Where this rank is done and waits, `_await_workers` counts the time.
    return now - self._first_done > patience + TIMEOUT_SECONDS

  def _give_up(self) -> NoReturn:
    """Says the cause and ends the process: its main thread does not return."""
    print(self._failure, file=sys.__stderr__, flush=True)
    for worker in self._workers:
      worker.kill()
    os._exit(GIVEN_UP)

  def _report_cause(self) -> contextlib.AbstractContextManager[None]:
    """Kills the workers on any error of the body, and raises its cause."""
    return rank_failure.report_cause(self._cause_of, self.stop)

  def _cause_of(self, error: Exception) -> str:
    """Returns how a worker died, else what is known to have failed."""
    return self._death() or self._failure or rank_failure.known_cause(error)

  def _death(self) -> str:
    """Looks for a moment whether a worker is dead; says how, or ""."""
    return rank_failure.find_death(lambda: self._workers)


# JAX joins a group once in a process, so there is one coordinator.
_current: Coordinator | None = None


def start(
  world_size: int, gpus: Sequence[str] = (), **more: Any
) -> Coordinator:
  """Starts the workers of this process; to be called before all other JAX.

  Args as of a `Coordinator`. Raises DistributedError if that fails.
  """
  global _current
  assert _current is None
  _current = Coordinator(world_size, gpus, **more)
  return _current


def current() -> Coordinator | None:
  """Returns the coordinator of this process; None where it trains alone."""
  return _current
