"""The process of a rank above 0: comes to a meeting, then trains and meters."""

import sys

from jaxpower.hosts.meeting import Hello, Meeting, join
from jaxpower.hosts.meter import HostMeter
from jaxpower.learn.distributed.replies import Replies
from jaxpower.power import MeterError
from jaxpower.power.cuda import cuda_devices
from jaxpower.power.devices import UNKNOWN, board_of, list_boards
from jaxpower.power.nvml import start_nvml, stop_nvml
from jaxpower.workers import rank_process


def main() -> None:
  """Runs the process, from its first line to its end."""
  commands, _, rank, world_size = rank_process.enter()
  facts, host = commands.recv()
  meeting = Meeting(**facts)
  try:
    connection = join(meeting, Hello(rank, host, own_gpu()))
  except (OSError, EOFError) as error:
    print(f"rank {rank}: the meeting is over: {error}", file=sys.stderr)
    return
  meter = HostMeter(meeting.meter)
  if meeting.framework == "jax":
    replies = Replies(connection)
    from jaxpower.learn.distributed import worker

    worker.run(connection, replies, rank, world_size, meter.handle)
  else:
    from jaxpower.learn_torch.distributed import worker

    worker.run(connection, connection, rank, world_size, meter.handle)


def own_gpu() -> str | None:
  """Returns the board of the one GPU of this process, as the meter names it.

  None without a GPU; one whose board is not known is billed as unknown.
  """
  try:
    device, *_ = cuda_devices()
  except (MeterError, ValueError):  # no CUDA, or no device
    return None
  try:
    start_nvml()
  except MeterError:
    return f"{UNKNOWN}{device.index}"
  try:
    board = board_of(device, list_boards())
  finally:
    stop_nvml()
  return f"{UNKNOWN}{device.index}" if board is None else board.uuid
