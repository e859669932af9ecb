"""Workers on eight GPUs that are not there, with trials that only wait.

`COMMAND` takes the place of `worker.COMMAND`: real pipes, processes and
signals. `InProcess` takes that of `worker.Worker`: none of these. A trial
takes GPU_SECONDS.
"""

import os
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from jaxpower import provenance
from jaxpower.accounting import EvalResult
from jaxpower.config import Trial
from jaxpower.messages import Done, Progress, Ready, Stopped, Task
from jaxpower.records import Evaluation, TrialRecord, identity
from jaxpower.workers import serving
from jaxpower.workers.places import Place
from jaxpower.workers.worker import WorkerError, failed_record

COMMAND = "from tests.gpu_worker import main; main()"
GPUS = tuple(f"GPU-{i:08d}-0000-0000-0000-000000000000" for i in range(8))
KIND = "NVIDIA H100"
LOOKS = 4


def visible() -> tuple[str, ...]:
  """The boards of this process."""
  text = os.environ.get("CUDA_VISIBLE_DEVICES")
  return GPUS if text is None else tuple(text.split(","))


class Host:
  """Runs trials that only wait."""

  def __init__(self, meter: str, framework: str, processes: int):
    del meter, framework, processes

  def ready(self) -> Ready:
    return ready(visible())

  def run(
    self, task: Task, orders: serving.Orders, sender: serving.Sender
  ) -> Done | Stopped:
    began = time.time()
    sender.send(Progress(phase="train", accuracy=0.5))
    if orders.stop.wait(seconds()):
      return Stopped()
    return Done(record(task.trial, task.varied, task.folder, visible(), began))


class InProcess:
  """Runs trials in the sweep's process.

  Attributes:
    lost: Boards that fail: a trial there, and the start of the next worker.
  """

  lost: ClassVar[set[str]] = set()

  def __init__(
    self,
    meter: str,
    framework: str,
    limits: Any,
    held: Any,
    place: Place,
    *_: Any,
  ):
    del meter, framework, limits, held
    self._gpus = place.gpus or GPUS
    self._fails = bool(place.gpus and self.lost & {*place.gpus})
    self._ended = threading.Event()

  def __enter__(self) -> "InProcess":
    if self._fails and self._gpus in _failed:
      raise WorkerError("CUDA_ERROR_NO_DEVICE")
    return self

  def __exit__(self, *_: object) -> None:
    return None

  @property
  def ready(self) -> Ready:
    return ready(self._gpus)

  def terminate(self) -> None:
    self._ended.set()

  def run(
    self,
    trial: Trial,
    varied: dict[str, Any],
    folder: pathlib.Path,
    compile_repeats: int = 1,
    stop: Callable[[], bool] = lambda: False,
    checkpoint_minutes: float = 10.0,
    **_: Any,
  ) -> Iterator[Progress | Done | Stopped]:
    began = time.time()
    yield Progress(phase="train", accuracy=0.5)
    self._ended.wait(seconds())
    if stop():
      yield Stopped()
    elif self._fails:
      _failed.add(self._gpus)
      yield Done(failed_record(trial, varied, "CUDA_ERROR_ILLEGAL_ADDRESS"))
    else:
      yield Done(record(trial, varied, str(folder), self._gpus, began))


_failed: set[tuple[str, ...]] = set()


def ready(gpus: Sequence[str]) -> Ready:
  return Ready(
    platform="gpu",
    device_kind=KIND,
    devices=len(gpus),
    meter={"estimated": False, "domains": []},
  )


def seconds() -> float:
  return float(os.environ.get("GPU_SECONDS", "0.05"))


def record(
  trial: Trial,
  varied: dict[str, Any],
  folder: str,
  gpus: Sequence[str],
  began: float,
) -> TrialRecord:
  """A record with a curve that depends on the trial alone, and its boards."""
  rate = 1.0 + trial.seed + trial.batch_size / 100
  slower = 1.1 if folder.endswith("together") else 1.0
  looks = [
    EvalResult(
      examples=look * 100,
      steps=look,
      train_loss=1 / (1 + look),
      loss=1 / (1 + rate * look),
      accuracy=look / LOOKS,
    )
    for look in range(LOOKS + 1)
  ]
  curve = tuple(
    Evaluation(
      **vars(look), train_seconds=slower * n, train_joules=slower * rate * n * n
    )
    for n, look in enumerate(looks)
  )
  return TrialRecord(
    **identity(trial, varied),
    status="reached",
    final_accuracy=1.0,
    curve=curve,
    wall_seconds=time.time() - began,
    provenance=provenance.collect()
    | {
      "pid": os.getpid(),
      "span": [began, time.time()],
      "devices": [
        {"platform": "gpu", "kind": KIND, "uuid": uuid} for uuid in gpus
      ],
    },
  )


def main() -> None:
  """Serves trials."""
  faked: Any = serving
  faked.Host = Host
  serving.main(sys.argv[1:])
