"""Workers taking turns: two frameworks never hold a device at once."""

import contextlib

from jaxpower.worker import Worker


class Shift:
  """At most one worker at a time; a context manager."""

  def __init__(self, meter: str):
    self._meter = meter
    self._framework: str | None = None
    self._on_duty = contextlib.ExitStack()
    self._worker: Worker | None = None

  def __enter__(self) -> "Shift":
    return self

  def __exit__(self, *_: object) -> None:
    self._on_duty.close()

  def worker(self, framework: str) -> Worker:
    """The worker of a framework; that of another one is ended before.

    Raises WorkerError as a worker does when it is started.
    """
    if self._worker is None or self._framework != framework:
      self._worker = None
      self._on_duty.close()
      worker = Worker(self._meter, framework)
      self._worker = self._on_duty.enter_context(worker)
      self._framework = framework
    return self._worker
