"""The life of a process that trains under another one, and its orders.

Started by `distributed.process`. It holds the trial's data and a network
of its own, does as it is told and says so, until its pipe is closed. The two
speak over two pipes: an order goes one way, and back comes None once it is
done, on the device too, or a line that says why it cannot be.
"""

import contextlib
import dataclasses
import os
import sys
import traceback
from multiprocessing.connection import Connection

import torch

from jaxpower import data
from jaxpower.config import Trial
from jaxpower.learn_torch import replica
from jaxpower.learn_torch.distributed import group
from jaxpower.learn_torch.programs import Programs, compile_programs
from jaxpower.learn_torch.replica import Placed
from jaxpower.learn_torch.spec import Spec


@dataclasses.dataclass(frozen=True)
class Place:
  """Bring the data of a trial to the device."""

  trial: Trial
  spec: Spec


@dataclasses.dataclass(frozen=True)
class Compile:
  """Make what a spec needs."""

  spec: Spec


@dataclasses.dataclass(frozen=True)
class Unite:
  """Let the gradients of a spec's network be averaged from now on."""

  spec: Spec


@dataclasses.dataclass(frozen=True)
class Hold:
  """Take over the first process's state, which comes through the group."""

  spec: Spec


@dataclasses.dataclass(frozen=True)
class Train:
  """Make the updates of a segment of the trial that was placed last."""

  segment: int


Order = Place | Compile | Unite | Hold | Train


class Peer:
  """What one process has of all that it was told to make."""

  def __init__(self, number: int):
    self._rank = number
    self._programs: dict[Spec, Programs] = {}
    self._losses: dict[Spec, group.LossOf] = {}
    self._placed: Placed | None = None

  def obey(self, order: Order) -> None:
    """Does as it is told; a GPU may not be ready when this returns."""
    match order:
      case Place(trial, spec):
        self._placed = None  # before the next one needs its place
        # As the first process loads it: left on disk where it may stay there.
        found = data.load(trial.data, mapped=trial.streaming != "never")
        sets = data.for_tasks(found, trial.tasks)
        self._placed = replica.place(trial, sets, spec, self._rank)
      case Compile(spec):
        self._programs[spec] = compile_programs(spec)
      case Unite(spec):
        made = self._programs[spec]
        self._losses[spec] = group.unite(made, spec.accumulation)
      case Hold(spec):
        group.share_state(self._programs[spec], self._now().trial)
      case Train(segment):
        placed = self._now()
        loss_of = self._losses[placed.spec]
        programs = self._programs[placed.spec]
        loss, _ = replica.train(loss_of, programs, placed, segment)
        group.average(loss)

  def _now(self) -> Placed:
    assert self._placed is not None
    return self._placed


def follow(
  inbox: Connection, outbox: Connection, number: int, processes: int
) -> None:
  """The life of the process of this rank; it does not return."""
  try:
    outbox.send(None)
    group.join(group.store_at(inbox.recv()), number, processes)
    with group.threads(processes):
      _serve(Peer(number), inbox, outbox)
  except (EOFError, BrokenPipeError):
    pass  # the first one is gone
  except Exception as error:  # noqa: BLE001, the first one is to hear of it
    traceback.print_exc()
    with contextlib.suppress(OSError):
      outbox.send(f"{type(error).__name__}: {error}".splitlines()[0])
  sys.stderr.flush()
  os._exit(0)  # nothing here is worth waiting for others, as a group would


def _serve(peer: Peer, inbox: Connection, outbox: Connection) -> None:
  while True:
    peer.obey(inbox.recv())
    if torch.cuda.is_available():
      torch.cuda.synchronize()
    outbox.send(None)
