"""A worker without a framework: the real pipes, threads and signals, at once.

`COMMAND` takes the place of `worker.COMMAND`. What its trials do is said by
`varied["do"]`, or for all of them by the variable QUICK_DO.
"""

import os
import pathlib
import shutil
import signal
import sys
import time
from typing import Any

from jaxpower import provenance
from jaxpower.messages import Done, Progress, Ready, Stopped, Task
from jaxpower.records import TrialRecord, identity
from jaxpower.workers import serving

COMMAND = "from tests.quick_worker import main; main()"
READY = Ready(
  platform="cpu",
  device_kind="cpu",
  devices=1,
  meter={"estimated": True, "domains": []},
)


class Host:
  """Does at once what it is told to."""

  def __init__(self, meter: str, framework: str, processes: int):
    del meter, framework, processes

  def ready(self) -> Ready:
    if os.environ.get("QUICK_DO") == "hang at the start":
      time.sleep(60)
    return READY

  def run(
    self, task: Task, orders: serving.Orders, sender: serving.Sender
  ) -> Done | Stopped:
    sender.send(Progress(phase="compile"))
    do = task.varied.get("do") or os.environ.get("QUICK_DO", "")
    marker = pathlib.Path(task.folder) / "died"
    if do == "hang":
      time.sleep(60)
    if do == "spin":  # holds what a trial would, looks at nothing
      while True:
        pass
    if do == "stop":
      os.kill(os.getpid(), signal.SIGSTOP)
    if do == "die" or (do == "die once" and not marker.exists()):
      marker.write_text("")
      os.kill(os.getpid(), signal.SIGSEGV)
    if do == "wait":
      orders.stop.wait(60)
      return Stopped()
    if do == "lose the folder":
      shutil.rmtree(task.folder)
    return Done(record(task), renew=do == "renew")


def record(task: Task) -> TrialRecord:
  return TrialRecord(
    **identity(task.trial, task.varied),
    status="reached",
    final_accuracy=0.9,
    provenance=provenance.collect() | {"pid": os.getpid()},
  )


def main() -> None:
  """Serves trials that take no time."""
  faked: Any = serving
  faked.Host = Host
  faked.ALIVE_SECONDS = 0.2
  if os.environ.get("QUICK_KERNEL") == "other":  # as where there is no prctl
    faked.lifeline.die_with = lambda parent: None
  serving.main(sys.argv[1:])
