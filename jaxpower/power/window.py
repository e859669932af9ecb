"""One window between its opening and its settled energy.

The energy of one measured stretch, with its error bar and its doubts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Energy:
  """One domain's joules in one window; None where unknown, with reasons.

  `joules_bound` is the 95 % half width, None where modelled: a model has no
  honest statistical bar. `counter_joules` and `integral_joules` are the two
  methods, where both exist.
  """

  domain: str
  joules: float | None
  joules_bound: float | None
  method: str
  estimated: bool = False
  ticks: int = 0
  integral_joules: float | None = None
  counter_joules: float | None = None
  partial: bool = False
  reasons: tuple[str, ...] = ()

  @property
  def disagreement(self) -> float | None:
    """(integral - counter) / counter, or None."""
    if not self.counter_joules or self.integral_joules is None:
      return None
    return (self.integral_joules - self.counter_joules) / self.counter_joules


@dataclass(frozen=True)
class Window:
  """One measured stretch: gross joules over the job's domains.

  `joules` is None when one of the domains is unknown; `apart` has the GPUs of
  the node that do not belong to the job.
  """

  name: str
  start_seconds: float
  seconds: float
  joules: float | None
  joules_bound: float | None
  energies: tuple[Energy, ...]
  estimated: bool = False
  partial: bool = False
  reasons: tuple[str, ...] = ()
  apart: tuple[Energy, ...] = ()

  @property
  def watts(self) -> float | None:
    """Mean gross power."""
    if self.joules is None or self.seconds <= 0:
      return None
    return self.joules / self.seconds

  def active_joules(self, idle_watts: float | None) -> float | None:
    """Gross minus idle watts times seconds; None where either is unknown."""
    if self.joules is None or idle_watts is None:
      return None
    return self.joules - idle_watts * self.seconds


def total(
  name: str,
  start: float,
  end: float,
  energies: Sequence[Energy],
  apart: Sequence[Energy] = (),
  reasons: Sequence[str] = (),
) -> Window:
  """The window over its domains. One unknown domain makes the sum unknown."""
  known = [e.joules for e in energies if e.joules is not None]
  complete = bool(energies) and len(known) == len(energies)
  bounds = [e.joules_bound for e in energies]
  bound = None
  if complete and all(b is not None for b in bounds):
    bound = math.sqrt(sum(b * b for b in bounds if b is not None))
  why = [f"{e.domain}: {reason}" for e in energies for reason in e.reasons]
  return Window(
    name=name,
    start_seconds=start,
    seconds=end - start,
    joules=math.fsum(known) if complete else None,
    joules_bound=bound,
    energies=tuple(energies),
    estimated=any(e.estimated for e in energies),
    partial=not complete or any(e.partial for e in energies),
    reasons=(*reasons, *why),
    apart=tuple(apart),
  )


class Settles(Protocol):
  """Who can tell the energy of a closed window: the monitor."""

  def settle(
    self, handle: "Handle", end: float, wait: bool
  ) -> tuple[Window, bool]:
    """The window, and whether it will not change any more."""
    ...


class Handle:
  """An open or closed window. `steps` may be set: equal steps inside it."""

  def __init__(
    self, owner: Settles, name: str, start: float, steps: int | None = None
  ):
    self.name = name
    self.start = start
    self.end: float | None = None
    self.steps = steps
    self.interrupted = ""
    self._owner = owner
    self._window: Window | None = None

  def result(self, *, wait: bool = True) -> Window:
    """The energy of the closed window; waits at most one tick for it.

    With `wait=False` the last power is carried on to the end, with a wider
    bound. Raises RuntimeError while the window is open.
    """
    if self.end is None:
      raise RuntimeError(f"window {self.name!r} is still open")
    if self._window is None:
      window, final = self._owner.settle(self, self.end, wait)
      if not final:
        return window
      self._window = window
    return self._window
