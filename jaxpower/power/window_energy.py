"""From what the sensors said to the energies of a window, doubts included."""

import math
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace

from jaxpower.power.counter import Estimate, from_counter
from jaxpower.power.history import History
from jaxpower.power.integral import from_power
from jaxpower.power.reading import Domain
from jaxpower.power.sampler import Sampler
from jaxpower.power.sensor import is_resonant
from jaxpower.power.window import Energy, Window, total

DISAGREEMENT = 0.05

TOO_SHORT = 0.2

FROZEN_SECONDS, FROZEN_READS = 10.0, 20

PATIENCE = 0.25  # seconds to wait for a sensor without known rhythm


def energy_of(
  history: History,
  start: float,
  end: float,
  *,
  extrapolate: bool = False,
  step_seconds: float | None = None,
) -> Energy:
  """One domain's energy between two instants, by the best method it has.

  `step_seconds` is the rhythm of the work, where it is known: power readings
  in step with it are not believed.
  """
  domain = history.domain
  counter = _counter(history, start, end, extrapolate)
  integral = _integral(history, start, end, extrapolate)
  lost = counter is not None and counter.joules is None
  if lost and integral.joules is None and _was_read_after(history, end):
    # Power that stays is noted as a point only now and then.
    integral = _integral(history, start, end, extrapolate=True)
  chosen, method = _choose(domain, counter, integral)
  reasons = list(chosen.reasons)
  if chosen is integral and counter is not None:
    why = "; ".join(counter.reasons)
    reasons.append(f"counter not usable: {why}; power integrated instead")
  reasons += _failures(history, start, end)
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
  energy = _doubt_methods(energy, chosen, integral)
  energy = _doubt_resonance(energy, history, start, end, step_seconds)
  return _doubt_length(energy, history)


def _counter(
  history: History, start: float, end: float, extrapolate: bool
) -> Estimate | None:
  hopeful = history.domain.method in ("counter", "model")
  if not (history.has_counter or hopeful):
    return None
  return from_counter(
    history.points,
    history.errors,
    history.energies,
    history.breaks,
    start,
    end,
    extrapolate=extrapolate,
    noise=history.noise,
    power=(history.power_points, history.power_watts),
  )


def _integral(
  history: History, start: float, end: float, extrapolate: bool
) -> Estimate:
  seconds, watts = history.power_points, history.power_watts
  first, last = bisect_left(seconds, start), bisect_right(seconds, end)
  if end - start >= FROZEN_SECONDS and last - first >= FROZEN_READS:
    inside = watts[first:last]
    if min(inside) == max(inside):
      reason = f"the power reading has not moved for {end - start:.3g} s"
      return Estimate(None, None, last - first, (reason,))
  return from_power(
    seconds,
    watts,
    start,
    end,
    gap=history.longest_gap,
    extrapolate=extrapolate,
  )


def _was_read_after(history: History, end: float) -> bool:
  """Whether power was read after an instant, and shortly before it."""
  points, read = history.power_points, history.seconds
  if not points or end - points[-1] > history.longest_gap:
    return False
  return read[-1] >= end and not math.isnan(history.watts[-1])


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


def _doubt_methods(
  energy: Energy, chosen: Estimate, integral: Estimate
) -> Energy:
  """Says so when counter and integral differ by more than their bounds."""
  share = energy.disagreement
  if share is None or energy.joules is None:
    return energy
  bounds = (chosen.bound or 0.0) + (integral.bound or 0.0)
  if abs(share) <= DISAGREEMENT or abs(share * energy.joules) <= bounds:
    return energy
  return _because(
    energy,
    f"integrated power differs from the counter by {share:+.1%}",
  )


def _doubt_resonance(
  energy: Energy,
  history: History,
  start: float,
  end: float,
  step_seconds: float | None,
) -> Energy:
  if step_seconds is None or energy.integral_joules is None:
    return energy
  if not is_resonant(history.power_points, start, end, step_seconds):
    return energy
  period = history.power.period
  sensor = f"{period * 1e3:.3g} ms" if period else "sensor"
  reason = (
    f"steps of {step_seconds * 1e3:.3g} ms are in resonance with the"
    f" {sensor} power readings: integrated power cannot be trusted"
  )
  if energy.method.startswith("power"):
    energy = replace(energy, partial=True, joules_bound=None)
  return _because(energy, reason)


def _doubt_length(energy: Energy, history: History) -> Energy:
  """Says so when the window is too short for what the sensor can do."""
  if not energy.joules or energy.joules_bound is None:
    return energy
  share = energy.joules_bound / energy.joules
  if share <= TOO_SHORT:
    return energy
  period = history.counter.period or history.power.period
  rhythm = f", which moves every {period * 1e3:.3g} ms" if period else ""
  return _because(
    energy, f"too short for the sensor{rhythm}: good to {share:.0%} only"
  )


def _because(energy: Energy, reason: str) -> Energy:
  return replace(energy, reasons=(*energy.reasons, reason))


def measure_window(
  sampler: Sampler,
  name: str,
  start: float,
  end: float,
  *,
  extrapolate: bool = False,
  step_seconds: float | None = None,
  reasons: Sequence[str] = (),
) -> Window:
  """All domains between two instants, the job's summed, the others apart."""
  energies: list[Energy] = []
  apart: list[Energy] = []
  with sampler.lock:
    for history in sampler.histories:
      energy = energy_of(
        history,
        start,
        end,
        extrapolate=extrapolate,
        step_seconds=step_seconds,
      )
      (energies if history.domain.counted else apart).append(energy)
  return total(name, start, end, energies, apart, reasons)


def await_ticks(sampler: Sampler, end: float) -> None:
  """Waits until every sensor has shown a value from after `end`.

  At most about one tick of the slowest; a sensor that stays silent is not
  waited for longer.
  """
  deadlines = []
  for history in sampler.histories:
    period = history.counter.period or history.power.period or 0.0
    slack = 0.1 if history.continuous or period else PATIENCE
    slack += history.domain.power_window_seconds / 2
    deadlines.append((history, end + 1.5 * period + slack + sampler.interval))
  while sampler.alive:
    now = time.monotonic()
    late = [h for h, by in deadlines if not h.covers(end) and now < by]
    if not late:
      return
    if any(history.continuous for history in late):
      sampler.nudge()
    time.sleep(1e-3)
