"""The worker's loop: receive a command, handle it, wait for the device, reply.

Runs in the processes of rank 1 and up, which `distributed.process` spawns. A
worker has the trial's data and a network of its own, and every command is one
that the coordinator carries out at the same time, so that their collectives
meet. It replies None when a command is done, on the device too: the
coordinator, having all replies, has passed a barrier. A command that fails
ends the worker, its error's first line being the last reply: after a failed
collective no rank knows where the others stand.
"""

import contextlib
import dataclasses
import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from jaxpower import data
from jaxpower.config import Trial
from jaxpower.learn_torch import placement
from jaxpower.learn_torch.distributed import group
from jaxpower.learn_torch.placement import Placed
from jaxpower.learn_torch.programs import Programs, compile_programs
from jaxpower.learn_torch.segment import train_share
from jaxpower.learn_torch.spec import Spec


@dataclasses.dataclass(frozen=True)
class Meet:
  """Join the group, whose store is the file of this path."""

  path: str


@dataclasses.dataclass(frozen=True)
class MeetHosts:
  """Join the group of several hosts, whose store rank 0 serves here."""

  address: str
  port: int


@dataclasses.dataclass(frozen=True)
class PlaceData:
  """Load the data set of a trial and place it on the device."""

  trial: Trial
  spec: Spec


@dataclasses.dataclass(frozen=True)
class Compile:
  """Build and compile the programs of a spec."""

  spec: Spec


@dataclasses.dataclass(frozen=True)
class Wrap:
  """Wrap a spec's loss in DDP or FSDP, with all other ranks."""

  spec: Spec


@dataclasses.dataclass(frozen=True)
class ReceiveState:
  """Receive the coordinator's training state, broadcast through the group."""

  spec: Spec


@dataclasses.dataclass(frozen=True)
class GatherWeights:
  """Send this rank's part of a spec's weights to all others."""

  spec: Spec


@dataclasses.dataclass(frozen=True)
class GatherState:
  """Send this rank's part of a spec's whole training state to all others."""

  spec: Spec


@dataclasses.dataclass(frozen=True)
class TrainSegment:
  """Train one segment of the trial that was placed last."""

  segment: int


Command = (
  PlaceData
  | Compile
  | Wrap
  | ReceiveState
  | GatherWeights
  | GatherState
  | TrainSegment
)


class Worker:
  """One worker's programs, losses and placed trial; handles commands."""

  def __init__(self, rank: int):
    self._rank = rank
    self._programs: dict[Spec, Programs] = {}
    self._losses: dict[Spec, group.LossFunction] = {}
    self._placed: Placed | None = None

  def handle(self, command: Command) -> None:
    """Carries out a command; a GPU may still be busy when this returns."""
    match command:
      case PlaceData(trial, spec):
        self._placed = None  # frees its memory for the next trial
        # As the coordinator loads it: mapped from disk where it may stream.
        loaded = data.load(
          trial.data,
          mapped=trial.streaming != "never",
          validation_share=trial.validation_share,
        )
        sets = data.for_tasks(loaded, trial.tasks)
        self._placed = placement.place(trial, sets, spec, self._rank)
      case Compile(spec):
        with group.patient():
          self._programs[spec] = compile_programs(spec)
      case Wrap(spec):
        self._losses[spec] = group.wrap(self._programs[spec], spec)
      case GatherWeights(spec):
        self._programs[spec].divided.unshard()
        self._programs[spec].divided.reshard()
      case GatherState(spec):
        from jaxpower.learn_torch.distributed import divided

        divided.whole_state(self._programs[spec].keep(step=0))
      case ReceiveState(spec):
        group.broadcast_state(
          self._programs[spec], self._require_placed().trial
        )
      case TrainSegment(segment):
        placed = self._require_placed()
        loss_of = self._losses[placed.spec]
        programs = self._programs[placed.spec]
        loss, _ = train_share(programs, placed, segment, loss_of)
        group.all_reduce_mean(loss)

  def _require_placed(self) -> Placed:
    """Returns the placed trial; the coordinator always places one first."""
    assert self._placed is not None
    return self._placed


def run(
  commands: Connection,
  replies: Connection,
  rank: int,
  world_size: int,
  handle: Callable[[Any], Any] | None = None,
) -> None:
  """Runs a worker of this rank until its pipes close; never returns.

  Args:
    commands: Where commands come from.
    replies: Where replies go to.
    rank: Of this process.
    world_size: Number of processes that train.
    handle: Called with a message that is no command; returns the answer, if
      any, which is then the reply.
  """
  try:
    replies.send(None)  # ready: PyTorch is imported
    meet(commands.recv(), rank, world_size)
    with group.divide_threads(world_size):
      _handle_commands(Worker(rank), commands, replies, handle)
  except (EOFError, BrokenPipeError):
    pass  # the coordinator is gone
  except Exception as error:  # noqa: BLE001, the coordinator is to hear of it
    traceback.print_exc()
    with contextlib.suppress(OSError):
      replies.send(f"{type(error).__name__}: {error}".splitlines()[0])
  sys.stderr.flush()
  # Python's own exit would destroy the process group, which can wait for
  # other ranks.
  os._exit(0)


def meet(command: Meet | MeetHosts, rank: int, world_size: int) -> None:
  """Joins the group as a command says; returns when all ranks have met."""
  match command:
    case Meet(path):
      group.init(group.file_store(path), rank, world_size)
    case MeetHosts(address, port):
      store = group.tcp_store(address, port, rank, world_size)
      group.init(store, rank, world_size, hosts=True)


def _handle_commands(
  worker: Worker,
  commands: Connection,
  replies: Connection,
  handle: Callable[[Any], Any] | None,
) -> None:
  """Handles commands one by one; ends by EOFError when the pipe closes."""
  while True:
    command = commands.recv()
    if handle is not None and not isinstance(command, Command):
      if (answer := handle(command)) is not None:
        replies.send(answer)
      continue
    worker.handle(command)
    if torch.cuda.is_available():
      torch.cuda.synchronize()
    replies.send(None)
