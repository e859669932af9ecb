"""Records gathered by what varies, and the groups compared with each other.

Only what may be compared is: one data set, one target, one machine, one set
of domains, measured or estimated alike. Anything else is a comparison of its
own.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median as middle
from typing import Any

from jaxpower.records import TrialRecord, to_json
from jaxpower.report.costs import SECONDS, TRAIN, WAYS, Way, costs
from jaxpower.report.labels import natural_key
from jaxpower.report.statistics import Estimate, median, ratio


@dataclass(frozen=True, kw_only=True)
class Group:
  """The trials that share every varied value, seeds apart.

  `joules` and `seconds` are medians over seeds of the train phase until the
  target was met; None, with `unknown` saying why, where a trial's are not
  known. The bound of `joules_per_1000_examples` is the meter's, at 95 %: the
  largest of any trial, since a median is off by no more than its values are.
  """

  varied: dict[str, Any]
  records: tuple[TrialRecord, ...]
  joules: Estimate | None = None
  seconds: Estimate | None = None
  ratio: Estimate | None = None
  joules_per_1000_examples: float | None = None
  joules_per_1000_examples_bound: float | None = None
  unknown: str = ""

  def count(self, status: str) -> int:
    """How many of the trials ended with this status."""
    return sum(record.status == status for record in self.records)

  @property
  def partial(self) -> int:
    """How many trials the meter saw only in part."""
    return sum(record.partial for record in self.records)


@dataclass(frozen=True, kw_only=True)
class Comparison:
  """Groups that may be compared, in the natural order of what varies.

  `best` is the group with the lowest median that is known, not only bounded;
  `energy_ratio` the highest median over the best. `orders` tells, for each
  other way to count, which groups it ranks from cheapest to dearest.
  """

  data: str
  target_accuracy: float
  machine: str
  domains: tuple[str, ...]
  estimated: bool
  groups: tuple[Group, ...]
  best: Group | None = None
  worst: Group | None = None
  energy_ratio: Estimate | None = None
  orders: dict[str, tuple[int, ...]] = field(default_factory=dict)

  @property
  def paths(self) -> tuple[str, ...]:
    """The fields that vary, as dotted paths."""
    return tuple(
      dict.fromkeys(path for group in self.groups for path in group.varied)
    )


def compare(records: Iterable[TrialRecord]) -> tuple[Comparison, ...]:
  """One comparison for each set of records that may be compared."""
  return tuple(_comparison(part) for part in comparable(records))


def comparable(
  records: Iterable[TrialRecord],
) -> tuple[tuple[TrialRecord, ...], ...]:
  """The records parted by data, target, machine, domains and kind of meter.

  A trial that failed before its meter opened follows the others of its data,
  target and machine, so that it still counts among the trials of its group.
  """
  parts: dict[tuple, list[TrialRecord]] = {}
  blind = []
  for record in sorted(records, key=_order):
    if record.joules_by_domain:
      parts.setdefault(_ground(record), []).append(record)
    else:
      blind.append(record)
  for record in blind:
    ground = _ground(record)
    near = (key for key in parts if key[:3] == ground[:3])
    also = (key for key in parts if key[:2] == ground[:2])
    home = next(near, None) or (
      next(also, ground) if not machine(record) else ground
    )
    parts.setdefault(home, []).append(record)
  return tuple(
    tuple(sorted(parts[key], key=_order)) for key in sorted(parts, key=str)
  )


def machine(record: TrialRecord) -> str:
  """Host and processor a trial ran on; empty where it is not recorded."""
  words = (record.provenance.get(key) for key in ("host", "cpu"))
  return ", ".join(str(word) for word in words if word)


def across(records: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
  """Records of several sweeps, with `varied` naming all in which they differ.

  The same record read twice, from a copied folder, is taken once.
  """
  once = tuple({to_json(record): record for record in records}.values())
  flat = [_flat(record.config) for record in once]
  paths = dict.fromkeys(path for config in flat for path in config)
  differing = [
    path
    for path in paths
    if path != "seed"
    and len({json.dumps(config.get(path)) for config in flat}) > 1
  ]
  return tuple(
    replace(record, varied={path: config.get(path) for path in differing})
    for record, config in zip(once, flat, strict=True)
  )


def _comparison(records: Sequence[TrialRecord]) -> Comparison:
  gathered: dict[str, list[TrialRecord]] = {}
  for record in records:
    key = json.dumps(record.varied, sort_keys=True)
    gathered.setdefault(key, []).append(record)
  groups = [_group(tuple(part)) for part in gathered.values()]
  known = [g for g in groups if g.joules and not g.joules.at_least]
  # Estimate is not None here; pyright cannot see it through the list.
  cost = lambda g: g.joules.value if g.joules else 0.0
  best = min(known, key=cost, default=None)
  if best is not None:
    base = costs(best.records, TRAIN) or ()
    groups = [
      replace(g, ratio=ratio(costs(g.records, TRAIN) or (), base))
      if g is not best
      else replace(g, ratio=Estimate(1.0))
      for g in groups
    ]
    best = next(g for g in groups if g.varied == best.varied)
  told = [g for g in groups if g.joules]
  worst = max(told, key=cost) if len(told) > 1 else None
  first = records[0]
  return Comparison(
    data=str(first.config.get("data", "")),
    target_accuracy=first.target_accuracy,
    machine=next(filter(None, map(machine, records)), ""),
    domains=max((tuple(sorted(r.joules_by_domain)) for r in records), key=len),
    estimated=any(record.estimated for record in records),
    groups=tuple(groups),
    best=best,
    worst=worst,
    energy_ratio=_energy_ratio(worst, best, told),
    orders={
      name: order
      for name, way in WAYS.items()
      if (order := _ranking(groups, way)) is not None
    },
  )


def _energy_ratio(
  worst: Group | None, best: Group | None, told: Sequence[Group]
) -> Estimate | None:
  if worst is None or best is None or worst.ratio is None:
    return None
  # Any bounded group may turn out dearer than the one that now looks worst.
  at_least = any(g.joules is not None and g.joules.at_least for g in told)
  return replace(worst.ratio, at_least=at_least)


def _group(records: tuple[TrialRecord, ...]) -> Group:
  joules, seconds = costs(records, TRAIN), costs(records, SECONDS)
  per_1000, bound = _per_1000_examples(records)
  return Group(
    varied=records[0].varied,
    records=records,
    joules=median(joules or ()),
    seconds=median(seconds or ()),
    joules_per_1000_examples=per_1000,
    joules_per_1000_examples_bound=bound,
    unknown="" if joules else _why(records),
  )


def _ranking(groups: Sequence[Group], way: Way) -> tuple[int, ...] | None:
  """Indices from cheapest to dearest of the groups whose median is known."""
  medians = {}
  for index, group in enumerate(groups):
    if group.joules is None or group.joules.at_least:
      continue
    found = median(costs(group.records, way) or ())
    if found is None:
      return None
    medians[index] = found.value
  return tuple(sorted(medians, key=lambda index: medians[index]))


def _per_1000_examples(
  records: Sequence[TrialRecord],
) -> tuple[float | None, float | None]:
  ran = [r for r in records if r.status != "failed"]
  each = [r.joules_per_example for r in ran]
  known = [value for value in each if value is not None]
  if not known or len(known) < len(each):
    return None, None
  bounds = [
    r.train_joules_bound / r.examples
    for r in ran
    if r.train_joules_bound is not None and r.examples
  ]
  bound = 1000 * max(bounds) if len(bounds) == len(ran) else None
  return 1000 * middle(known), bound


def _why(records: Sequence[TrialRecord]) -> str:
  if all(record.status == "failed" for record in records):
    return next((r.error for r in records if r.error), "every trial failed")
  reasons = (reason for record in records for reason in record.reasons)
  return next(reasons, "the meter saw no joules")


def _ground(record: TrialRecord) -> tuple:
  return (
    str(record.config.get("data", "")),
    record.target_accuracy,
    machine(record),
    tuple(sorted(record.joules_by_domain)),
    record.estimated,
  )


def _order(record: TrialRecord) -> tuple:
  values = [natural_key(value) for value in record.varied.values()]
  return (*values, (0, record.seed), (1, record.trial_id))


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  flat = {}
  for key, value in config.items():
    if isinstance(value, dict):
      flat |= _flat(value, f"{prefix}{key}.")
    else:
      flat[prefix + key] = value
  return flat
