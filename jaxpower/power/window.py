"""The energy of one measured stretch, with its error bar and its doubts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxpower.power.energy import Estimate, from_counter, from_power
from jaxpower.power.history import History
from jaxpower.power.reading import Domain

DISAGREEMENT = 0.05
LONGEST_POWER_GAP = 1.0


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


def energy_of(
  history: History, start: float, end: float, *, extrapolate: bool = False
) -> Energy:
  """One domain's energy between two instants, by the best method it has."""
  domain = history.domain
  integral = _integral(history, start, end, extrapolate)
  counter = None
  if history.has_counter or domain.method in ("counter", "model"):
    counter = from_counter(
      history.points,
      history.errors,
      history.energies,
      history.breaks,
      start,
      end,
      extrapolate=extrapolate,
      power=(history.power_points, history.power_watts),
    )
  chosen, method = _choose(domain, counter, integral)
  reasons = list(chosen.reasons)
  if chosen is integral and counter is not None:
    why = "; ".join(counter.reasons)
    reasons.append(f"counter not usable: {why}; power integrated instead")
  reasons += _failures(history, start, end)
  both = counter is not None and counter.joules and integral.joules is not None
  energy = Energy(
    domain=domain.name,
    joules=chosen.joules,
    joules_bound=None if domain.estimated else chosen.bound,
    method=method,
    estimated=domain.estimated,
    ticks=chosen.ticks,
    integral_joules=integral.joules,
    counter_joules=counter.joules if counter else None,
    partial=chosen.joules is None,
    reasons=tuple(reasons),
  )
  if both and energy.disagreement is not None:
    doubt = abs(energy.disagreement)
    bounds = (chosen.bound or 0.0) + (integral.bound or 0.0)
    if doubt > DISAGREEMENT and doubt * (energy.joules or 0.0) > bounds:
      reason = f"counter and integrated power differ by {doubt:.1%}"
      energy = _with_reason(energy, reason)
  return energy


def _with_reason(energy: Energy, reason: str) -> Energy:
  return Energy(**{**vars(energy), "reasons": (*energy.reasons, reason)})


def _integral(
  history: History, start: float, end: float, extrapolate: bool
) -> Estimate:
  return from_power(
    history.power_points,
    history.power_watts,
    start,
    end,
    gap=LONGEST_POWER_GAP,
    extrapolate=extrapolate,
  )


def _choose(
  domain: Domain, counter: Estimate | None, integral: Estimate
) -> tuple[Estimate, str]:
  if counter is not None and counter.joules is not None:
    return counter, domain.method
  if integral.joules is not None:
    return integral, (
      "power_instant" if domain.method == "counter" else domain.method
    )
  return counter or integral, domain.method


def _failures(history: History, start: float, end: float) -> list[str]:
  reasons: list[str] = []
  for gap in history.gaps:
    if gap.begin < end and gap.end > start and gap.reason not in reasons:
      reasons.append(gap.reason)
  return reasons


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
