"""Tasks of a cluster whose trials take no time."""

import os

from jaxpower.launch.task import TrialTask
from jaxpower.workers import worker
from tests import gpu_worker


class QuickTask(TrialTask):
  """Runs its trial in a worker without a framework."""

  def __call__(self) -> str:
    worker.COMMAND = gpu_worker.COMMAND
    if os.environ.get("QUICK_TASK") == "dies":
      os._exit(3)
    return super().__call__()
