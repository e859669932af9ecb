"""The energy of one measured stretch, with its error bar and its doubts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


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
