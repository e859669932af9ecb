"""Pareto fronts: the settings that no other setting beats.

There are two, both of medians over seeds: joules against accuracy, along the
curves of training, and joules against seconds to the target.
"""

from collections.abc import Iterable, Sequence

from jaxpower.report.compare.comparison import Comparison
from jaxpower.report.compare.cpu_time import only_cpu_time
from jaxpower.report.compare.curves import Point, front

FEWEST_SETTINGS = 3  # of two, each is mostly on a front: nothing to learn


def with_fronts(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
  """Picks the comparisons that have settings enough and a front."""
  return tuple(
    comparison
    for comparison in comparisons
    if len(comparison.groups) >= FEWEST_SETTINGS
    and (accuracy_front(comparison) or seconds_front(comparison))
  )


def accuracy_front(comparison: Comparison) -> tuple[Point, ...]:
  """Finds the best median accuracy of any setting within so many joules.

  In rising joules and accuracy; a setting is on the front where no other one
  is as accurate for as few joules.
  """
  return comparison.accuracy_front


def seconds_front(comparison: Comparison) -> tuple[Point, ...]:
  """Finds the settings that none beats in both joules and seconds to target.

  In rising joules and falling seconds. None where all joules are modelled from
  CPU time: there both costs are nearly one number, and the front is the
  cheapest setting.
  """
  if only_cpu_time(comparison):
    return ()
  return front(known_costs(comparison), sign=1)


def known_costs(comparison: Comparison) -> tuple[Point, ...]:
  """Lists joules and seconds to the target of settings that have both."""
  return tuple(
    Point(group.joules.value, group.seconds.value, index)
    for index, group in enumerate(comparison.groups)
    if group.joules and group.seconds
  )


def settings_on(front: Iterable[Point]) -> tuple[int, ...]:
  """Lists the settings on a front in its order, each once, by index."""
  return tuple(dict.fromkeys(point.group for point in front))
