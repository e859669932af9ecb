"""Costs and ratios by framework, and what cannot be compared."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparable import unlike
from jaxpower.report.compare.comparison import Compared, Comparison
from jaxpower.report.compare.same_config import Ratio, SameConfig, same_configs

# The conditions in which two places may differ, and what trials in the same
# place would have been.
PLACES = {
  "hardware": "run on the same kind of device",
  "devices": "run on as many devices",
  "cores": "run on as many cores",
  "processor": "run beside the same CPU",
  "board": "run on the same boards",
  "power_limits": "run under the same power limit",
  "drivers": "run under the same driver",
  "estimated": "both measured",
  "meter": "measured by the same meter",
  "software": "run with the same versions and variables",
  "decided_by": "decided by the same set",
  "crossing": "decided by the same rule",
}


@dataclass(frozen=True)
class Separate:
  """A framework that ran a config of the first one, but in another place.

  `here` is where the first one ran it. `differs` is the field of `PLACES` in
  which the two places are unlike; empty where none of these is.
  """

  framework: str
  here: Comparison
  there: Comparison
  differs: str


@dataclass(frozen=True, kw_only=True)
class SideBySide:
  """What records say of several frameworks, given in alphabetical order.

  `ratios` divide the first one, which is jax wherever it ran, by each other
  one. `separate` are frameworks that share a config with it, but no place;
  `unmatched` share no config. `numerics` are those in which frameworks differ,
  by name and framework: all values on record.
  """

  frameworks: tuple[str, ...]
  comparisons: tuple[Comparison, ...]
  configs: tuple[SameConfig, ...]
  ratios: tuple[Ratio, ...]
  separate: tuple[Separate, ...]
  unmatched: tuple[str, ...]
  numerics: dict[str, dict[str, tuple[Any, ...]]]


def find(compared: Compared) -> SideBySide | None:
  """Finds costs and ratios by framework; None for fewer than two of them."""
  frameworks = tuple(sorted({r.framework for r in compared.records}))
  if len(frameworks) < 2:
    return None
  first = frameworks[0]
  found = [same_configs(c, over=first) for c in compared.comparisons]
  configs = tuple(config for each in found for config in each.configs)
  return SideBySide(
    frameworks=frameworks,
    comparisons=compared.comparisons,
    configs=configs,
    ratios=tuple(ratio for each in found for ratio in each.ratios),
    separate=tuple(_separate(configs, first)),
    unmatched=tuple(_unmatched(configs, frameworks)),
    numerics=_numerics(compared.records, frameworks),
  )


# What cannot be compared, and what differs in any case


def _separate(configs: Sequence[SameConfig], first: str) -> Iterator[Separate]:
  """Finds frameworks that ran a config of the first, but in other places."""
  places: dict[tuple[str, str], list[Comparison]] = {}
  for config in configs:
    for name in config.by_framework:
      places.setdefault((config.key, name), []).append(config.comparison)
  for (key, name), there in places.items():
    here = places.get((key, first), [])
    if name != first and here and not any(place in here for place in there):
      differing = unlike((here[0].conditions, there[0].conditions))
      field = next((field for field in PLACES if field in differing), "")
      yield Separate(name, here[0], there[0], field)


def _unmatched(
  configs: Sequence[SameConfig], frameworks: Sequence[str]
) -> Iterator[str]:
  """Finds frameworks that share no config with the first one."""
  keys = {
    name: {config.key for config in configs if name in config.by_framework}
    for name in frameworks
  }
  first, *others = frameworks
  return (name for name in others if not keys[name] & keys[first])


def _numerics(
  records: Sequence[TrialRecord], frameworks: Sequence[str]
) -> dict[str, dict[str, tuple[Any, ...]]]:
  """Finds the numerics in which frameworks differ, with all values of each."""
  differing = {}
  for name in sorted({name for record in records for name in record.numerics}):
    # By their JSON, since a value may be a list, which no set can hold.
    values: dict[str, dict[str, Any]] = {key: {} for key in frameworks}
    for record in records:
      if name in record.numerics:
        item = record.numerics[name]
        values[record.framework][json.dumps(item)] = item
    if any(v.keys() != values[frameworks[0]].keys() for v in values.values()):
      differing[name] = {key: tuple(v.values()) for key, v in values.items()}
  return differing


def paths(side_by_side: SideBySide) -> tuple[str, ...]:
  """Lists the fields that name some config."""
  configs = side_by_side.configs
  return tuple(dict.fromkeys(path for c in configs for path in c.settings))


def is_estimated(configs: Iterable[SameConfig]) -> bool:
  """Whether any joule of these configs is modelled."""
  return any(config.comparison.estimated for config in configs)


def is_best_of_several(ratio: Ratio) -> bool:
  """Whether it is to the cheapest of several others, by estimate."""
  is_cheapest = ratio.under == ratio.cheapest_other
  return is_cheapest and len(ratio.config.by_framework) > 2
