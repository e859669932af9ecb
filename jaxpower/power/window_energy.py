"""From what the sensors said to the energies of a window, doubts included.

Methods have names and are never mixed in silence: the energy counter, else
power integrated. Both are computed for every window. A broken counter gives way
to the power for the windows it touches, with the reason; where both are whole
but differ by more than their bounds, neither has a tight bound. Four more
doubts are told: a power reading that stands still, power in resonance with the
work, a window too short for its sensor, reads that failed inside.
"""

import itertools
import math
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace

from jaxpower.power.correlation import (
  Line,
  correlations,
  integrated,
  near,
)
from jaxpower.power.counter import Estimate, from_counter
from jaxpower.power.doubts import AROUND, quantum, unseen_joules
from jaxpower.power.history import STILL_SECONDS, History
from jaxpower.power.integral import from_power
from jaxpower.power.lag import STEP, late_joules
from jaxpower.power.reading import Domain
from jaxpower.power.sampler import Sampler
from jaxpower.power.sensor import (
  FEWEST_PHASES,
  is_resonant,
  locking,
  missed_watts,
  possible_locking,
)
from jaxpower.power.shares import COMMON, added, widened
from jaxpower.power.window import Energy, Window, total

# Chosen. Counter and power agreed within 1 % in one report (zeus#12), in
# another the counter gave 187 J, the integrated power 327 J (zeus#181).
DISAGREEMENT = 0.05
TOO_SHORT = 0.2  # chosen: a bound above this share of the energy is told
# Chosen: about what opening and closing a window itself takes, and waking the
# thread that reads; a shorter one says nothing of the work in it.
SHORTEST = 1e-3
GROSS = 0.5  # chosen: of the greater one, above which the window is partial
# Chosen: so many bounds of the integral, as one in twenty passes one of them;
# but where one method has so many times the joules of the other, one bound.
DOUBTED, FAR = 2.5, 4.0
# And not where the methods differ as much in other windows of that length, so
# many on each side, so few of them at least, and agree in the mean.
OTHERS, FEWEST_OTHERS = 5, 3
APART = 1.1  # seconds between them, so that a slow beat shows both its sides
USUAL = 2.5  # chosen: times the root mean square difference in those
FEW_TICKS = 2  # chosen: in a window that is hardly more than its edges
NOTHING_MOVES = "neither its energy counter nor its power has ever moved"
# Chosen: a power reading that is the same for so long and so often is stuck.
FROZEN_SECONDS, FROZEN_READS = 10.0, 20

# How long a closed window waits for the first value from after its end. Chosen.
WAIT_PERIODS = 1.5  # of the sensor's period, and then
SLACK_SECONDS = 0.1  # where it has a rhythm or is always fresh, else
PATIENCE_SECONDS = 0.25
# Reads that take long are waited for, by the slowest one that was seen, and one
# that is under way, so long; it hangs then.
SLOWEST_READS, HANGING_SECONDS = 2.0, 2.0
WAIT_STEP_SECONDS = 1e-3  # between two looks


def measure_window(
  sampler: Sampler,
  name: str,
  start: float,
  end: float,
  *,
  extrapolate: bool = False,
  step_seconds: float | None = None,
  at_rest: bool = False,
  reasons: Sequence[str] = (),
) -> Window:
  """Measures all domains between two instants: the job's summed, others apart.

  `extrapolate`, `step_seconds` and `at_rest` are as in `energy_of`.
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
        at_rest=at_rest,
      )
      (energies if history.domain.counted else apart).append(energy)
    counted = [h for h in sampler.histories if h.domain.counted]
    lines = [
      _line(history, energy, start, end)
      for history, energy in zip(counted, energies, strict=True)
    ]
    alike = correlations(lines, start, end)
  return total(name, start, end, energies, apart, reasons, alike)


def _line(history: History, energy: Energy, start: float, end: float) -> Line:
  """Returns what shows how alike a sensor errs to others."""
  if history.has_counter:
    points = history.points, history.energies, history.errors
    updates = near(history.power_points, start, end)
    return Line(*points, shares=energy.shares, updates=updates)
  line = integrated(history.power_points, history.power_watts, start, end)
  return replace(line, shares=energy.shares)


def await_ticks(sampler: Sampler, end: float) -> None:
  """Waits until every sensor has shown a value from after `end`.

  At most about one tick of the slowest, and as long as a read takes; a sensor
  that stays silent is not waited for longer.
  """
  while sampler.alive:
    now = time.monotonic()
    sampler.catch_up()
    late = [
      history
      for channel in sampler.channels
      for history in channel.histories
      if not history.covers(end)
      and now < end + _patience(history, channel.is_reading, sampler.interval)
    ]
    if not late:
      return
    if any(history.continuous for history in late):
      sampler.nudge()  # it is fresh at once, if only it is read
    time.sleep(WAIT_STEP_SECONDS)


def _patience(history: History, reading: bool, interval: float) -> float:
  """Returns the seconds after a window's end that a sensor is waited for."""
  period = history.counter.period or history.power.period or 0.0
  if history.is_checked:
    period = max(period, history.power.period or 0.0)
  has_rhythm = history.continuous or period
  slack = SLACK_SECONDS if has_rhythm else PATIENCE_SECONDS
  if history.continuous:
    slack += STILL_SECONDS
  if not (history.has_counter and not history.is_checked):
    slack += history.domain.power_window_seconds / 2
  slack += SLOWEST_READS * history.latency_highest
  patience = WAIT_PERIODS * period + slack + interval
  return max(patience, HANGING_SECONDS) if reading else patience


def energy_of(
  history: History,
  start: float,
  end: float,
  *,
  extrapolate: bool = False,
  step_seconds: float | None = None,
  at_rest: bool = False,
) -> Energy:
  """Computes one domain's energy between two instants by its best method.

  With `extrapolate` the last power is carried on to `end`, where it was not
  seen: the window is partial then. `step_seconds` is the rhythm of the work,
  where it is known: power readings in step with it are not believed. `at_rest`
  says that nothing is done meanwhile, so that power may well stay what it is.
  """
  domain = history.domain
  # A tick that should have come by now is none that is to come.
  goes_on = extrapolate and not history.is_overdue
  counter = _from_counter(history, start, end, goes_on)
  if counter is not None and history.lag:
    counter = _late(counter, history, start, end)
  integral = _from_power(history, start, end, extrapolate, at_rest)
  broken = counter is not None and counter.joules is None
  if broken and integral.joules is None and _was_read_after(history, end):
    # Power that stays is noted as a point only now and then.
    integral = _from_power(history, start, end, True, at_rest)
  locked: list[float] = []
  if step_seconds is not None and not at_rest:
    locked = _locking(history, start, end, step_seconds)
    integral = _in_rhythm(integral, history, start, end, locked)
  if counter is not None and history.part_time:
    counter = _part_time(counter, integral)
  if broken and history.is_silent:
    integral = Estimate(None, None, 0, (NOTHING_MOVES,))
  chosen, method = _choose(domain, counter, integral)
  chosen = _not_negative(chosen)
  reasons = list(chosen.reasons)
  if chosen is integral and counter is not None:
    still = history.still_seconds
    stood = [f"it has stood still for {still:.2g} s"] if still else []
    causes = "; ".join([*counter.reasons, *stood])
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
    shares=chosen.shares,
  )
  if extrapolate:
    energy = _check_end(energy, history, end, chosen is integral)
  energy = _check_length(energy, history, end - start)
  energy = _check_methods(energy, chosen, integral, history, start, end)
  if at_rest:
    return energy
  return _check_resonance(energy, history, start, end, step_seconds, locked)


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


def _late(
  counter: Estimate, history: History, start: float, end: float
) -> Estimate:
  """Widens the bound of a counter that is known to be late."""
  if counter.bound is None or not history.lag:
    return counter
  lag = history.lag + STEP  # as far as it was told apart
  late = late_joules(history.points, history.energies, start, end, lag)
  reason = f"the counter shows the power of {history.lag:.2g} s before"
  return replace(_widened(counter, late), reasons=(*counter.reasons, reason))


def _part_time(counter: Estimate, integral: Estimate) -> Estimate:
  """Gives a counter that sums part-time readings the bar of their integral.

  Where the edges are all there is, both bars are of the same.
  """
  if counter.bound is None or integral.bound is None:
    return counter
  if counter.ticks > FEW_TICKS:
    bound = math.hypot(counter.bound, integral.bound)
    both = (counter.shares, counter.bound, integral.shares, integral.bound)
    return replace(counter, bound=bound, shares=added(*both))
  if counter.bound >= integral.bound:
    return counter
  return replace(counter, bound=integral.bound, shares=integral.shares)


def _from_power(
  history: History,
  start: float,
  end: float,
  extrapolate: bool,
  at_rest: bool,
) -> Estimate:
  """Estimates by the power reading, unless it is stuck.

  One that stands still but may be right has a bound by how far it may be off:
  by its quantum at rest, else by how far power moved before and after.
  """
  seconds, watts = history.power_points, history.power_watts
  first, last = bisect_left(seconds, start), bisect_right(seconds, end)
  inside = watts[first:last]
  stays = len(inside) > 0 and min(inside) == max(inside)
  long = end - start >= FROZEN_SECONDS and last - first >= FROZEN_READS
  if stays and long and not at_rest:
    reason = f"the power reading has not moved for {end - start:.3g} s"
    return Estimate(None, None, last - first, (reason,))
  estimate = from_power(
    seconds,
    watts,
    start,
    end,
    gap=history.longest_gap,
    extrapolate=extrapolate,
    window=history.domain.power_window_seconds,
  )
  if estimate.bound is None:
    return estimate
  if stays and at_rest:
    hidden = quantum(inside[0]) * (end - start)
    return _widened(estimate, hidden)
  low, high = max(0, first - AROUND), last + AROUND
  still, unseen = unseen_joules(seconds[low:high], watts[low:high], start, end)
  if not unseen:
    return estimate
  reason = f"the power reading stood still for {still:.2g} s"
  reasons = (*estimate.reasons, reason)
  return replace(_widened(estimate, unseen), reasons=reasons)


def _widened(estimate: Estimate, more: float) -> Estimate:
  """Returns an estimate with a wider bound, by a doubt that all share."""
  bound = estimate.bound or 0.0
  shares = widened(estimate.shares, bound, bound + more)
  return replace(estimate, bound=bound + more, shares=shares)


def _in_rhythm(
  integral: Estimate,
  history: History,
  start: float,
  end: float,
  locked: Sequence[float],
) -> Estimate:
  """Widens the bound of readings that come in a rhythm with the work."""
  points, watts = history.power_points, history.power_watts
  if integral.bound is None or not any(locked):
    return integral
  low = max(0, bisect_left(points, start) - AROUND)
  around = watts[low : bisect_right(points, end) + AROUND]
  missed = missed_watts(locked, max(around) - min(around)) * (end - start)
  return _widened(integral, missed)


def _locking(
  history: History, start: float, end: float, step_seconds: float
) -> list[float]:
  """Tells how far power readings fall, or may fall, on parts of every step."""
  seen = locking(history.power_points, start, end, step_seconds)
  update = history.power.period
  if not seen or not update or history.domain.power_window_seconds:
    return seen
  error = history.power.period_error
  allowed = possible_locking(update, error, end - start, step_seconds)
  pairs = itertools.zip_longest(seen, allowed, fillvalue=0.0)
  return [max(pair) for pair in pairs]


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


def _not_negative(estimate: Estimate) -> Estimate:
  """Returns 0 J for an estimate below, with a bound that covers the estimate.

  Energy never flows back, but a noisy counter falls a little in a window too
  short for it. What the bound held above 0 lies within the same bound of 0.
  """
  joules, bound = estimate.joules, estimate.bound
  if joules is None or joules >= 0:
    return estimate
  wide = None if bound is None else max(bound, -joules)
  return replace(estimate, joules=0.0, bound=wide, shares=COMMON)


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


def _check_end(
  energy: Energy, history: History, end: float, by_power: bool
) -> Energy:
  """Says so when the last power was carried on to the end of a window."""
  points = history.power_points if by_power else history.points
  if energy.joules is None or not points or points[-1] >= end:
    return energy
  reason = f"not seen to its end: power carried on for {end - points[-1]:.2g} s"
  return _with_reason(replace(energy, partial=True), reason)


def _check_methods(
  energy: Energy,
  chosen: Estimate,
  integral: Estimate,
  history: History,
  start: float,
  end: float,
) -> Energy:
  """Widens the bound where counter and integral differ by more than theirs.

  Which of them is right is not known; the truth is most likely between them, or
  by one of their bounds beyond. Where they differ grossly, one of them counts
  something else, and the window is partial.
  """
  share = energy.disagreement
  if share is None or energy.joules is None or integral.joules is None:
    return energy
  own, other = chosen.bound or 0.0, integral.bound or 0.0
  difference = abs(integral.joules - energy.joules)
  less, more = sorted((integral.joules, energy.joules))
  if abs(share) <= DISAGREEMENT or difference <= own + other:
    return energy
  if difference <= own + DOUBTED * other and more < FAR * less:
    return energy
  if more < FAR * less and _is_usual(difference, history, start, end):
    return energy
  gross = difference > GROSS * max(integral.joules, energy.joules)
  return _with_reason(
    replace(
      energy,
      joules_bound=max(own, difference + other),
      shares=COMMON,
      partial=energy.partial or gross,
    ),
    f"integrated power differs from the counter by {share:+.1%}",
  )


def _is_usual(
  difference: float, history: History, start: float, end: float
) -> bool:
  """Tells whether the methods differ as much in other windows, by chance.

  A part-time reading in a slow beat with the work strays by more than its
  changes show, now up, now down. A counter that is wrong in one window is right
  in the others, and one that is wrong always is so in the mean.
  """
  pairs = []
  for i in (*range(-OTHERS, 0), *range(1, OTHERS + 1)):
    shift = i * (end - start + APART)
    counter = _from_counter(history, start + shift, end + shift, False)
    power = _from_power(history, start + shift, end + shift, False, False)
    if counter and counter.joules and power.joules:
      pairs.append((counter.joules, power.joules - counter.joules))
  if len(pairs) < FEWEST_OTHERS:
    return False
  differences = [other for _, other in pairs]
  squares = math.fsum(other * other for other in differences)
  usual = math.sqrt(squares / len(pairs))
  always = abs(math.fsum(differences)) / len(pairs)
  by_chance = DISAGREEMENT * math.fsum(joules for joules, _ in pairs)
  by_chance = max(by_chance / len(pairs), 2 * usual / math.sqrt(len(pairs)))
  return difference <= USUAL * usual and always <= by_chance


def _check_resonance(
  energy: Energy,
  history: History,
  start: float,
  end: float,
  step_seconds: float | None,
  locked: Sequence[float],
) -> Energy:
  """Says so when the power readings fall on one part of every step.

  Those that never move do, or the power does not: nothing tells which.

  Integrated power is then kept as a number, partial, without a bound.
  """
  if step_seconds is None or energy.integral_joules is None:
    return energy
  if _stays(history, start, end):
    reason = "the power reading does not move while the work repeats"
  elif is_resonant(locked):
    reason = _in_resonance(history, step_seconds)
  else:
    return energy
  if energy.method.startswith("power"):
    energy = replace(energy, partial=True, joules_bound=None)
  return _with_reason(energy, reason)


def _stays(history: History, start: float, end: float) -> bool:
  """Tells whether the power reading was the same in all of a window."""
  first = bisect_left(history.power_points, start)
  last = bisect_right(history.power_points, end)
  more = max(0, FEWEST_PHASES - (last - first) + 1) // 2  # of a short window
  inside = history.power_watts[max(0, first - more) : last + more]
  return len(inside) >= FEWEST_PHASES and min(inside) == max(inside)


def _in_resonance(history: History, step_seconds: float) -> str:
  period = history.power.period
  sensor = f"{period * 1e3:.3g} ms" if period else "sensor"
  return (
    f"steps of {step_seconds * 1e3:.3g} ms are in resonance with the"
    f" {sensor} power readings: integrated power cannot be trusted"
  )


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
