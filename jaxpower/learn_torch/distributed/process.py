"""Spawns a worker process of the coordinator, and is where one begins.

No PyTorch is imported here (tested): loading it takes seconds, and a worker
has to ask the kernel to die with its parent before them. `main` is where the
worker begins; it imports `distributed.worker` after that.
"""

from jaxpower.workers import rank_process
from jaxpower.workers.rank_process import RankProcess

WORKER_CODE = (
  "from jaxpower.learn_torch.distributed import process; process.main()"
)


def spawn(rank: int, world_size: int, gpu: str | None = None) -> RankProcess:
  """Spawns a worker process; args and errors as of `rank_process.spawn`."""
  return rank_process.spawn(WORKER_CODE, rank, world_size, gpu)


def main() -> None:
  """Runs a worker process, from its first line to its end."""
  commands, replies, rank, world_size = rank_process.enter()
  from jaxpower.learn_torch.distributed import worker

  worker.run(commands, replies, rank, world_size)
