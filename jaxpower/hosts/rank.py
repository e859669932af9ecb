"""The process of a rank above 0: comes to a meeting, then trains and meters."""

import contextlib
import sys

from jaxpower.hosts.meeting import Hello, Meeting, join
from jaxpower.hosts.meter import HostMeter
from jaxpower.power import MeterError
from jaxpower.power.cuda import cuda_devices
from jaxpower.workers import rank_process


def main() -> None:
  """Runs the process, from its first line to its end."""
  commands, _, rank, world_size = rank_process.enter()
  facts, host = commands.recv()
  meeting = Meeting(**facts)
  try:
    connection = join(meeting, Hello(rank, host, _own_gpu()))
  except (OSError, EOFError) as error:
    print(f"rank {rank}: the meeting is over: {error}", file=sys.stderr)
    return
  meter = HostMeter(meeting.meter)
  if meeting.framework == "jax":
    from jaxpower.learn.distributed import worker
  else:
    from jaxpower.learn_torch.distributed import worker
  worker.run(connection, connection, rank, world_size, meter.handle)


def _own_gpu() -> str | None:
  """Asks CUDA for the UUID of the one GPU of this process; None without."""
  with contextlib.suppress(MeterError):
    for device in cuda_devices():
      return None if device.uuid is None else f"GPU-{device.uuid}"
  return None
