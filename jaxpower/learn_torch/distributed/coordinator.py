"""The coordinator: the first process's end of a distributed training.

The protocol is drawn at the head of this package. The coordinator does all
that a worker does, at the same time and on its own device, and evaluates,
checkpoints and reports alone. It waits for replies over the pipes rather than
in `torch.distributed.barrier`: a pipe also tells a death at once and carries
the line of an error.

On any error all workers are killed *before* the process group is left, so that
leaving waits for nobody. The next trial starts new workers.
"""

import atexit
import contextlib
import itertools
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from typing import Any

import torch
from torch import Tensor

from jaxpower.config import Trial
from jaxpower.data import DataSet
from jaxpower.learn_torch import placement
from jaxpower.learn_torch.devices import device_of
from jaxpower.learn_torch.distributed import group, process
from jaxpower.learn_torch.distributed.group import TIMEOUT_SECONDS
from jaxpower.learn_torch.distributed.worker import (
  Command,
  Compile,
  GatherState,
  GatherWeights,
  Meet,
  MeetHosts,
  PlaceData,
  ReceiveState,
  TrainSegment,
  Wrap,
  meet,
)
from jaxpower.learn_torch.placement import Placed
from jaxpower.learn_torch.programs import Programs, compile_programs
from jaxpower.learn_torch.segment import train_share
from jaxpower.learn_torch.spec import Spec
from jaxpower.learn_torch.state import TrainState
from jaxpower.workers import rank_failure
from jaxpower.workers.rank_failure import DistributedError
from jaxpower.workers.rank_process import RankProcess, gpu_of

# A worker may take this many times as long as the coordinator to load data or
# to compile, on top of the timeout. Chosen, not fitted: all ranks do the same
# work on equal devices, but may have to share the machine's cores and disk.
MAX_SLOWDOWN = 10

# How often the deadline and this process's device are looked at while replies
# are awaited. Chosen, not fitted: a reply or a death is noticed at once anyway.
CHECK_SECONDS = 1.0


# Returns all ranks but the first of so many.
Gather = Callable[[int], Sequence[Any]]

_group_ids = itertools.count(1)


class Coordinator:
  """Starts, commands and kills the workers of a distributed training.

  Args:
    world_size: Number of processes that train, this one included.
    gather: Calls the other ranks where a launcher started them, on one or more
      hosts; else they are spawned here.
    address: How the other hosts reach this one.

  Attributes:
    group_id: Number of the process group, no two alike in this process.
    world_size: As above.

  Raises DistributedError if a worker cannot be started.
  """

  def __init__(
    self, world_size: int, gather: Gather | None = None, address: str = ""
  ):
    self.group_id, self.world_size = next(_group_ids), world_size
    self._folder = ""
    self._workers: list[Any] = []  # RankProcess, or of its shape
    self._losses: dict[Spec, group.LossFunction] = {}
    # The programs and the state that every rank has; None if unknown.
    self._shared: tuple[Programs, TrainState] | None = None
    self._divided: Spec | None = None  # that of a state which ranks divide
    atexit.register(self.stop)
    with self._report_cause():
      if gather is None:
        self._folder = tempfile.mkdtemp(prefix="jaxpower-ranks-")  # mode 0700
        command = Meet(os.path.join(self._folder, "store"))
        is_cpu = device_of().type == "cpu"
        for rank in range(1, world_size):
          gpu = None if is_cpu else gpu_of(os.environ, rank)
          self._workers.append(process.spawn(rank, world_size, gpu))
      else:
        command = MeetHosts(address, _free_port())
        self._workers += gather(world_size)
      self._wait_for_replies(TIMEOUT_SECONDS)
      self._send(command)
      meet(command, 0, world_size)

  @property
  def pids(self) -> list[int]:
    """The process ids of the workers."""
    return [worker.pid for worker in self._workers]

  @property
  def workers(self) -> tuple[Any, ...]:
    """The other ranks, in order."""
    return tuple(self._workers)

  @property
  def alive(self) -> bool:
    """Whether every worker runs."""
    return bool(self._workers) and all(w.alive for w in self._workers)

  def place(self, trial: Trial, sets: DataSet, spec: Spec) -> Placed:
    """Places a trial on all devices; workers load the data set themselves."""
    with self._report_cause():
      self._send(PlaceData(trial, spec))
      start = time.monotonic()
      placed = placement.place(trial, sets, spec)
      self._wait_for_replies(_timeout_since(start))
    return placed

  def compile(self, spec: Spec) -> Programs:
    """Compiles a spec's programs in all processes; wraps the loss."""
    with self._report_cause():
      self._send(Compile(spec))
      start = time.monotonic()
      with group.patient():
        programs = compile_programs(spec)
      self._wait_for_replies(_timeout_since(start))
      self._send(Wrap(spec))
      start = time.monotonic()
      self._losses[spec] = group.wrap(programs, spec)
      self._wait_for_replies(_timeout_since(start))
    return programs

  def train(
    self, programs: Programs, placed: Placed, segment: int
  ) -> tuple[Tensor, float]:
    """Trains one segment, each batch divided over all processes.

    Gradients are averaged over the processes, so that an update is that of the
    whole batch. Training begins from the state that `programs` holds; call
    `keep` afterwards with the state that it holds then. This returns after a
    barrier: every device is done.

    Returns the mean loss, and the seconds that this process waited for data.
    """
    with self._report_cause(), group.exit_if_stuck() as progress:
      self._share(programs, placed)
      self._shared = None  # unknown until the segment has ended well
      wrapped_loss_of = self._losses[placed.spec]

      def loss_of(*batch: Any) -> Tensor:
        progress()
        return wrapped_loss_of(*batch)

      self._send(TrainSegment(segment))
      with group.divide_threads(self.world_size):
        loss, waited = train_share(programs, placed, segment, loss_of)
        loss = group.all_reduce_mean(loss)
      self._wait_for_replies(TIMEOUT_SECONDS, _is_device_busy)
    return loss, waited

  def keep(self, programs: Programs, state: TrainState) -> None:
    """Notes that all ranks have this state, so that it is not broadcast."""
    self._shared = programs, state

  @contextlib.contextmanager
  def gathered(self, programs: Programs, placed: Placed) -> Iterator[None]:
    """Has the weights whole in this process for the body of a `with`.

    Where they are divided the other processes send theirs.
    """
    if programs.divided is None:
      yield
      return
    with self._report_cause(), group.exit_if_stuck():
      self._share(programs, placed)
      self._send(GatherWeights(placed.spec))
      programs.divided.unshard()
      self._wait_for_replies(TIMEOUT_SECONDS)
    try:
      yield
    finally:
      programs.divided.reshard()

  def whole(self, state: TrainState) -> TrainState:
    """Returns a state whole, gathered where it is divided over the ranks."""
    if self._divided is None:
      return state
    from jaxpower.learn_torch.distributed import divided

    if not divided.is_divided(state):
      return state
    with self._report_cause(), group.exit_if_stuck():
      self._send(GatherState(self._divided))
      gathered = divided.whole_state(state)
      self._wait_for_replies(TIMEOUT_SECONDS)
    return gathered

  def ask(self, worker: Any, message: Any) -> Any:
    """Sends a worker a message that is no command; returns its answer.

    Raises DistributedError if it dies or does not answer.
    """
    with self._report_cause():
      worker.send(message)
      if not worker.replies.poll(TIMEOUT_SECONDS):
        raise DistributedError(
          f"{worker.name}: no answer for {TIMEOUT_SECONDS:.0f} s"
        )
      return worker.receive()

  def stop(self) -> None:
    """Kills the workers, waits until they are gone, leaves the group."""
    for worker in self._workers:
      worker.kill()
    for worker in self._workers:
      worker.wait_killed()
    had_workers, self._workers = bool(self._workers), []
    self._shared = None
    self._losses.clear()
    if had_workers:
      group.leave()
    shutil.rmtree(self._folder, ignore_errors=True)
    atexit.unregister(self.stop)

  def _share(self, programs: Programs, placed: Placed) -> None:
    """Gives the state that these programs hold to all ranks that lack it."""
    shared = self._shared or (None, None)
    if shared[0] is programs and shared[1] is programs.held:
      return
    assert programs.held is not None
    self._send(ReceiveState(placed.spec))
    group.broadcast_state(programs, placed.trial)
    self._wait_for_replies(TIMEOUT_SECONDS)
    self._shared = programs, programs.held
    self._divided = None if programs.divided is None else placed.spec

  def _send(self, command: Command | Meet | MeetHosts) -> None:
    """Sends a command to every worker."""
    if not self._workers:
      raise DistributedError("the workers of this training were stopped")
    for worker in self._workers:
      worker.send(command)

  def _wait_for_replies(
    self, timeout_seconds: float, is_busy: Callable[[], bool] = lambda: False
  ) -> None:
    """Waits until every worker has replied to the last command.

    The timeout begins when this process's own device is no longer busy. Raises
    DistributedError after it, or with the error that a worker replies, and
    EOFError if a worker is dead.
    """
    awaited: dict[Any, RankProcess] = {w.replies: w for w in self._workers}
    deadline = time.monotonic() + timeout_seconds
    while awaited:
      for pipe in connection.wait(list(awaited), CHECK_SECONDS):
        worker = awaited.pop(pipe)
        if error := worker.receive():
          raise DistributedError(f"{worker.name}: {error}")
      if awaited and is_busy():
        deadline = time.monotonic() + timeout_seconds
      if awaited and time.monotonic() > deadline:
        names = ", ".join(worker.name for worker in awaited.values())
        raise DistributedError(f"{names}: no reply for {timeout_seconds:.0f} s")

  def _report_cause(self) -> contextlib.AbstractContextManager[None]:
    """Kills the workers on any error of the body, and raises its cause."""
    return rank_failure.report_cause(self._cause_of, self.stop)

  def _cause_of(self, error: Exception) -> str:
    """Returns a worker's exit reason, else the first error that one replied."""
    return (
      rank_failure.find_death(lambda: self._workers)
      or rank_failure.known_cause(error)
      or next(filter(None, (worker.error() for worker in self._workers)), "")
    )


# PyTorch has one default process group at a time, so there is one coordinator.
_current: Coordinator | None = None


def start(
  world_size: int, gather: Gather | None = None, address: str = ""
) -> Coordinator | None:
  """Returns the coordinator of so many processes, starting it unless it lives.

  A coordinator of another size, or one that has lost a worker, is stopped.
  Returns None for a world size of 1, which needs no workers. Other args as of
  a `Coordinator`.
  """
  global _current
  if _current and not (_current.alive and _current.world_size == world_size):
    stop()
  if _current is None and world_size > 1:
    _current = Coordinator(world_size, gather, address)
  return _current


def stop() -> None:
  """Stops the coordinator if there is one: no worker is left."""
  global _current
  if _current is not None:
    _current.stop()
  _current = None


def whole(state: TrainState) -> TrainState:
  """Returns a state whole: gathered from the processes that divide it."""
  return state if _current is None else _current.whole(state)


def for_spec(spec: Spec) -> Coordinator | None:
  """Returns the coordinator that a spec was placed with; None: no workers.

  Raises DistributedError if that coordinator was stopped.
  """
  if spec.group_id == 0:
    return None
  if _current is None or _current.group_id != spec.group_id:
    raise DistributedError("the workers of this training were stopped")
  return _current


def _free_port() -> int:
  with socket.socket() as probe:
    probe.bind(("", 0))
    return probe.getsockname()[1]


def _timeout_since(start: float) -> float:
  """Returns the timeout for work that this process began at `start` too."""
  return TIMEOUT_SECONDS + MAX_SLOWDOWN * (time.monotonic() - start)


def _is_device_busy() -> bool:
  """Whether this process's GPU still has queued work; False on CPUs."""
  if device_of().type == "cpu":
    return False
  return not torch.cuda.current_stream().query()
