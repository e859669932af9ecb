"""From what the sensors said to the energies of a window, doubts included.

Methods have names and are never mixed in silence: the energy counter, else
power integrated. Both are computed for every window. A broken counter gives way
to the power for the windows it touches, with the reason; where both are whole
but differ by more than their bounds, the window says so. Three more doubts are
told: power in resonance with the work, a window too short for its sensor, reads
that failed inside.
"""

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

# Chosen. Counter and power agreed within 1 % in one report (zeus#12), in
# another the counter gave 187 J, the integrated power 327 J (zeus#181).
DISAGREEMENT = 0.05
TOO_SHORT = 0.2  # chosen: a bound above this share of the energy is told
# Chosen: about what opening and closing a window itself takes, and waking the
# thread that reads; a shorter one says nothing of the work in it.
SHORTEST = 1e-3
# Chosen: a power reading that is the same for so long and so often is stuck.
FROZEN_SECONDS, FROZEN_READS = 10.0, 20

# How long a closed window waits for the first value from after its end. Chosen.
WAIT_PERIODS = 1.5  # of the sensor's period, and then
SLACK_SECONDS = 0.1  # where it has a rhythm or is always fresh, else
PATIENCE_SECONDS = 0.25
WAIT_STEP_SECONDS = 1e-3  # between two looks


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
  """Measures all domains between two instants: the job's summed, others apart.

  With `extrapolate` the last power is carried on to `end`.
  """
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
    has_rhythm = history.continuous or period
    slack = SLACK_SECONDS if has_rhythm else PATIENCE_SECONDS
    slack += history.domain.power_window_seconds / 2
    deadline = end + WAIT_PERIODS * period + slack + sampler.interval
    deadlines.append((history, deadline))
  while sampler.alive:
    now = time.monotonic()
    late = [h for h, by in deadlines if not h.covers(end) and now < by]
    if not late:
      return
    if any(history.continuous for history in late):
      sampler.nudge()  # it is fresh at once, if only it is read
    time.sleep(WAIT_STEP_SECONDS)


def energy_of(
  history: History,
  start: float,
  end: float,
  *,
  extrapolate: bool = False,
  step_seconds: float | None = None,
) -> Energy:
  """Computes one domain's energy between two instants by its best method.

  `step_seconds` is the rhythm of the work, where it is known: power readings
  in step with it are not believed.
  """
  domain = history.domain
  counter = _from_counter(history, start, end, extrapolate)
  integral = _from_power(history, start, end, extrapolate)
  broken = counter is not None and counter.joules is None
  if broken and integral.joules is None and _was_read_after(history, end):
    # Power that stays is noted as a point only now and then.
    integral = _from_power(history, start, end, extrapolate=True)
  chosen, method = _choose(domain, counter, integral)
  reasons = list(chosen.reasons)
  if chosen is integral and counter is not None:
    causes = "; ".join(counter.reasons)
    reasons.append(f"counter not usable: {causes}; power integrated instead")
  reasons += _failed_reads(history, start, end)
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
    peak_watts=_peak_watts(history, start, end),
  )
  energy = _check_methods(energy, chosen, integral)
  energy = _check_resonance(energy, history, start, end, step_seconds)
  return _check_length(energy, history, end - start)


def _from_counter(
  history: History, start: float, end: float, extrapolate: bool
) -> Estimate | None:
  """Estimates by the counter; None where the domain has none."""
  # One that should be there and has not moved gives its reason.
  expected = history.domain.method in ("counter", "model")
  if not (history.has_counter or expected):
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


def _from_power(
  history: History, start: float, end: float, extrapolate: bool
) -> Estimate:
  """Estimates by the power reading, unless it is stuck."""
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
  """Tells whether power was read after an instant, and shortly before it."""
  points, seconds = history.power_points, history.seconds
  if not points or end - points[-1] > history.longest_gap:
    return False
  return seconds[-1] >= end and not math.isnan(history.watts[-1])


def _choose(
  domain: Domain, counter: Estimate | None, integral: Estimate
) -> tuple[Estimate, str]:
  """Takes the counter where it has joules, else the power, and its method."""
  if counter is not None and counter.joules is not None:
    return counter, domain.method
  if integral.joules is not None:
    return integral, (
      "power_instant" if domain.method == "counter" else domain.method
    )
  return counter or integral, domain.method


def _failed_reads(history: History, start: float, end: float) -> list[str]:
  """Lists the reasons of the gaps in a window, each once."""
  reasons: list[str] = []
  for gap in (*history.gaps, *history.pauses):
    if gap.begin < end and gap.end > start and gap.reason not in reasons:
      reasons.append(gap.reason)
  return reasons


def _peak_watts(history: History, start: float, end: float) -> float | None:
  """Returns the highest power that was read in a window."""
  first = bisect_left(history.seconds, start)
  last = bisect_right(history.seconds, end)
  inside = history.watts[first:last]
  return max((w for w in inside if not math.isnan(w)), default=None)


def _check_methods(
  energy: Energy, chosen: Estimate, integral: Estimate
) -> Energy:
  """Says so when counter and integral differ by more than their bounds."""
  share = energy.disagreement
  if share is None or energy.joules is None:
    return energy
  bounds = (chosen.bound or 0.0) + (integral.bound or 0.0)
  if abs(share) <= DISAGREEMENT or abs(share * energy.joules) <= bounds:
    return energy
  return _with_reason(
    energy,
    f"integrated power differs from the counter by {share:+.1%}",
  )


def _check_resonance(
  energy: Energy,
  history: History,
  start: float,
  end: float,
  step_seconds: float | None,
) -> Energy:
  """Says so when the power readings fall on one part of every step.

  Integrated power is then kept as a number, partial, without a bound.
  """
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
  return _with_reason(energy, reason)


def _check_length(energy: Energy, history: History, seconds: float) -> Energy:
  """Says so when the window is too short for what the sensor can do."""
  if seconds < SHORTEST and energy.joules is not None:
    limit = f"{SHORTEST * 1e3:.0f} ms"
    return _with_reason(energy, f"too short for any sensor: below {limit}")
  if not energy.joules or energy.joules_bound is None:
    return energy
  share = energy.joules_bound / energy.joules
  if share <= TOO_SHORT:
    return energy
  period = history.counter.period or history.power.period
  rhythm = f", which moves every {period * 1e3:.3g} ms" if period else ""
  return _with_reason(
    energy, f"too short for the sensor{rhythm}: good to {share:.0%} only"
  )


def _with_reason(energy: Energy, reason: str) -> Energy:
  return replace(energy, reasons=(*energy.reasons, reason))
