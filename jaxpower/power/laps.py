"""Windows that adjoin, overlap or nest: their sums. Pure functions.

A window of three days is measured in laps of some minutes, so that what the
sensors said can be forgotten after each. The energy at the instant between two
laps is the same estimate for both, so their joules add up to those of one long
window. Their bounds add up as they are: what they share is not independent.

And windows of one name may overlap or nest, as those of a function that calls
itself or runs in several threads: the energy of the name is that of all
instants in any of them, each counted once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jaxpower.power.load import mean_load
from jaxpower.power.window import Energy, Window, total

MOST_REASONS = 8  # of a domain, chosen: those of a thousand laps are alike
MORE_REASONS = "and more like these"


def join(first: Window, second: Window) -> Window:
  """Returns the window over two, of which the second follows the first."""
  joined = total(
    second.name,
    first.start_seconds,
    second.start_seconds + second.seconds,
    _join_each(first.energies, second.energies),
    _join_each(first.apart, second.apart),
  )
  return replace(
    joined,
    joules_bound=_sum(first.joules_bound, second.joules_bound),
    load=mean_load([first, second]),
  )


def _join_each(
  first: Sequence[Energy], second: Sequence[Energy]
) -> list[Energy]:
  return [_join(a, b) for a, b in zip(first, second, strict=True)]


def _join(a: Energy, b: Energy) -> Energy:
  """Adds one domain's energies; its method is the weaker one."""
  weaker = b if a.method == "counter" else a
  return replace(
    weaker,
    joules=_sum(a.joules, b.joules),
    joules_bound=_sum(a.joules_bound, b.joules_bound),
    ticks=a.ticks + b.ticks,
    integral_joules=_sum(a.integral_joules, b.integral_joules),
    counter_joules=_sum(a.counter_joules, b.counter_joules),
    partial=a.partial or b.partial,
    reasons=_join_reasons(a.reasons, b.reasons),
    peak_watts=max(
      (w for w in (a.peak_watts, b.peak_watts) if w is not None), default=None
    ),
  )


def _sum(a: float | None, b: float | None) -> float | None:
  return None if a is None or b is None else a + b


def _join_reasons(a: Sequence[str], b: Sequence[str]) -> tuple[str, ...]:
  """Returns the reasons of both, each once, and not too many of them."""
  reasons = [r for r in dict.fromkeys([*a, *b]) if r != MORE_REASONS]
  if len(reasons) <= MOST_REASONS:
    return tuple(reasons)
  return (*reasons[:MOST_REASONS], MORE_REASONS)


@dataclass(frozen=True, slots=True)
class Span:
  """A stretch of a name's windows, the last of those in `below`.

  They do not overlap. `joules` are of this one and all below.
  """

  start: float
  end: float
  joules: float | None
  below: "Span | None" = None


def add_to_union(
  last: Span | None,
  start: float,
  end: float,
  joules: float | None,
  measure: Callable[[float, float], float | None],
) -> Span:
  """Returns the last span after a window has joined those that ended before.

  `measure` gives the joules between two instants, where a part of the window
  is in a span already. Takes constant time for each window, on average.
  """
  while last is not None and last.start >= start:
    last = last.below  # it lies in the window
  if last is not None and last.end >= end:
    return last
  if last is not None and last.end > start:
    start, joules = last.end, measure(last.end, end)
  return Span(start, end, _sum(last.joules if last else 0.0, joules), last)
