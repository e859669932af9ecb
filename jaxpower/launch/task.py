"""One trial as a task of submitit: what is pickled, run there, and requeued.

The trial runs in a thread, so that the main thread can answer signals. USR2 is
what submitit has Slurm send before a time limit or a pre-emption: submitit then
calls `checkpoint` in the main thread, which asks the trial to end at its next
look and waits for that, and requeues the task. TERM is what Slurm sends when it
requeues by itself: the trial is ended in the same way. A task that begins again
goes on from the trial's checkpoint.
"""

import dataclasses
import os
import pathlib
import signal
import threading
from typing import Any

from jaxpower.config import Sweep, Trial
from jaxpower.folder.claims import BEAT_SECONDS, STALE_SECONDS
from jaxpower.one_trial import run_trial
from jaxpower.workers.patience import DEFAULT_LIMITS, Limits
from jaxpower.workers.places import VISIBLE

# For how long a task is waited for to write its checkpoint and end; the cluster
# is asked to send its signal so long before it kills, and a little. Chosen.
GRACE_SECONDS = 100.0
SIGNAL_SECONDS = 120
# A node that died leaves a claim that only grows stale.
WAIT_SECONDS = STALE_SECONDS + 2 * BEAT_SECONDS
LOOK_SECONDS = 0.5  # of the main thread, between two looks at the other


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialTask:
  """A call of `run_trial`, to be called on another node.

  Attributes:
    trial: As `run_trial` has it, and the rest.
    visible: CUDA_VISIBLE_DEVICES as the task is to have it; "" unset, None as
      the cluster sets it.
  """

  trial: Trial
  folder: pathlib.Path
  varied: dict[str, Any]
  meter: str = "auto"
  retry_failed: bool = False
  keep_checkpoints: bool = False
  keep_weights: bool = True
  checkpoint_minutes: float = Sweep.checkpoint_minutes
  timeout_seconds: float = Sweep.timeout_seconds
  compilation_cache: bool = Sweep.compilation_cache
  compile_repeats: int = 1
  limits: Limits = DEFAULT_LIMITS
  visible: str | None = None

  def __call__(self) -> str:
    """Runs the trial; returns the status of its record."""
    if self.visible is not None:
      os.environ.pop(VISIBLE, None)
      if self.visible:
        os.environ[VISIBLE] = self.visible
    running = _Running(self)
    # submitit bypasses TERM, which is right for Slurm's own time limit.
    before = signal.signal(signal.SIGTERM, lambda *_: running.stop.set())
    try:
      running.start()
      while running.thread.is_alive():
        running.thread.join(LOOK_SECONDS)
    finally:
      signal.signal(signal.SIGTERM, before)
      _RUNNING.clear()
    if running.error is not None:
      raise running.error
    return running.status

  def checkpoint(self) -> Any:
    """Ends the trial at its next look; returns the task that goes on with it.

    Called by submitit in the main thread, while `__call__` waits there.
    """
    from submitit.helpers import DelayedSubmission

    for running in _RUNNING:
      running.stop.set()
      running.thread.join(GRACE_SECONDS)
    return DelayedSubmission(self)


class _Running:
  """A trial that runs in a thread of its own."""

  def __init__(self, task: TrialTask):
    self.task = task
    self.stop = threading.Event()
    self.status = ""
    self.error: BaseException | None = None
    self.thread = threading.Thread(target=self._run, name="trial", daemon=True)

  def start(self) -> None:
    _RUNNING.append(self)
    self.thread.start()

  def _run(self) -> None:
    # All that a task has is an argument, but what is of its own process.
    asked = {k: v for k, v in vars(self.task).items() if k != "visible"}
    try:
      record = run_trial(
        **asked,
        wait_seconds=WAIT_SECONDS,
        tell=print,
        stop=self.stop.is_set,
      )
      self.status = record.status
    except BaseException as error:  # noqa: BLE001, raised by the main thread
      self.error = error


# What this process runs: submitit has no other way from its signal to here, as
# a task is copied on its way.
_RUNNING: list[_Running] = []
