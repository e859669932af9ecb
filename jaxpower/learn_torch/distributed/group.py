"""torch.distributed: the process group, DDP, FSDP and the collectives we use.

Every rank calls these functions at the same time. NCCL serves GPUs, gloo CPUs.

Three things here are not as in a tutorial. A group is left and never freed: a
free once deadlocked for eight minutes (`_never_freed`). What the coordinator
waits for has PyTorch's timeout *and* a watchdog of the interpreter's, since a
wait inside PyTorch can outlive its timeout. And DDP does not broadcast buffers:
batch norms keep the statistics of their own device's examples, as PyTorch users
know them (records say "per device"), unless a trial asks for those of the whole
batch, which are the same on all ranks.
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
from jaxpower.learn_torch.devices import device_of
from jaxpower.learn_torch.programs import Programs, warm_up
from jaxpower.learn_torch.spec import Spec
from jaxpower.learn_torch.state import TrainState, state_of

# How long one rank waits for another, in a collective and for a reply. Chosen,
# not fitted: far above an update's time, the longest gap between collectives.
TIMEOUT_SECONDS = 120.0

# How long a rank may make no progress before its watchdog ends it. Chosen, not
# fitted: well above TIMEOUT_SECONDS, so that only waits which outlive their
# timeout come to it.
WATCHDOG_SECONDS = 600.0

# How long a rank may wait in a collective for one that compiles more slowly.
# Chosen: two busy cores took 120 s longer for one of two ranks.
COMPILE_SECONDS = 500.0

# How rarely progress rearms the watchdog: it may fire a tenth early.
REARM_SECONDS = WATCHDOG_SECONDS / 10


LossFunction = Callable[..., Tensor]


def file_store(path: str) -> Any:
  """Returns the store through which ranks meet: a file that all of them open.

  All ranks are on this machine. A TCPStore listens on every interface and asks
  for no password, so whoever reaches the port could join the training, or write
  what ranks unpickle; the folder of this file is open to its user alone.
  """
  library: Any = distributed  # its type stubs do not export FileStore
  store = library.FileStore(path)
  store.set_timeout(dt.timedelta(seconds=TIMEOUT_SECONDS))
  return store


def tcp_store(address: str, port: int, rank: int, world_size: int) -> Any:
  """Returns the store through which ranks of several hosts meet.

  Rank 0 serves it on all its interfaces, without a password: the network of
  the hosts has to be one's own, as for every job that PyTorch divides.
  """
  library: Any = distributed  # its type stubs do not export TCPStore
  return library.TCPStore(
    address,
    port,
    world_size,
    is_master=rank == 0,
    timeout=dt.timedelta(seconds=TIMEOUT_SECONDS),
    wait_for_workers=False,
  )


def init(store: Any, rank: int, world_size: int, hosts: bool = False) -> None:
  """Initializes the process group; returns when all ranks have met.

  `hosts`: whether they are on several.
  """
  # Else gloo looks the host's name up for an address, and it may have none.
  if sys.platform == "linux" and not hosts:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
  with exit_if_stuck():
    distributed.init_process_group(
      "nccl" if device_of().type == "cuda" else "gloo",
      store=store,
      rank=rank,
      world_size=world_size,
      timeout=dt.timedelta(seconds=TIMEOUT_SECONDS),
    )


# References that keep every process group from being freed. PyTorch may free
# one while it holds Python's lock (the GIL) and then joins gloo's threads; one
# of those that has just finished a collective waits for the GIL to free a
# Python object: a deadlock. Seen in native stacks: the main thread in
# `~Reducer` (DDP), `~ProcessGroupGloo`, `thread::join`; the other in
# `~AsyncAllreduceWork`, `gil_scoped_acquire`.
_never_freed: list[Any] = []


def leave() -> None:
  """Leaves the process group after its other ranks were killed.

  Since they are dead, what waits for them in gloo fails at once. NCCL would
  wait on, and is aborted.
  """
  group = distributed.group.WORLD
  if group is None:
    return
  _never_freed.append(group)
  with exit_if_stuck():
    if device_of().type == "cuda":
      group.abort()
    distributed.destroy_process_group()


def wrap(programs: Programs, spec: Spec) -> LossFunction:
  """Wraps the loss, so that gradients are averaged over all ranks.

  In DDP, or in FSDP where the spec divides the weights. The function that is
  returned is to be called once for each of an update's micro-batches. Gradients
  add up on the device, and are reduced in the backward pass of the last
  micro-batch only.
  """
  if spec.sharding == "fsdp":
    from jaxpower.learn_torch.distributed import divided

    programs.divided = _LossModule(programs)
    programs.part_of = divided.part_of
    with exit_if_stuck():
      loss_of = divided.wrap(programs.divided, spec.accumulation)
      if spec.compiled:
        with patient():
          warm_up(programs, spec)
      return loss_of
  with exit_if_stuck():
    # Gradients are views of the buckets that are reduced: no copy of them.
    ddp = DistributedDataParallel(
      _LossModule(programs), gradient_as_bucket_view=True
    )
  numbers = itertools.cycle(range(1, spec.accumulation + 1))

  def loss_of(*batch: Tensor) -> Tensor:
    is_last = next(numbers) == spec.accumulation
    with contextlib.nullcontext() if is_last else ddp.no_sync():
      return ddp(*batch)

  return loss_of


class _LossModule(nn.Module):
  """The loss as a module, which is what DDP wraps.

  It wraps the loss and not the network, since the loss may have parameters
  that the network's own forward pass does not use: the weights of tasks.
  """

  def __init__(self, programs: Programs):
    super().__init__()
    self.network = programs.network
    self._loss_of = programs.loss_of
    # DDP reads this name. Buffers (the statistics of batch norms) are not
    # broadcast at every call: the coordinator alone evaluates, with those of
    # its own examples.
    buffers = [name for name, _ in self.named_buffers()]
    self._ddp_params_and_buffers_to_ignore = buffers

  def forward(self, *batch: Tensor) -> Tensor:
    return self._loss_of(*batch)


def broadcast_state(programs: Programs, trial: Trial) -> None:
  """Broadcasts the coordinator's training state to all other ranks.

  Weights and statistics travel as one flat tensor, the optimizer's moments as
  bytes. All goes through the group: a pipe holds 64 KiB, and its writer waits
  for a reader. What is divided travels whole, and each rank takes its part.
  """
  is_coordinator = distributed.get_rank() == 0
  if programs.divided is not None:
    sent: list[Any] = [None]
    if is_coordinator and programs.held is not None:
      sent = [_to_bytes(vars(programs.held))]
    distributed.broadcast_object_list(sent, 0)
    if not is_coordinator:
      programs.hold(TrainState(**_from_bytes(sent[0])), trial)
    return
  values = programs.network.state_dict().values()
  tensors = [value for value in values if value.is_floating_point()]
  flat = torch.cat([tensor.flatten() for tensor in tensors])
  distributed.broadcast(flat, 0)
  moments = [None]
  if is_coordinator and programs.held is not None:
    moments = [_to_bytes(programs.held.moments)]
  distributed.broadcast_object_list(moments, 0)
  if is_coordinator:
    return
  received = flat.split([tensor.numel() for tensor in tensors])
  for tensor, values in zip(tensors, received, strict=True):
    tensor.copy_(values.view(tensor.shape))
  state = state_of(programs.network, moments=_from_bytes(moments[0]))
  programs.hold(state, trial)


@contextlib.contextmanager
def patient() -> Iterator[None]:
  """Waits longer in collectives of the body, in which ranks compile.

  What is compiled runs at once, with the sums of batch norms over all ranks;
  one that is ready waits there for the others.
  """
  library: Any = distributed.distributed_c10d  # no public name has this
  library._set_pg_timeout(dt.timedelta(seconds=COMPILE_SECONDS))
  try:
    yield
  finally:
    library._set_pg_timeout(dt.timedelta(seconds=TIMEOUT_SECONDS))


def all_reduce_mean(loss: Tensor) -> Tensor:
  """Returns the mean of a tensor over all ranks; overwrites its argument."""
  distributed.all_reduce(loss)
  return loss / distributed.get_world_size()


@contextlib.contextmanager
def divide_threads(world_size: int) -> Iterator[None]:
  """Divides PyTorch's CPU threads over the ranks, at least one for each.

  Each process would else start as many threads as there are cores.
  """
  before = torch.get_num_threads()
  torch.set_num_threads(max(1, before // world_size))
  try:
    yield
  finally:
    torch.set_num_threads(before)


@contextlib.contextmanager
def exit_if_stuck() -> Iterator[Callable[[], None]]:
  """Watchdog: dumps tracebacks and exits if the body hangs.

  It yields a function to call on progress, which gives the body another
  WATCHDOG_SECONDS and costs nothing. The timer is faulthandler's, a thread in
  C that needs no GIL, and so fires even when a deadlock holds that. Exiting
  the coordinator kills its workers too, and fails one trial.
  """

  def arm() -> None:
    nonlocal rearm_at
    rearm_at = time.monotonic() + REARM_SECONDS
    faulthandler.dump_traceback_later(
      WATCHDOG_SECONDS, exit=True, file=sys.__stderr__ or 2
    )

  def progress() -> None:
    if time.monotonic() > rearm_at:
      arm()

  rearm_at = 0.0
  arm()
  try:
    yield progress
  finally:
    faulthandler.cancel_dump_traceback_later()


def _to_bytes(values: dict[str, Any] | None) -> Any:
  buffer = io.BytesIO()
  torch.save(values, buffer)
  return buffer.getvalue()


def _from_bytes(values: Any) -> Any:
  return torch.load(io.BytesIO(values), "cpu", weights_only=True)
