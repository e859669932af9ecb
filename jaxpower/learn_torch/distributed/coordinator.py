"""Training over several devices: the first process's end of it.

The process that runs a trial is the first of a `Team`; each other one has a
device of its own and obeys (`distributed.worker`). They live from one trial to
the next, as what is compiled does, so that not every trial pays for starting
PyTorch and compiling in each.

One that dies, fails or falls silent ends the team, and is told in one line. The
others are killed before the group is left: so nothing waits for anyone.
"""

import atexit
import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing import connection
from typing import Any

import torch
from torch import Tensor

from jaxpower.config import Trial
from jaxpower.data import DataSet
from jaxpower.learn_torch import replica
from jaxpower.learn_torch.distributed import group
from jaxpower.learn_torch.distributed.group import PATIENCE_SECONDS
from jaxpower.learn_torch.distributed.process import Link
from jaxpower.learn_torch.distributed.worker import (
  Compile,
  Hold,
  Order,
  Place,
  Train,
  Unite,
)
from jaxpower.learn_torch.programs import Programs, TrainState, compile_programs
from jaxpower.learn_torch.replica import Placed
from jaxpower.learn_torch.spec import Spec, device_of

LAST_WORDS_SECONDS = 2.0  # for a process to be seen dead that broke a link

OVER_AGAIN = 10  # how much longer than the first process another may take


_numbers = itertools.count(1)


class TeamError(RuntimeError):
  """A process of the training is dead or failed; one line says why."""


class Team:
  """All processes of a training, this one being the first.

  Attributes:
    number: Another for each team of this process.
    size: How many processes there are.

  Raises TeamError where a process cannot be started.
  """

  def __init__(self, size: int):
    self.number, self.size = next(_numbers), size
    self._peers: list[Link] = []
    self._losses: dict[Spec, group.LossOf] = {}
    self._held: tuple[Programs, TrainState] | None = None
    atexit.register(self.end)
    with self._or_why():
      store = group.store_at(0)
      for number in range(1, size):
        self._peers.append(Link(number, size, _gpu(number)))
      self._hear(PATIENCE_SECONDS)
      self._tell(store.port)
      group.join(store, 0, size)

  @property
  def pids(self) -> list[int]:
    """The ids of the other processes."""
    return [peer.pid for peer in self._peers]

  @property
  def alive(self) -> bool:
    """Whether all of them are there."""
    return bool(self._peers) and all(peer.alive for peer in self._peers)

  def place(self, trial: Trial, sets: DataSet, spec: Spec) -> Placed:
    """Places a trial in every process; the others load its set themselves."""
    with self._or_why():
      self._tell(Place(trial, spec))
      began = time.monotonic()
      placed = replica.place(trial, sets, spec)
      self._hear(_patience(began))
    return placed

  def compile(self, spec: Spec) -> Programs:
    """Makes what a spec needs, in every process."""
    with self._or_why():
      self._tell(Compile(spec))
      began = time.monotonic()
      programs = compile_programs(spec)
      self._hear(_patience(began))
      self._tell(Unite(spec))
      self._losses[spec] = group.unite(programs, spec.accumulation)
      self._hear(PATIENCE_SECONDS)
    return programs

  def train(
    self, programs: Programs, placed: Placed, segment: int
  ) -> tuple[Tensor, float]:
    """The updates of one segment, each batch divided over all processes.

    Gradients are averaged over them, so that an update is that of the whole
    batch. It begins from the state that the programs hold; `keep` tells the
    team which one they hold afterwards. Every other process has done its
    part, on its device too, when this returns.

    Returns the mean loss, and the seconds that this process waited for data.
    """
    with self._or_why(), group.or_exit() as progress:
      if not self._holds(programs):
        assert programs.held is not None
        self._tell(Hold(placed.spec))
        group.share_state(programs, placed.trial)
        self._hear(PATIENCE_SECONDS)
      self._held = None  # until it is known what comes of it
      loss_of = self._losses[placed.spec]

      def followed(*batch: Any) -> Tensor:
        progress()
        return loss_of(*batch)

      self._tell(Train(segment))
      with group.threads(self.size):
        share = replica.train(followed, programs, placed, segment)
        loss, waited = share
        loss = group.average(loss)
      self._hear(PATIENCE_SECONDS, _is_busy)
    return loss, waited

  def keep(self, programs: Programs, state: TrainState) -> None:
    """Every process holds this now: it is what they trained."""
    self._held = programs, state

  def end(self) -> None:
    """Ends the other processes; nothing of them is left afterwards."""
    for peer in self._peers:
      peer.cut()
    for peer in self._peers:
      peer.bury()
    left, self._peers = self._peers, []
    self._held = None
    self._losses.clear()
    if left:
      group.leave()
    atexit.unregister(self.end)

  def _holds(self, programs: Programs) -> bool:
    if self._held is None:
      return False
    held_by, state = self._held
    return held_by is programs and state is programs.held

  def _tell(self, order: Order | int) -> None:
    if not self._peers:
      raise TeamError("the processes of this training were ended")
    for peer in self._peers:
      peer.tell(order)

  def _hear(
    self, patience_seconds: float, busy: Callable[[], bool] = lambda: False
  ) -> None:
    """Waits for every other process to have done as it was told.

    Patience begins when this process's own device is no longer `busy`.
    """
    silent = {peer.answers: peer for peer in self._peers}
    until = time.monotonic() + patience_seconds
    while silent:
      for pipe in connection.wait(list(silent), 1.0):
        peer = next(p for p in self._peers if p.answers is pipe)
        if words := peer.hear():
          raise TeamError(f"{peer.name}: {words}")
        del silent[peer.answers]
      if silent and busy():
        until = time.monotonic() + patience_seconds
      if silent and time.monotonic() > until:
        names = ", ".join(peer.name for peer in silent.values())
        raise TeamError(f"{names}: silent for {patience_seconds:.0f} s")

  @contextlib.contextmanager
  def _or_why(self) -> Iterator[None]:
    """Ends the team on any error, and says which process began it."""
    try:
      yield
    except Exception as error:
      why = self._last_words(error)
      self.end()
      if why is None:
        raise
      raise TeamError(why) from error
    except BaseException:
      self.end()
      raise

  def _last_words(self, error: Exception) -> str | None:
    """Of a process that died, else of the first that failed.

    A link breaks before the process behind it is seen to be dead, and then
    others fail too.
    """
    failed = str(error) if isinstance(error, TeamError) else None
    until = time.monotonic() + LAST_WORDS_SECONDS
    while self._peers and time.monotonic() < until:
      for peer in self._peers:
        if death := peer.death():
          return death
        failed = failed or peer.last_words()
      time.sleep(0.02)
    return failed


# PyTorch knows one group of processes at a time, and so there is one team.
_now: Team | None = None


def gather(size: int) -> Team | None:
  """The team of this size, the one that lives or else a new one.

  Any other is ended. None where one process is enough.
  """
  global _now
  if _now is not None and not (_now.alive and _now.size == size):
    dismiss()
  if _now is None and size > 1:
    _now = Team(size)
  return _now


def dismiss() -> None:
  """Ends the team that lives, if any does."""
  global _now
  if _now is not None:
    _now.end()
  _now = None


def team_of(spec: Spec) -> Team | None:
  """The team that a spec is for; None: one process alone.

  Raises TeamError where that team lives no more.
  """
  if spec.team == 0:
    return None
  if _now is None or _now.number != spec.team:
    raise TeamError("the processes of this training were ended")
  return _now


def _gpu(number: int) -> str | None:
  """What CUDA_VISIBLE_DEVICES calls the GPU of this number; None on CPUs.

  To see one alone keeps a process from taking memory of the first.
  """
  if device_of().type == "cpu":
    return None
  visible = os.environ.get("CUDA_VISIBLE_DEVICES")
  return visible.split(",")[number] if visible else str(number)


def _patience(began: float) -> float:
  """How long to wait for others who do what took this process since then."""
  return PATIENCE_SECONDS + OVER_AGAIN * (time.monotonic() - began)


def _is_busy() -> bool:
  """Whether this process's GPU still has to do what it was told to."""
  if device_of().type == "cpu":
    return False
  return not torch.cuda.current_stream().query()
