"""A worker process as the coordinator holds it, and where one begins.

No JAX is imported here: loading it takes seconds, and a worker has to ask the
kernel to die with its parent before them.
"""

import os

from jaxpower.learn.distributed.replies import Replies
from jaxpower.workers import rank_process
from jaxpower.workers.rank_process import RankProcess

WORKER_CODE = "from jaxpower.learn.distributed import process; process.main()"


class WorkerProcess(RankProcess):
  """A spawned worker process and the two pipes to it.

  Args:
    rank: Its rank, from 1.
    world_size: Number of processes that train, the coordinator's included.
    gpu: Its CUDA_VISIBLE_DEVICES; None: that of this process.

  Raises OSError if it cannot be spawned.
  """

  def __init__(self, rank: int, world_size: int, gpu: str | None = None):
    own = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    environment = rank_process.environment(os.environ, own)
    super().__init__(WORKER_CODE, rank, world_size, environment)


def main() -> None:
  """Runs a worker process, from its first line to its end."""
  commands, pipe, rank, world_size = rank_process.enter()
  replies = Replies(pipe)
  from jaxpower.learn.distributed import worker

  worker.run(commands, replies, rank, world_size)
