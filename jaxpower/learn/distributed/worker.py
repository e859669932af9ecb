"""The worker's loop: receive a call, make it, wait for the device, reply.

Runs in the processes of rank 1 and up. Every call is one that the coordinator
makes at the same time, so that the collectives in their programs meet. A call
that fails ends the worker: after a failed collective no rank knows where the
others stand.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import jax

from jaxpower import data
from jaxpower.config import Trial
from jaxpower.learn import wing
from jaxpower.learn.distributed import group
from jaxpower.learn.distributed.calls import Call, Done, Failed, Made, Said
from jaxpower.learn.distributed.replies import Replies
from jaxpower.learn.placement import Placed
from jaxpower.learn.programs import Programs
from jaxpower.learn.state import TrainState

Kept = Placed | Programs | TrainState


class Worker:
  """Makes the coordinator's calls and keeps what they make."""

  def __init__(self) -> None:
    self._kept: dict[int, Kept] = {}

  def make(self, call: Call) -> None:
    """Makes a call; returns when its arrays are computed on this device."""
    for number in call.forget:
      self._kept.pop(number, None)
    arguments: list[Any] = [
      self._kept[argument.number] if isinstance(argument, Made) else argument
      for argument in call.arguments
    ]
    function = place if call.name == "place" else getattr(wing, call.name)
    result = function(*arguments)
    wait(result)
    if (kept := kept_of(result)) is not None:
      self._kept[call.number] = kept


def place(trial: Trial) -> Placed:
  """Loads and places the data of a trial, as the coordinator does."""
  loaded = data.load(
    trial.data,
    mapped=trial.streaming != "never",
    validation_share=trial.validation_share,
  )
  return wing.place(trial, data.for_tasks(loaded, trial.tasks))


def kept_of(result: Any) -> Kept | None:
  """Returns what later calls may name of what a call returned."""
  first = result[0] if isinstance(result, tuple) else result
  return first if isinstance(first, Kept) else None


def wait(result: Any) -> None:
  """Waits until all that a call returned is computed on this device."""
  if isinstance(result, Placed):
    result = (result.train, result.scale, result.evaluated)
  jax.block_until_ready(result)


def run(
  commands: Connection,
  replies: Replies,
  rank: int,
  world_size: int,
  handle: Callable[[Any], Any] | None = None,
) -> None:
  """Runs a worker of this rank until its pipes close; never returns.

  Args:
    commands: Where calls come from.
    replies: Where replies go to.
    rank: Of this process.
    world_size: Number of processes that train.
    handle: Called with a message that is no call; returns the answer, if any.
  """
  try:
    group.init(commands.recv().address, rank, world_size)
    wing.prepare_compiler("jax")
    replies.send(Done(0))
    worker = Worker()
    while True:
      call = commands.recv()
      if isinstance(call, Call):
        worker.make(call)
        replies.send(Done(call.number))
      elif handle is not None and (answer := handle(call)) is not None:
        replies.send(Said(answer))
  except (EOFError, BrokenPipeError):
    pass  # the coordinator is gone
  except Exception as error:  # noqa: BLE001, the coordinator is to hear of it
    traceback.print_exc()
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    with contextlib.suppress(OSError):
      replies.send(Failed(line))
  sys.stderr.flush()
  # Python's own exit would have JAX wait for the other ranks.
  os._exit(0)
