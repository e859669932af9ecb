"""Spawns a worker process of the coordinator, and is where one begins.

No JAX is imported here: loading it takes seconds, and a worker has to ask the
kernel to die with its parent before them.
"""

from jaxpower.learn.distributed.replies import Replies
from jaxpower.workers import rank_process
from jaxpower.workers.rank_process import RankProcess

WORKER_CODE = "from jaxpower.learn.distributed import process; process.main()"


def spawn(rank: int, world_size: int, gpu: str | None = None) -> RankProcess:
  """Spawns a worker process; args and errors as of `rank_process.spawn`."""
  return rank_process.spawn(WORKER_CODE, rank, world_size, gpu)


def main() -> None:
  """Runs a worker process, from its first line to its end."""
  commands, pipe, rank, world_size = rank_process.enter()
  replies = Replies(pipe)
  from jaxpower.learn.distributed import worker

  worker.run(commands, replies, rank, world_size)
