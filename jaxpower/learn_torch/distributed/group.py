"""Processes that train together: PyTorch's group of them, and what they share.

Every process of a training calls these at the same time. Each wait for another
process ends within `PATIENCE_SECONDS`.
"""

import contextlib
import datetime as dt
import faulthandler
import io
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from jaxpower.config import Trial
from jaxpower.learn_torch.programs import Programs, state_of
from jaxpower.learn_torch.spec import device_of

HERE = "127.0.0.1"

PATIENCE_SECONDS = 120.0  # of one process for another

LAST_RESORT_SECONDS = 600.0  # without an update, where patience did not help


LossOf = Callable[..., Tensor]


def store_at(port: int) -> Any:
  """Where processes find one another: at a port; 0 opens one."""
  library: Any = distributed
  return library.TCPStore(
    HERE,
    port,
    is_master=port == 0,
    timeout=dt.timedelta(seconds=PATIENCE_SECONDS),
    wait_for_workers=False,
  )


def join(store: Any, rank: int, processes: int) -> None:
  """Makes this process one of the group."""
  # Else gloo asks what address the machine's name has, which may be none.
  if sys.platform == "linux":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
  with or_exit():
    distributed.init_process_group(
      "nccl" if device_of().type == "cuda" else "gloo",
      store=store,
      rank=rank,
      world_size=processes,
      timeout=dt.timedelta(seconds=PATIENCE_SECONDS),
    )


# PyTorch may free a group with Python's lock in hand, and then waits for its
# threads; one of gloo's that just ended some work waits for that lock. (Seen:
# `~Reducer` over `~ProcessGroupGloo` over `thread::join`, and a thread in
# `~AsyncAllreduceWork` over `gil_scoped_acquire`.) So no group is ever freed.
_left: list[Any] = []


def leave() -> None:
  """Leaves the group, whose other processes are dead by now.

  So whatever still waits for one of them fails at once. On a GPU it would
  wait on, and is given up.
  """
  group = distributed.group.WORLD
  if group is None:
    return
  _left.append(group)
  with or_exit():
    if device_of().type == "cuda":
      group.abort()
    distributed.destroy_process_group()


def unite(programs: Programs, parts: int) -> LossOf:
  """The loss whose gradients are averaged over all processes.

  It is called for each of an update's micro-batches, `parts` of them, and
  averages when it goes back from the last.
  """
  with or_exit():
    averaged = DistributedDataParallel(
      _Loss(programs), gradient_as_bucket_view=True
    )
  part = itertools.cycle(range(1, parts + 1))

  def loss_of(*batch: Tensor) -> Tensor:
    last = next(part) == parts
    with contextlib.nullcontext() if last else averaged.no_sync():
      return averaged(*batch)

  return loss_of


class _Loss(nn.Module):
  """The loss as a module: what is averaged may be learned outside a network."""

  def __init__(self, programs: Programs):
    super().__init__()
    self.network = programs.network
    self._loss_of = programs.loss_of
    # The first process evaluates, with the statistics of its own examples;
    # those of the others need not be made equal at each call.
    buffers = [name for name, _ in self.named_buffers()]
    self._ddp_params_and_buffers_to_ignore = buffers

  def forward(self, *batch: Tensor) -> Tensor:
    return self._loss_of(*batch)


def share_state(programs: Programs, trial: Trial) -> None:
  """Gives every process the state that the first one's programs hold."""
  first = distributed.get_rank() == 0
  values = programs.network.state_dict().values()
  numbers = [v for v in values if v.is_floating_point()]
  together = torch.cat([v.flatten() for v in numbers])
  distributed.broadcast(together, 0)
  moments = [None]
  if first and programs.held is not None:
    moments = [_to_bytes(programs.held.moments)]
  # Through the group and not a pipe, whose writer waits for a reader.
  distributed.broadcast_object_list(moments, 0)
  if first:
    return
  pieces = together.split([v.numel() for v in numbers])
  for value, piece in zip(numbers, pieces, strict=True):
    value.copy_(piece.view(value.shape))
  state = state_of(programs.network, moments=_from_bytes(moments[0]))
  programs.hold(state, trial)


def average(loss: Tensor) -> Tensor:
  """The mean over all processes."""
  distributed.all_reduce(loss)
  return loss / distributed.get_world_size()


@contextlib.contextmanager
def threads(processes: int) -> Iterator[None]:
  """The CPU's threads divided over the processes."""
  before = torch.get_num_threads()
  torch.set_num_threads(max(1, before // processes))
  try:
    yield
  finally:
    torch.set_num_threads(before)


@contextlib.contextmanager
def or_exit() -> Iterator[Callable[[], None]]:
  """Ends this process, saying where it stands, if what is inside never does.

  The last resort where a wait inside PyTorch forgets its end: a thread that
  needs no lock of Python's. The time begins anew whenever what is yielded is
  called; that costs nothing.
  """

  def begin() -> None:
    nonlocal due
    due = time.monotonic() + LAST_RESORT_SECONDS / 10
    faulthandler.dump_traceback_later(
      LAST_RESORT_SECONDS, exit=True, file=sys.__stderr__ or 2
    )

  def progress() -> None:
    if time.monotonic() > due:
      begin()

  due = 0.0
  begin()
  try:
    yield progress
  finally:
    faulthandler.cancel_dump_traceback_later()


def _to_bytes(moments: dict[str, Any] | None) -> Any:
  buffer = io.BytesIO()
  torch.save(moments, buffer)
  return buffer.getvalue()


def _from_bytes(moments: Any) -> dict[str, Any] | None:
  return torch.load(io.BytesIO(moments), "cpu", weights_only=True)
